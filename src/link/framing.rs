//! MQTT's bytes in WebSocket frames: between a [`Session`] and the TLS socket.

use std::io;

use bytes::Buf;

use super::session::Session;
use super::transport_error::TransportError;
use crate::clock::Moment;
use crate::net::host::{HTTPS_PORT, Host};
use crate::net::tls_socket::{Incoming, TlsSocket};
use crate::net::web_socket::{Event, Request, WebSocket, WebSocketError};

/// Where IoT Hub takes MQTT over WebSocket
/// (<https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub>), with the query of its own SDKs.
const PATH: &str = "/$iothub/websocket?iothub-no-client-cert=true";
const PROTOCOL: &str = "mqtt";
/// With its head, of eight bytes at most, a frame fits into one TLS record.
const FRAME_BYTES: usize = (16 << 10) - 8;

/// A WebSocket that carries MQTT.
pub(super) struct Framing {
    web_socket: WebSocket,
    /// So many bytes at the front of the session's output are in the frame that is being sent. They stay there until
    /// TLS has the whole frame: what the session takes for sent is sent.
    framed_bytes: usize,
    /// Of what is not sent yet, some is MQTT: a pong or the handshake is no sign of the session's.
    carries_mqtt: bool,
    is_closed: bool,
}

impl Framing {
    /// Starts with the request for a WebSocket to this host.
    pub fn new(host: &Host) -> Result<Framing, WebSocketError> {
        let web_socket = WebSocket::new(&Request {
            authority: &host.authority(HTTPS_PORT),
            path: PATH,
            protocol: Some(PROTOCOL),
            headers: &[],
        })?;
        Ok(Framing {
            web_socket,
            framed_bytes: 0,
            carries_mqtt: false,
            is_closed: false,
        })
    }

    /// Brings the session all that has come.
    pub fn read(
        &mut self,
        socket: &mut TlsSocket,
        session: &mut Session,
        now: Moment,
    ) -> Result<Incoming, TransportError> {
        let (web_socket, is_closed) = (&mut self.web_socket, &mut self.is_closed);
        let incoming = socket.read(|bytes| -> Result<bool, TransportError> {
            web_socket.receive(bytes, |event| -> Result<(), TransportError> {
                match event {
                    Event::Open => {}
                    Event::Data(bytes) => session.receive(bytes, now)?,
                    Event::Closed => *is_closed = true,
                }
                Ok(())
            })?;
            Ok(!*is_closed)
        })?;
        if self.is_closed {
            return Ok(Incoming::Ended);
        }
        Ok(incoming)
    }

    /// Sends what the session has, until the socket would have to wait; returns whether that took any of it.
    pub fn write(&mut self, socket: &mut TlsSocket, session: &mut Session) -> io::Result<bool> {
        let mut has_sent = false;
        loop {
            has_sent |= socket.write(self.web_socket.output())? && self.carries_mqtt;
            if !self.web_socket.output().is_empty() {
                return Ok(has_sent);
            }
            let output = session.output();
            output.advance(std::mem::take(&mut self.framed_bytes));
            let piece = output.get(..FRAME_BYTES).unwrap_or(output);
            if piece.is_empty() || !self.web_socket.is_open() {
                self.carries_mqtt &= !socket.is_flushed();
                return Ok(has_sent);
            }
            self.framed_bytes = piece.len();
            self.carries_mqtt = true;
            self.web_socket.write(piece);
        }
    }

    /// Whether TLS has every frame.
    pub fn is_flushed(&mut self) -> bool {
        self.web_socket.output().is_empty()
    }

    /// Says that nothing follows, unless a frame is still being sent.
    pub fn close(&mut self, socket: &mut TlsSocket) -> io::Result<()> {
        if self.is_flushed() {
            self.web_socket.close();
            socket.write(self.web_socket.output())?;
        }
        Ok(())
    }
}
