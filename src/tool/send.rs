//! `send`: Messages from a script.

use std::io::{self, BufRead, Read, Write};
use std::iter;
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
    let mut payloads = payloads(arguments);
    let Some(first) = payloads.next().transpose()? else {
        return Err(Failure::Refused("there is nothing to send".to_owned()));
    };
    let payloads = iter::once(Ok(first)).chain(payloads);
    let client = builder(arguments)?.start().map_err(with_advice)?;
    let (group, stream) = (&arguments.stream_group, &arguments.stream);
    let sender = client.create_stream_sender(
        group.as_deref(),
        stream.as_deref(),
        arguments.compress.compression(),
    )?;
    let messages = units::messages(enqueue(&sender, payloads, arguments)?);
    if arguments.no_wait {
        client.close();
        output.line(format!("{messages} stored"))?;
        return Ok(Outcome::Done);
    }
    let sent = wait(&client, arguments.timeout);
    let left = client.pending_messages_count();
    let last_error = client.status().last_error;
    client.close();
    match sent {
        Ok(()) => {
            output.line(format!("{messages} sent"))?;
            Ok(Outcome::Done)
        }
        Err(Error::TimedOut) => {
            let (left, path) = (units::messages(left), arguments.database.path.display());
            let mut text =
                format!("not acknowledged in time: {left} left in {path} for the next client");
            if let Some(error) = last_error {
                text.push_str(&format!("; the last error was: {}", error.chain()));
            }
            Err(Failure::Refused(text))
        }
        Err(error) => Err(error.into()),
    }
}

type Payload = Result<Vec<u8>, Failure>;

/// What is to be sent, in order. Standard input is read no further than it is asked for.
fn payloads(arguments: &SendArguments) -> Box<dyn Iterator<Item = Payload>> {
    if !arguments.payloads.is_empty() {
        let payloads = arguments.payloads.clone().into_iter();
        return Box::new(payloads.map(|payload| Ok(payload.into_bytes())));
    }
    if arguments.lines {
        return Box::new(lines(io::stdin().lock()));
    }
    Box::new(iter::once_with(|| whole(io::stdin().lock())))
}

fn lines(mut input: impl BufRead) -> impl Iterator<Item = Payload> {
    iter::from_fn(move || {
        let mut line = Vec::new();
        // A line end, and enough for the sender to see that it is too large.
        let mut part = input.by_ref().take(MAX_PAYLOAD_BYTES as u64 + 3);
        match part.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(without_line_end(line))),
            Err(error) => Some(Err(unreadable(error))),
        }
    })
}

fn whole(input: impl Read) -> Payload {
    let mut payload = Vec::new();
    let mut part = input.take(MAX_PAYLOAD_BYTES as u64 + 1);
    part.read_to_end(&mut payload).map_err(unreadable)?;
    Ok(payload)
}

fn unreadable(error: io::Error) -> Failure {
    Failure::file(Path::new("standard input"))(error)
}

fn without_line_end(mut line: Vec<u8>) -> Vec<u8> {
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
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
        Error::TimedOut => Failure::Refused(
            "the device was not registered and approved in time: nothing was stored".to_owned(),
        ),
        error => error.into(),
    }
}

/// Stores each as it comes; returns how many there were.
fn enqueue(
    sender: &StreamSender,
    payloads: impl Iterator<Item = Payload>,
    arguments: &SendArguments,
) -> Result<u64, Failure> {
    let total = arguments.payloads.len() as u64;
    let mut progress = Progress::new("stored", Some(total).filter(|total| *total > 0));
    let mut stored = 0;
    let failed = |stored, error: &dyn std::fmt::Display| {
        let stored = units::messages(stored);
        Failure::Refused(format!(
            "{error}\n{stored} before it stored, for the next client"
        ))
    };
    for payload in payloads {
        let mut message = Message::new(payload.map_err(|error| failed(stored, &error))?);
        if let Some(id) = &arguments.batch_id {
            message = message.batch_id(id);
        }
        if let Some(id) = &arguments.message_id {
            message = message.message_id(id);
        }
        let enqueued = sender.enqueue_message(message);
        enqueued.map_err(|error| failed(stored, &error.chain()))?;
        stored += 1;
        progress.advance(1);
    }
    Ok(stored)
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
