//! WebSockets for the hub and the relay: from an HTTP request to frames.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use fastwebsockets::{Frame, Role, WebSocketError, WebSocketRead, WebSocketWrite, upgrade};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};

use crate::api::problem::Problem;

/// A connection that speaks WebSocket from now on.
pub(crate) type Socket = TokioIo<Upgraded>;

/// The largest frame that is taken from a device.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The answer that agrees to the upgrade, with that sub-protocol if there is one, and the connection once it was
/// sent.
pub(crate) fn accept(
    mut request: Request,
    protocol: Option<&'static str>,
) -> Result<
    (
        Response,
        impl Future<Output = Option<Socket>> + Send + 'static,
    ),
    Problem,
> {
    let upgrade_required = |detail: String| Problem::new(426, "Upgrade Required", detail);
    if !upgrade::is_upgrade_request(&request) {
        return Err(upgrade_required("this path is for WebSockets".to_owned()));
    }
    let (answer, socket) =
        upgrade::upgrade(&mut request).map_err(|error| upgrade_required(error.to_string()))?;
    let mut answer = answer.map(Body::new);
    debug_assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    if let Some(protocol) = protocol {
        answer.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(protocol),
        );
    }
    let socket = async { socket.await.ok().map(fastwebsockets::WebSocket::into_inner) };
    Ok((answer, socket))
}

/// Frames from a device, as they are: nothing is answered by itself.
pub(crate) fn reader(stream: &mut ReadHalf<Socket>) -> WebSocketRead<&mut ReadHalf<Socket>> {
    let (mut reader, _) =
        fastwebsockets::after_handshake_split(stream, tokio::io::sink(), Role::Server);
    reader.set_auto_close(false);
    reader.set_auto_pong(false);
    reader.set_max_message_size(FRAME_BYTES_MAX);
    reader
}

/// Frames to a device. As a client it masks them.
pub(crate) fn writer(
    stream: &mut WriteHalf<Socket>,
    role: Role,
) -> WebSocketWrite<&mut WriteHalf<Socket>> {
    let (_, mut writer) = fastwebsockets::after_handshake_split(tokio::io::empty(), stream, role);
    writer.set_writev(false);
    writer
}

/// The next frame from a device.
pub(crate) async fn next_frame<'a>(
    reader: &'a mut WebSocketRead<&mut ReadHalf<Socket>>,
) -> Result<Frame<'a>, WebSocketError> {
    // Never called: nothing is answered by itself.
    let mut answer = |_: Frame<'_>| std::future::ready(Ok::<(), std::io::Error>(()));
    reader.read_frame(&mut answer).await
}
