//! A WebSocket's client side (RFC 6455) without a socket: bytes in, payload out, and the other way round.
//!
//! tungstenite makes the handshake and reads and writes the frames' heads. Its own streams are not used: they hold
//! each message as a whole in memory, whatever its size, and cannot send behind the peer's close frame, while here
//! payload goes through as it comes, and each direction is closed by itself.

mod handshake;

use std::io::Cursor;

use bytes::{Buf, BytesMut};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use handshake::Handshake;

/// RFC 6455, section 5.5.
const CONTROL_BYTES_MAX: u64 = 125;
/// While the peer has so much to take, its pings are not answered: more than who writes payload lets gather.
const UNTAKEN_BYTES_MAX: usize = 64 << 10;

/// What to ask for.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Host, and port where it is not 443.
    pub authority: &'a str,
    /// With its query. It may be a secret.
    pub path: &'a str,
    pub protocol: Option<&'a str>,
    pub headers: &'a [(&'static str, &'a str)],
}

/// Why there is no WebSocket, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebSocketError {
    #[error("the request cannot be made: {0}")]
    Request(&'static str),
    #[error("the server refused the WebSocket: HTTP status {status}{}", .is_page.then_some(" with a page for people (text/html)").unwrap_or_default())]
    Refused {
        status: u16,
        /// It came with HTML, as no server of WebSockets answers.
        is_page: bool,
    },
    /// In words of ours: those of the library may repeat what the server sent.
    #[error("the server does not speak WebSocket")]
    NoWebSocket,
    #[error("the server sent {0}")]
    Unexpected(&'static str),
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The handshake is done.
    Open,
    /// A piece of payload: not a whole message, nor a whole frame.
    Data(&'a [u8]),
    /// The peer sends nothing any more.
    Closed,
}

/// One WebSocket.
pub(crate) struct WebSocket {
    /// Until it is done.
    handshake: Option<Handshake>,
    input: BytesMut,
    output: BytesMut,
    frame: Option<Frame>,
    /// A message of several frames has begun.
    is_fragmented: bool,
    is_ended: bool,
    is_closed: bool,
}

/// The frame whose payload is being read.
struct Frame {
    opcode: OpCode,
    is_final: bool,
    left: u64,
}

impl WebSocket {
    /// Starts with the request in the output.
    pub fn new(request: &Request<'_>) -> Result<WebSocket, WebSocketError> {
        let mut output = BytesMut::new();
        let handshake = Handshake::new(request, &mut output)?;
        Ok(WebSocket {
            handshake: Some(handshake),
            input: BytesMut::new(),
            output,
            frame: None,
            is_fragmented: false,
            is_ended: false,
            is_closed: false,
        })
    }

    /// Whether payload may be written.
    pub fn is_open(&self) -> bool {
        self.handshake.is_none()
    }

    /// Bytes for the peer; the transport takes them from the front.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Takes bytes from the peer. A ping among them is answered.
    pub fn receive<E: From<WebSocketError>>(
        &mut self,
        mut bytes: &[u8],
        mut on_event: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(handshake) = self.handshake.take() {
            self.input.extend_from_slice(bytes);
            bytes = &[];
            self.handshake = handshake.go_on(&mut self.input)?;
            if self.handshake.is_some() {
                return Ok(());
            }
            on_event(Event::Open)?;
        }
        // Payload that is not cut off a head before it need not be copied.
        while self.read_one(&mut bytes, &mut on_event)? {}
        Ok(())
    }

    /// Reads one head, or one piece of payload; returns whether there may be more.
    fn read_one<E: From<WebSocketError>>(
        &mut self,
        bytes: &mut &[u8],
        on_event: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Some(frame) = &mut self.frame else {
            self.input.extend_from_slice(bytes);
            *bytes = &[];
            return Ok(self.read_head()?);
        };
        if !matches!(frame.opcode, OpCode::Data(_)) {
            self.input.extend_from_slice(bytes);
            *bytes = &[];
            if (self.input.len() as u64) < frame.left {
                return Ok(false);
            }
            let (control, length) = (frame.opcode, frame.left as usize);
            self.frame = None;
            let payload = self.input.split_to(length);
            self.control(control, &payload);
            if control == OpCode::Control(Control::Close) {
                on_event(Event::Closed)?;
            }
            return Ok(true);
        }
        // What is left of an earlier call goes first.
        let source = if self.input.is_empty() {
            *bytes
        } else {
            &self.input
        };
        let length = usize::try_from(frame.left)
            .unwrap_or(usize::MAX)
            .min(source.len());
        let (payload, _) = source.split_at(length);
        if !payload.is_empty() {
            on_event(Event::Data(payload))?;
        }
        frame.left -= length as u64;
        let (is_over, is_final) = (frame.left == 0, frame.is_final);
        if self.input.is_empty() {
            *bytes = bytes.split_at(length).1;
        } else {
            self.input.advance(length);
        }
        if is_over {
            self.frame = None;
            self.is_fragmented = !is_final;
        }
        Ok(is_over || length > 0)
    }

    fn read_head(&mut self) -> Result<bool, WebSocketError> {
        if self.is_ended && !self.input.is_empty() {
            return Err(WebSocketError::Unexpected("a frame behind its last"));
        }
        let mut cursor = Cursor::new(&self.input[..]);
        let malformed = |_| WebSocketError::Unexpected("a frame that cannot be read");
        let Some((head, left)) = FrameHeader::parse(&mut cursor).map_err(malformed)? else {
            return Ok(false);
        };
        let head_bytes = cursor.position() as usize;
        self.input.advance(head_bytes);
        let is_control = matches!(head.opcode, OpCode::Control(_));
        if head.mask.is_some() || head.rsv1 || head.rsv2 || head.rsv3 {
            return Err(WebSocketError::Unexpected("a frame as no server may"));
        }
        if is_control && (left > CONTROL_BYTES_MAX || !head.is_final) {
            return Err(WebSocketError::Unexpected(
                "a control frame that is too long",
            ));
        }
        match head.opcode {
            OpCode::Data(Data::Text) => return Err(WebSocketError::Unexpected("text")),
            OpCode::Data(Data::Continue) if !self.is_fragmented => {
                return Err(WebSocketError::Unexpected(
                    "the rest of a message without its begin",
                ));
            }
            OpCode::Data(Data::Binary) if self.is_fragmented => {
                return Err(WebSocketError::Unexpected("a message within another"));
            }
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
                return Err(WebSocketError::Unexpected("a frame of an unknown kind"));
            }
            _ => {}
        }
        self.frame = Some(Frame {
            opcode: head.opcode,
            is_final: head.is_final,
            left,
        });
        Ok(true)
    }

    fn control(&mut self, control: OpCode, payload: &[u8]) {
        match control {
            // Who asks, and takes nothing, would not get the answer either.
            OpCode::Control(Control::Ping) if self.output.len() < UNTAKEN_BYTES_MAX => {
                self.frame(OpCode::Control(Control::Pong), payload);
            }
            OpCode::Control(Control::Close) => self.is_ended = true,
            _ => {}
        }
    }

    /// Sends payload, as one binary message; none behind [`close`](Self::close).
    pub fn write(&mut self, payload: &[u8]) {
        self.frame(OpCode::Data(Data::Binary), payload);
    }

    /// Asks the peer for a sign of life.
    pub fn ping(&mut self) {
        self.frame(OpCode::Control(Control::Ping), &[]);
    }

    /// Says that nothing follows; the peer may still send. A second call does nothing.
    pub fn close(&mut self) {
        /// RFC 6455, section 7.4.1: a normal end.
        const NORMAL: u16 = 1000;
        self.frame(OpCode::Control(Control::Close), &NORMAL.to_be_bytes());
        self.is_closed = true;
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8]) {
        if self.is_closed {
            return;
        }
        // The mask keeps proxies from mistaking payload for HTTP (RFC 6455, section 10.3); inside TLS there is none
        // that reads it, so it need not be of cryptographic quality.
        let mask = fastrand::u32(..).to_ne_bytes();
        let head = FrameHeader {
            opcode,
            mask: Some(mask),
            ..FrameHeader::default()
        };
        let mut bytes = [0; 14];
        let mut cursor = Cursor::new(&mut bytes[..]);
        // Fourteen bytes are enough for every head, so this does not fail.
        if head.format(payload.len() as u64, &mut cursor).is_err() {
            return;
        }
        let head_bytes = cursor.position() as usize;
        self.output.extend_from_slice(&bytes[..head_bytes]);
        let begin = self.output.len();
        self.output.extend_from_slice(payload);
        let masked = self.output.iter_mut().skip(begin);
        masked
            .zip(mask.iter().cycle())
            .for_each(|(byte, mask)| *byte ^= mask);
    }
}

#[cfg(test)]
mod tests;
