//! A WebSocket in its barest form: frames over blocking TLS.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Write;
use std::net::TcpStream;

use rustls::{ClientConnection, StreamOwned};
use spotflow_emulator::Platform;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader, FrameSocket};

use super::Client;

pub const BINARY: OpCode = OpCode::Data(Data::Binary);
pub const TEXT: OpCode = OpCode::Data(Data::Text);
pub const CONTINUE: OpCode = OpCode::Data(Data::Continue);
pub const CLOSE: OpCode = OpCode::Control(Control::Close);
pub const PING: OpCode = OpCode::Control(Control::Ping);
pub const PONG: OpCode = OpCode::Control(Control::Pong);

type Stream = StreamOwned<ClientConnection, TcpStream>;

pub struct Socket {
    frames: FrameSocket<Stream>,
}

impl Socket {
    /// Opens it, or tells with which status that was refused.
    pub fn open(platform: &Platform, uri: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let mut request = uri.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let authority = request.uri().authority().unwrap();
        let port = authority.port_u16().unwrap_or(443);
        let host = format!("{}:{port}", authority.host());
        let stream = Client::open(platform, &host).unwrap().into_stream();
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self {
                frames: FrameSocket::new(socket.into_inner()),
            }),
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub fn stream(&mut self) -> &mut Stream {
        self.frames.get_mut()
    }

    pub fn send(&mut self, opcode: OpCode, payload: &[u8]) {
        self.send_piece(opcode, payload, true);
    }

    pub fn send_piece(&mut self, opcode: OpCode, payload: &[u8], last: bool) {
        let header = FrameHeader {
            is_final: last,
            opcode,
            mask: Some([7, 0, 99, 255]),
            ..FrameHeader::default()
        };
        let frame = Frame::from_payload(header, payload.to_vec().into());
        self.frames.send(frame).unwrap();
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream().write_all(bytes).unwrap();
        self.stream().flush().unwrap();
    }

    /// The next frame; an error if there will be none.
    pub fn next(&mut self) -> Result<Frame, tungstenite::Error> {
        let ended = tungstenite::Error::ConnectionClosed;
        self.frames.read(None)?.ok_or(ended)
    }

    /// The opcode and the content of the next frame.
    pub fn receive(&mut self) -> (OpCode, Vec<u8>) {
        let frame = self.next().unwrap();
        (frame.header().opcode, frame.into_payload().to_vec())
    }

    /// Reads binary content until there is so much, or another frame.
    pub fn receive_content(&mut self, length: usize) -> Vec<u8> {
        let mut content = Vec::new();
        while content.len() < length {
            let (opcode, piece) = self.receive();
            assert!([BINARY, CONTINUE].contains(&opcode), "{opcode:?}");
            content.extend_from_slice(&piece);
        }
        content
    }
}
