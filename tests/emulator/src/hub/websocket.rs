//! MQTT over WebSocket: frames on one side, a stream for the broker on the other.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::Transport;
use super::connection::{self, LINGER, Wire};
use crate::api::problem::Problem;
use crate::state::Core;
use crate::websocket::{self, Socket};

pub(crate) const PATH: &str = "/$iothub/websocket";
const PROTOCOL: &str = "mqtt";
const BUFFER_BYTES: usize = 64 * 1024;
/// How long a device has for the other half of the upgrade.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(30);

impl Wire for DuplexStream {
    const TRANSPORT: Transport = Transport::WebSocket;

    async fn cut(self) {}
}

/// Takes a device's connection for MQTT, whatever the query: that keeps IoT Hub from asking for a certificate, which
/// the Platform never does.
pub(crate) async fn connect(
    State(core): State<Arc<Core>>,
    request: Request,
) -> Result<Response, Problem> {
    if !offers_mqtt(&request) {
        return Err(Problem::bad_request(
            "the sub-protocol mqtt has to be offered",
        ));
    }
    let (answer, socket) = websocket::accept(request, Some(PROTOCOL))?;
    tokio::spawn(async move {
        if let Ok(Some(socket)) = timeout(UPGRADE_TIMEOUT, socket).await {
            let (hub, device) = duplex(BUFFER_BYTES);
            let mut serving = pin!(connection::serve(core.clone(), hub));
            let mut pumping = pin!(pump(&core, socket, device));
            tokio::select! {
                () = &mut pumping => serving.await,
                // A device that does not read is not waited for.
                () = &mut serving => drop(timeout(2 * LINGER, pumping).await),
            }
        }
    });
    Ok(answer)
}

fn offers_mqtt(request: &Request) -> bool {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    offers
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offer| offer.trim() == PROTOCOL)
}

/// Until the device or the hub ends.
async fn pump(core: &Core, socket: Socket, hub: DuplexStream) {
    let (mut read, mut write) = split(socket);
    let (from_hub, to_hub) = split(hub);
    let (pings, pings_to_answer) = unbounded_channel();
    let mut device_sends = pin!(device_to_hub(&mut read, to_hub, pings));
    tokio::select! {
        () = &mut device_sends => {
            let mut writer = websocket::writer(&mut write, Role::Server);
            // Nothing is made of errors from here on: the device has gone, or the hub wants it to.
            let _ = writer.write_frame(Frame::close_raw(Payload::Borrowed(&[]))).await;
            let _ = write.shutdown().await;
        }
        _ = hub_to_device(core, from_hub, &mut write, pings_to_answer) => {
            let _ = write.shutdown().await;
            // So that what was written last is not lost to a reset.
            let _ = timeout(LINGER, device_sends).await;
        }
    }
}

/// Until the device closes or breaks off.
async fn device_to_hub(
    device: &mut ReadHalf<Socket>,
    mut hub: WriteHalf<DuplexStream>,
    pings: UnboundedSender<Vec<u8>>,
) {
    let mut reader = websocket::reader(device);
    while let Ok(frame) = websocket::next_frame(&mut reader).await {
        match frame.opcode {
            // The hub may have ended: then what comes is read on and dropped.
            OpCode::Binary | OpCode::Continuation => drop(hub.write_all(&frame.payload).await),
            OpCode::Ping => drop(pings.send(frame.payload.to_vec())),
            OpCode::Pong => {}
            OpCode::Text | OpCode::Close => break,
        }
    }
    let _ = hub.shutdown().await;
}

/// Until the hub ends or the device does not read any more.
async fn hub_to_device(
    core: &Core,
    mut hub: ReadHalf<DuplexStream>,
    device: &mut WriteHalf<Socket>,
    mut pings: UnboundedReceiver<Vec<u8>>,
) -> Result<(), WebSocketError> {
    let mut writer = websocket::writer(device, Role::Server);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        tokio::select! {
            Some(ping) = pings.recv() => {
                writer.write_frame(Frame::pong(Payload::Owned(ping))).await?;
            }
            read = hub.read(&mut buffer) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let frame_bytes = core.look().faults.websocket_frame_bytes;
                for content in buffer[..read].chunks(frame_bytes.unwrap_or(BUFFER_BYTES)) {
                    let content = Payload::Owned(content.to_vec());
                    writer.write_frame(Frame::binary(content)).await?;
                }
            }
        }
        writer.flush().await?;
    }
}
