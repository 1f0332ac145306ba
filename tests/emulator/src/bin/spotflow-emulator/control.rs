//! For other programs: a JSON line in, a JSON line out. The library's documentation describes the commands.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use spotflow_emulator::{AckMode, CutPoint, HttpAnswer, Platform, StorageWrite, Tunnel};

use crate::command::{AckModeName, Command, CutPointName};
use crate::view::{
    connection, devices, dropped_answer, forwardings, message, method_answer, method_call,
    operation, request, storage_write, traffic, tunnel, uploads,
};
use crate::{Quit, Started};

type Failure = Box<dyn std::error::Error>;

/// Says where the Platform is, then obeys. Ends the program with "quit" or when standard input ends.
pub(crate) fn start(platform: Arc<Platform>, at: &Started, quit: Quit) {
    let mut started = json!({
        "instance": platform.instance(),
        "hub": platform.hub_host_name(),
        "workspace_id": platform.workspace_id(),
        "provisioning_token": platform.provisioning_token(),
        "ca_file": at.ca_file,
    });
    if let Some(page) = &at.page {
        started["page"] = page.as_str().into();
    }
    thread::spawn(move || {
        if answer(&started).is_ok() {
            obey(&platform);
        }
        quit.ask();
    });
}

fn obey(platform: &Platform) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if line.trim().is_empty() {
            continue;
        }
        let (id, result) = handle(platform, &line);
        let (mut response, quit) = match result {
            Ok(Some(result)) => (json!({ "ok": true, "result": result }), false),
            Ok(None) => (json!({ "ok": true, "result": null }), true),
            Err(error) => (json!({ "ok": false, "error": error.to_string() }), false),
        };
        if let Some(id) = id {
            response["id"] = id;
        }
        if answer(&response).is_err() || quit {
            return;
        }
    }
}

fn answer(value: &Value) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{value}")?;
    output.flush()
}

/// The command's id if it has one, and its result; none for "quit".
fn handle(platform: &Platform, line: &str) -> (Option<Value>, Result<Option<Value>, Failure>) {
    let mut value: Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => return (None, Err(error.into())),
    };
    let id = value
        .as_object_mut()
        .and_then(|command| command.remove("id"));
    let result = match serde_json::from_value(value) {
        Ok(Command::Quit) => Ok(None),
        Ok(command) => execute(platform, command).map(Some),
        Err(error) => Err(error.into()),
    };
    (id, result)
}

fn execute(platform: &Platform, command: Command) -> Result<Value, Failure> {
    match command {
        Command::Operations => return Ok(platform.operations().iter().map(operation).collect()),
        Command::WaitOperation { timeout } => {
            return Ok(operation(&platform.wait_for_operation(seconds(timeout)?)?));
        }
        Command::Approve { operation, device } => {
            return Ok(platform.approve(&operation, device.as_deref())?.into());
        }
        Command::Refuse { operation } => platform.refuse(&operation)?,
        Command::ExpireOperation { operation } => platform.expire_operation(&operation)?,
        Command::AddProvisioningToken { device, workspace } => {
            return Ok(platform
                .add_provisioning_token(device.as_deref(), workspace.as_deref())
                .into());
        }
        Command::RevokeProvisioningToken { token } => platform.revoke_provisioning_token(&token),
        Command::Devices => return Ok(devices(platform)),
        Command::DeleteDevice { device } => platform.delete_device(&device)?,
        Command::RevokeRegistrationTokens { device } => {
            platform.revoke_registration_tokens(&device)?
        }
        Command::ExpireSas { device } => platform.expire_sas(&device)?,
        Command::DisableWorkspace { disabled } => platform.disable_workspace(disabled),
        other => return execute_twin_command(platform, other),
    }
    Ok(Value::Null)
}

fn execute_twin_command(platform: &Platform, command: Command) -> Result<Value, Failure> {
    match command {
        Command::Desired {
            device,
            properties: Some(properties),
        } => return Ok(platform.set_desired(&device, &properties)?.into()),
        Command::Desired {
            device,
            properties: None,
        } => return Ok(versioned(platform.desired(&device)?)),
        Command::PatchDesired { device, patch } => {
            return Ok(platform.patch_desired(&device, &patch)?.into());
        }
        Command::Reported { device } => return Ok(versioned(platform.reported(&device)?)),
        Command::ReportedPatches { device } => {
            return Ok(platform.reported_patches(&device)?.into());
        }
        Command::WaitReported {
            device,
            properties,
            timeout,
        } => {
            return Ok(platform.wait_for_reported(
                &device,
                |reported| *reported == properties,
                seconds(timeout)?,
            )?);
        }
        Command::ResetTwin { device } => platform.reset_twin(&device)?,
        Command::Send {
            device,
            text,
            payload,
            properties,
        } => {
            let payload = match (text, payload) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(payload)) => BASE64_STANDARD.decode(payload)?,
                _ => Err("either text or payload is needed")?,
            };
            let properties = properties.unwrap_or_default();
            let pairs: Vec<_> = properties
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            platform.send_cloud_message(&device, payload, &pairs)?
        }
        Command::CloudMessagesWaiting { device } => {
            return Ok(platform.cloud_messages_waiting(&device).into());
        }
        Command::WaitCloudMessages {
            device,
            waiting,
            timeout,
        } => platform.wait_for_cloud_messages(&device, waiting, seconds(timeout)?)?,
        other => return execute_remote_command(platform, other),
    }
    Ok(Value::Null)
}

fn execute_remote_command(platform: &Platform, command: Command) -> Result<Value, Failure> {
    match command {
        Command::CallMethod {
            device,
            method,
            payload,
            raw,
            timeout,
        } => {
            let payload = method_payload(payload, raw)?;
            let answer = platform.call_method(&device, &method, payload, seconds(timeout)?)?;
            Ok(method_answer(&answer))
        }
        Command::BeginMethod {
            device,
            method,
            payload,
            raw,
            timeout,
        } => {
            let payload = method_payload(payload, raw)?;
            let number = platform.begin_method(&device, &method, payload, seconds(timeout)?)?;
            Ok(number.into())
        }
        Command::WaitMethod { number, timeout } => Ok(method_answer(
            &platform.wait_for_method(number, seconds(timeout)?)?,
        )),
        Command::MethodCalls => Ok(platform.method_calls().iter().map(method_call).collect()),
        Command::DroppedMethodAnswers => Ok(platform
            .dropped_method_answers()
            .iter()
            .map(dropped_answer)
            .collect()),
        other => execute_tunnel_command(platform, other),
    }
}

fn execute_tunnel_command(platform: &Platform, command: Command) -> Result<Value, Failure> {
    match command {
        Command::Forward {
            device,
            port,
            local_port,
        } => {
            let local = platform.forward(local_port.unwrap_or(0), &device, port)?;
            Ok(local.port().into())
        }
        Command::StopForwarding { local_port } => Ok(platform.stop_forwarding(local_port).into()),
        Command::Forwardings => Ok(forwardings(platform)),
        Command::Tunnels => Ok(platform.tunnels().iter().map(tunnel).collect()),
        Command::WaitTunnels {
            open,
            ended,
            timeout,
        } => {
            let enough = |tunnels: &[Tunnel]| {
                let is_open = tunnels.iter().filter(|tunnel| tunnel.is_open());
                let have_ended = tunnels.iter().filter(|tunnel| tunnel.end.is_some());
                is_open.count() >= open.unwrap_or(0) && have_ended.count() >= ended.unwrap_or(0)
            };
            let tunnels = platform.wait_for_tunnels(enough, seconds(timeout)?)?;
            Ok(tunnels.iter().map(tunnel).collect())
        }
        Command::BreakRelay { fault, number } => {
            platform.break_relay(fault.with(number)?);
            Ok(Value::Null)
        }
        Command::MendRelay => {
            platform.mend_relay();
            Ok(Value::Null)
        }
        other => execute_storage_command(platform, other),
    }
}

fn execute_storage_command(platform: &Platform, command: Command) -> Result<Value, Failure> {
    match command {
        Command::Uploads => return Ok(uploads(platform)),
        Command::StorageWrites => {
            return Ok(platform
                .storage_writes()
                .iter()
                .map(storage_write)
                .collect());
        }
        Command::WaitStorageWrites { count, timeout } => {
            let answered = |writes: &[StorageWrite]| {
                writes.iter().filter(|write| write.status.is_some()).count() >= count
            };
            let writes = platform.wait_for_storage_writes(answered, seconds(timeout)?)?;
            return Ok(writes.iter().map(storage_write).collect());
        }
        Command::UncommittedBlocks { device, blob_name } => {
            let blocks = platform.uncommitted_blocks(&device, &blob_name);
            return Ok(json!(blocks));
        }
        Command::ExpireUploads => platform.expire_uploads(),
        Command::ExpireUploadSas => platform.expire_upload_sas(),
        Command::RefuseBlocks { refuse } => platform.refuse_blocks(refuse),
        Command::StorageRate { bytes_per_second } => platform.storage_rate(bytes_per_second),
        Command::CutStorageAfter { bytes } => platform.cut_storage_after(bytes),
        other => return execute_message_command(platform, other),
    }
    Ok(Value::Null)
}

/// JSON, or bytes that need be none; nothing if neither is told.
fn method_payload(json: Option<Value>, raw: Option<String>) -> Result<Vec<u8>, Failure> {
    match (json, raw) {
        (Some(json), None) => Ok(json.to_string().into_bytes()),
        (None, raw) => Ok(BASE64_STANDARD.decode(raw.unwrap_or_default())?),
        (Some(_), Some(_)) => Err("either payload or raw is possible")?,
    }
}

fn execute_message_command(platform: &Platform, command: Command) -> Result<Value, Failure> {
    match command {
        Command::Messages { device, after } => {
            let mut messages = match device {
                Some(device) => platform.messages_of(&device),
                None => platform.messages(),
            };
            messages.retain(|message| message.sequence > after.unwrap_or(0));
            return Ok(messages.iter().map(message).collect());
        }
        Command::WaitMessages { count, timeout } => {
            return Ok(platform
                .wait_for_messages(count, seconds(timeout)?)?
                .iter()
                .map(message)
                .collect());
        }
        Command::ClearMessages => platform.clear_messages(),
        Command::Connections => return Ok(platform.connections().iter().map(connection).collect()),
        Command::WaitConnected {
            device,
            connected,
            timeout,
        } => platform.wait_for_connected(&device, connected, seconds(timeout)?)?,
        Command::Subscriptions { device } => return Ok(platform.subscriptions(&device).into()),
        Command::Requests => return Ok(platform.http_requests().iter().map(request).collect()),
        Command::Traffic => return Ok(platform.traffic().iter().map(traffic).collect()),
        other => return execute_fault(platform, other),
    }
    Ok(Value::Null)
}

fn execute_fault(platform: &Platform, command: Command) -> Result<Value, Failure> {
    match command {
        Command::Acknowledge {
            mode,
            seconds: delay,
        } => {
            let mode = match mode {
                AckModeName::Immediately => AckMode::Immediately,
                AckModeName::After => AckMode::After(seconds(delay.ok_or("seconds are needed")?)?),
                AckModeName::Withhold => AckMode::Withhold,
            };
            platform.acknowledge(mode)
        }
        Command::ReleaseAcknowledgements => platform.release_acknowledgements(),
        Command::CutAfterMessages { count, point } => {
            let point = match point {
                CutPointName::BeforeAck => CutPoint::BeforeAck,
                CutPointName::AfterAck => CutPoint::AfterAck,
            };
            platform.cut_after_messages(count, point)
        }
        Command::CloseConnections => platform.close_connections(),
        Command::CloseConnection { device } => platform.close_connection(&device)?,
        Command::RefuseConnects { code, count } => platform.refuse_connects(code, count),
        Command::RefuseMessages { refuse: true } => platform.close_on_message(|_| true),
        Command::RefuseMessages { refuse: false } => platform.accept_all_messages(),
        Command::ThrottleMessages { per_second, burst } => {
            platform.throttle_messages(per_second, burst)
        }
        Command::StopThrottling => platform.stop_throttling(),
        Command::GoSilent { silent } => platform.go_silent(silent),
        Command::AcceptConnections { accept } => platform.accept_connections(accept)?,
        Command::Block { way, blockage } => platform.block(way.into(), blockage.into())?,
        Command::Unblock { way } => platform.unblock(way.into())?,
        Command::WebsocketFrameBytes { bytes } => platform.websocket_frame_bytes(bytes),
        Command::ForgetSessions => platform.forget_sessions(),
        Command::TwinStatus { status, count } => platform.twin_status(status, count),
        Command::HttpStatus {
            route,
            status,
            problem_type,
            count,
        } => platform.http_status(route.into(), status, problem_type.as_deref(), count),
        Command::HttpAnswer {
            route,
            status,
            headers,
            text,
            body,
            count,
        } => {
            let body = match (text, body) {
                (text, None) => text.unwrap_or_default().into_bytes(),
                (None, Some(body)) => BASE64_STANDARD.decode(body)?,
                _ => Err("either text or body is possible")?,
            };
            let mut answer = HttpAnswer::new(status).body(body);
            for (name, value) in &headers {
                answer = answer.header(name, value);
            }
            platform.http_answer(route.into(), answer, count)
        }
        Command::HttpHang { route, hang } => platform.http_hang(route.into(), hang),
        Command::ClearHttpFaults => platform.clear_http_faults(),
        // All others were dealt with on the way here.
        other => return Err(format!("{other:?} is no fault").into()),
    }
    Ok(Value::Null)
}

fn seconds(seconds: f64) -> Result<Duration, Failure> {
    Ok(Duration::try_from_secs_f64(seconds)?)
}

fn versioned((properties, version): (Value, u64)) -> Value {
    json!({ "properties": properties, "version": version })
}
