//! What the Platform knows, as JSON.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use spotflow_emulator::{
    Connection, Device, DropReason, DroppedAnswer, HttpRequest, Message, MethodAnswer, MethodCall,
    MethodOutcome, Operation, OperationState, Platform, StorageWrite, Traffic, Transport, Tunnel,
    Upload, WriteKind,
};

use crate::command::RouteName;

pub(crate) fn operation(operation: &Operation) -> Value {
    let (state, device_id) = match &operation.state {
        OperationState::Approved { device_id } => ("approved".to_owned(), Some(device_id)),
        other => (format!("{other:?}").to_lowercase(), None),
    };
    json!({
        "id": operation.id,
        "verification_code": operation.verification_code,
        "requested_device_id": operation.requested_device_id,
        "expiration_time": operation.expiration_time,
        "state": state,
        "device_id": device_id,
    })
}

pub(crate) fn devices(platform: &Platform) -> Value {
    let device = |device: &Device| {
        let hub_id = format!("{}:{}", device.workspace_id, device.device_id);
        json!({
            "workspace_id": device.workspace_id,
            "device_id": device.device_id,
            "connected": platform.connected(&hub_id),
        })
    };
    platform.devices().iter().map(device).collect()
}

pub(crate) fn message(message: &Message) -> Value {
    json!({
        "sequence": message.sequence,
        "workspace_id": message.workspace_id,
        "device_id": message.device_id,
        "connection": message.connection,
        "topic": message.topic,
        "properties": message.properties,
        "payload": BASE64_STANDARD.encode(&message.payload),
        "text": std::str::from_utf8(&message.payload).ok(),
        "payload_error": message.payload_error,
        "raw_length": message.raw_payload.len(),
        "external": message.is_external(),
        "packet_id": message.packet_id,
        "dup": message.dup,
        "repeat": message.repeat,
        "acknowledged": message.acknowledged_at.is_some(),
    })
}

pub(crate) fn method_answer(answer: &MethodAnswer) -> Value {
    json!({ "status": answer.status, "payload": String::from_utf8_lossy(&answer.payload) })
}

pub(crate) fn method_call(call: &MethodCall) -> Value {
    let (outcome, answer, error) = match &call.outcome {
        MethodOutcome::Answered { answer, .. } => ("answered", Some(method_answer(answer)), None),
        MethodOutcome::BadAnswer(reason) => ("bad_answer", None, Some(reason)),
        MethodOutcome::GivenUp => ("given_up", None, None),
        _ => ("waiting", None, None),
    };
    json!({
        "number": call.number,
        "device_id": call.device.device_id,
        "method": call.name,
        "payload": String::from_utf8_lossy(&call.payload),
        "request_id": call.request_id,
        "connection": call.connection,
        "outcome": outcome,
        "answer": answer,
        "error": error,
    })
}

pub(crate) fn dropped_answer(dropped: &DroppedAnswer) -> Value {
    let reason = match dropped.reason {
        DropReason::Late => "late",
        DropReason::OtherConnection => "other_connection",
        DropReason::Repeated => "repeated",
        _ => "unknown",
    };
    json!({
        "device_id": dropped.device.device_id,
        "request_id": dropped.request_id,
        "answer": method_answer(&dropped.answer),
        "connection": dropped.connection,
        "reason": reason,
    })
}

pub(crate) fn forwardings(platform: &Platform) -> Value {
    let forwardings = platform.forwardings();
    let forwarding = |(local, device, port): &(SocketAddr, String, u16)| json!({ "local_port": local.port(), "device": device, "port": port });
    forwardings.iter().map(forwarding).collect()
}

pub(crate) fn tunnel(tunnel: &Tunnel) -> Value {
    json!({
        "id": tunnel.id,
        "device": tunnel.device,
        "port": tunnel.port,
        "uri": tunnel.uri,
        "status": tunnel.status,
        "answer": tunnel.answer,
        "traceparent": tunnel.traceparent,
        "traceparent_header": tunnel.traceparent_header,
        "open": tunnel.is_open(),
        "bytes_to_device": tunnel.bytes_to_device,
        "bytes_from_device": tunnel.bytes_from_device,
        "frames_from_device": tunnel.frames_from_device,
        "frame_bytes_max": tunnel.frame_bytes_max,
        "pings_from_device": tunnel.pings_from_device,
        "close_code": tunnel.close_code,
        "end": tunnel.end.as_ref().map(|(_, reason)| reason),
    })
}

pub(crate) fn uploads(platform: &Platform) -> Value {
    let upload = |upload: &Upload| {
        json!({
            "hub_id": upload.hub_id,
            "blob_name": upload.blob_name,
            "bytes": upload.bytes,
            "blocks": upload.blocks,
            "success": upload.success,
        })
    };
    platform.uploads().iter().map(upload).collect()
}

pub(crate) fn storage_write(write: &StorageWrite) -> Value {
    let (kind, block_id) = match &write.kind {
        WriteKind::Block(id) => ("block", Some(id)),
        WriteKind::BlockList => ("block_list", None),
        _ => ("blob", None),
    };
    json!({
        "hub_id": write.hub_id,
        "blob_name": write.blob_name,
        "kind": kind,
        "block_id": block_id,
        "content_length": write.content_length,
        "received_bytes": write.received_bytes,
        "status": write.status,
    })
}

pub(crate) fn connection(connection: &Connection) -> Value {
    json!({
        "number": connection.number,
        "transport": match connection.transport {
            Transport::Mqtt => "mqtt",
            Transport::WebSocket => "web_socket",
        },
        "client_id": connection.client_id,
        "user_name": connection.user_name,
        "keep_alive": connection.keep_alive,
        "clean_session": connection.clean_session,
        "session_present": connection.session_present,
        "code": connection.code,
        "end": connection.end,
    })
}

pub(crate) fn traffic(traffic: &Traffic) -> Value {
    json!({
        "from_device": BASE64_STANDARD.encode(&traffic.from_device),
        "to_device": BASE64_STANDARD.encode(&traffic.to_device),
    })
}

pub(crate) fn request(request: &HttpRequest) -> Value {
    json!({
        "route": RouteName::from(request.route),
        "method": request.method,
        "path": request.path,
        "status": request.status,
    })
}
