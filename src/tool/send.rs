//! `send`: Messages from a script.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::arguments::SendArguments;
use super::failure::{Failure, Outcome};
use super::file::DatabaseFile;
use super::output::Output;
use super::progress::Progress;
use super::{token_file, units};
use crate::client::{DeviceClient, DeviceClientBuilder, StreamSender};
use crate::error::Error;
use crate::message::{MAX_PAYLOAD_BYTES, Message};
use crate::registration::ProvisioningOperation;
use crate::store::rows::device::{ANY_DEVICE_ID, DeviceRow};

/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) fn send(arguments: &SendArguments, output: &mut Output) -> Result<Outcome, Failure> {
    let payloads = payloads(arguments)?;
    if payloads.is_empty() {
        return Err(Failure::Refused("there is nothing to send".to_owned()));
    }
    let client = builder(arguments)?.start().map_err(with_advice)?;
    let (group, stream) = (&arguments.stream_group, &arguments.stream);
    let sender = client.create_stream_sender(
        group.as_deref(),
        stream.as_deref(),
        arguments.compress.compression(),
    )?;
    let count = payloads.len() as u64;
    enqueue(&sender, payloads, arguments)?;
    let messages = units::count(count);
    if arguments.no_wait {
        client.close();
        output.line(format!("{messages} Messages are stored"))?;
        return Ok(Outcome::Done);
    }
    let sent = wait(&client, arguments.timeout);
    let left = client.pending_messages_count();
    let last_error = client.status().last_error;
    client.close();
    match sent {
        Ok(()) => {
            output.line(format!("{messages} Messages are with the Platform"))?;
            Ok(Outcome::Done)
        }
        Err(Error::TimedOut) => {
            let (left, path) = (units::count(left), arguments.database.path.display());
            let mut text = format!(
                "not acknowledged in time: {left} Messages wait in {path} for the next client"
            );
            if let Some(error) = last_error {
                text.push_str(&format!("; the last error was: {}", error.chain()));
            }
            Err(Failure::Refused(text))
        }
        Err(error) => Err(error.into()),
    }
}

/// What is to be sent, in order.
fn payloads(arguments: &SendArguments) -> Result<Vec<Vec<u8>>, Failure> {
    if !arguments.payloads.is_empty() {
        let payloads = arguments.payloads.iter();
        return Ok(payloads
            .map(|payload| payload.clone().into_bytes())
            .collect());
    }
    let stdin = io::stdin().lock();
    if arguments.lines {
        return io::BufRead::split(stdin, b'\n')
            .map(|line| line.map(without_carriage_return))
            .collect::<io::Result<_>>()
            .map_err(Failure::file(Path::new("standard input")));
    }
    let mut payload = Vec::new();
    stdin
        .take(MAX_PAYLOAD_BYTES as u64 + 1)
        .read_to_end(&mut payload)
        .map_err(Failure::file(Path::new("standard input")))?;
    Ok(vec![payload])
}

fn without_carriage_return(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    line
}

/// The client that the device's own program would start: what is not said is as that had it.
fn builder(arguments: &SendArguments) -> Result<DeviceClientBuilder, Failure> {
    let path = &arguments.database.path;
    let before: Option<DeviceRow> = if path.exists() {
        DatabaseFile::open(path)?.device()?
    } else {
        None
    };
    let token = match (&arguments.token_file, &before) {
        (Some(file), _) => token_file::read(file)?,
        (None, Some(device)) => device.provisioning_token.clone(),
        (None, None) => {
            let rule = "the file has no Provisioning Token yet: say --token-file";
            return Err(Failure::Refused(format!("{}: {rule}", path.display())));
        }
    };
    let mut builder = DeviceClient::builder(token.expose(), path)
        .on_provisioning(display_on_stderr)
        .start_timeout(arguments.timeout);
    let way = &arguments.way;
    let instance = before.as_ref().map(|device| device.instance.clone());
    if let Some(instance) = way.instance.clone().or(instance) {
        builder = builder.instance(instance);
    }
    let device_id = before.and_then(|device| device.requested_device_id);
    let device_id = device_id.filter(|id| id != ANY_DEVICE_ID);
    if let Some(device_id) = arguments.device_id.clone().or(device_id) {
        builder = builder.device_id(device_id);
    }
    if let Some(ca_file) = &way.ca_file {
        builder = builder.ca_file(ca_file);
    }
    if let Some(proxy) = &way.proxy {
        builder = builder.proxy(proxy);
    }
    Ok(builder)
}

fn display_on_stderr(operation: &ProvisioningOperation) {
    // Without a panic where nobody reads it any more.
    drop(writeln!(
        io::stderr(),
        "to be approved: Provisioning Operation {}, verification code {}, until {}",
        operation.id,
        operation.verification_code,
        operation.expiration_time
    ));
}

fn with_advice(error: Error) -> Failure {
    match error {
        Error::DatabaseInUse { .. } => Failure::Refused(format!(
            "{error}: send through that client's program, or stop it first"
        )),
        error => error.into(),
    }
}

fn enqueue(
    sender: &StreamSender,
    payloads: Vec<Vec<u8>>,
    arguments: &SendArguments,
) -> Result<(), Failure> {
    let mut progress = Progress::new("stored", Some(payloads.len() as u64));
    for (stored, payload) in payloads.into_iter().enumerate() {
        let mut message = Message::new(payload);
        if let Some(id) = &arguments.batch_id {
            message = message.batch_id(id);
        }
        if let Some(id) = &arguments.message_id {
            message = message.message_id(id);
        }
        sender.enqueue_message(message).map_err(|error| {
            let error = error.chain();
            Failure::Refused(format!(
                "{error}\n{stored} Messages before it are stored, for the next client"
            ))
        })?;
        progress.advance(1);
    }
    Ok(())
}

/// Waits until all is sent, what waited in the file before, too.
fn wait(client: &DeviceClient, limit: Duration) -> Result<(), Error> {
    let end = Instant::now() + limit;
    let total = client.pending_messages_count();
    let mut progress = Progress::new("sent", Some(total));
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match client.wait_enqueued_messages_sent_timeout(left.min(LOOK_EVERY)) {
            Err(Error::TimedOut) if !left.is_zero() => {
                progress.reached(total.saturating_sub(client.pending_messages_count()));
            }
            result => return result,
        }
    }
}
