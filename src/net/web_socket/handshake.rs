//! The handshake of a WebSocket: tungstenite's, on bytes in memory.

use std::io::{self, Read, Write};

use bytes::{Buf, BytesMut};
use tungstenite::handshake::client::{ClientHandshake, Request as HttpRequest, generate_key};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::http::uri::PathAndQuery;
use tungstenite::protocol::WebSocketConfig;

use super::{Request, WebSocketError};

/// Of the request as tungstenite makes it. It logs that at trace level, so it does not get the path, which can be a
/// secret.
const FIRST_LINE: &str = "GET / HTTP/1.1\r\n";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// An answer with a longer head is not of a WebSocket.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A handshake under way.
pub(super) struct Handshake(Box<MidHandshake<ClientHandshake<Pipe>>>);

/// The stream that tungstenite sees.
#[derive(Default)]
struct Pipe {
    input: BytesMut,
    output: BytesMut,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = buffer.len().min(self.input.len());
        self.input.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Handshake {
    /// Puts the request into `output`.
    pub fn new(request: &Request<'_>, output: &mut BytesMut) -> Result<Handshake, WebSocketError> {
        let path = request.path.parse::<PathAndQuery>();
        let path = path.map_err(|_| WebSocketError::Request("its path is malformed"))?;
        let first_line = format!("GET {path} HTTP/1.1\r\n");
        let request = http_request(request)?;
        let broken = |_| WebSocketError::Request("tungstenite does not take it");
        // What it makes at the end is thrown away.
        let config = WebSocketConfig::default().read_buffer_size(0);
        let handshake =
            ClientHandshake::start(Pipe::default(), request, Some(config)).map_err(broken)?;
        match handshake.handshake() {
            // It waits for the answer.
            Err(HandshakeError::Interrupted(mut handshake)) => {
                let head = handshake.get_mut().get_mut().output.split();
                let rest = head.get(FIRST_LINE.len()..).unwrap_or_default();
                output.extend_from_slice(first_line.as_bytes());
                output.extend_from_slice(rest);
                Ok(Handshake(Box::new(handshake)))
            }
            Ok(_) | Err(HandshakeError::Failure(_)) => Err(WebSocketError::NoWebSocket),
        }
    }

    /// Takes the server's answer from `input`, and nothing behind it; returns itself if that is not whole yet.
    pub fn go_on(mut self, input: &mut BytesMut) -> Result<Option<Handshake>, WebSocketError> {
        let ends = |window: &[u8]| window == END_OF_HEAD;
        let Some(end) = input.windows(END_OF_HEAD.len()).position(ends) else {
            if input.len() > HEAD_BYTES_MAX {
                return Err(WebSocketError::NoWebSocket);
            }
            return Ok(Some(self));
        };
        let head = input.split_to(end + END_OF_HEAD.len());
        self.0.get_mut().get_mut().input = head;
        match (*self.0).handshake() {
            Ok(_) => Ok(None),
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                let kind = answer.headers().get("content-type");
                let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
                Err(WebSocketError::Refused {
                    status: answer.status().as_u16(),
                    is_page: kind.to_ascii_lowercase().starts_with(b"text/html"),
                })
            }
            Err(_) => Err(WebSocketError::NoWebSocket),
        }
    }
}

fn http_request(request: &Request<'_>) -> Result<HttpRequest, WebSocketError> {
    let mut http = tungstenite::http::Request::builder()
        .uri(format!("wss://{}/", request.authority))
        .header("Host", request.authority)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    if let Some(protocol) = request.protocol {
        http = http.header("Sec-WebSocket-Protocol", protocol);
    }
    for (name, value) in request.headers {
        http = http.header(*name, *value);
    }
    // The library's words would repeat the address.
    http.body(())
        .map_err(|_| WebSocketError::Request("its address or a header is malformed"))
}
