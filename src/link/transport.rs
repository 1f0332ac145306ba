//! TLS under a session, without blocking.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use mio::{Registry, Token};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::session::{Session, SessionError};
use crate::clock::Moment;
use crate::net::tls_socket::{Incoming, TlsSocket, TlsSocketError};

/// The kernel takes no more than this ahead (Linux doubles it), so that bytes it took say that the
/// link moves: at 2 KB/s they are gone within half of the session's silence limit.
const SEND_BUFFER_BYTES: usize = 32 << 10;

/// Why the transport ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the hub closed the connection")]
    Closed,
    #[error("the hub did not accept the connection in time")]
    TimedOut,
    #[error(transparent)]
    Tls(rustls::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<TlsSocketError> for TransportError {
    fn from(error: TlsSocketError) -> TransportError {
        match error {
            TlsSocketError::Io(error) => TransportError::Io(error),
            TlsSocketError::Tls(error) => TransportError::Tls(error),
        }
    }
}

/// A socket with TLS, and what its session has to do with it.
pub(crate) struct Transport(TlsSocket);

impl Transport {
    /// Takes a connected socket over for the poller.
    pub fn new(
        socket: TcpStream,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
        registry: &Registry,
        token: Token,
    ) -> Result<Transport, TransportError> {
        let socket = TlsSocket::new(socket, name, config, registry, token)?;
        socket.limit_send_buffer(SEND_BUFFER_BYTES)?;
        Ok(Transport(socket))
    }

    /// Notes what the poller reported.
    pub fn note(&mut self, event: &mio::event::Event) {
        self.0.note(event);
    }

    /// Brings the session all that has come.
    pub fn read(&mut self, session: &mut Session, now: Moment) -> Result<(), TransportError> {
        let incoming = self.0.read(|bytes| -> Result<bool, TransportError> {
            session.receive(bytes, now)?;
            Ok(true)
        });
        match incoming? {
            Incoming::Open => Ok(()),
            Incoming::Ended | Incoming::Cut => Err(TransportError::Closed),
        }
    }

    /// Sends what the session has, until the socket would have to wait.
    pub fn write(&mut self, session: &mut Session, now: Moment) -> Result<(), TransportError> {
        if self.0.write(session.output())? {
            let all = self.is_flushed(session);
            session.sent(all, now);
        }
        Ok(())
    }

    /// Whether everything that the session wrote is with the kernel.
    pub fn is_flushed(&self, session: &mut Session) -> bool {
        session.output().is_empty() && self.0.is_flushed()
    }

    /// Says the TLS goodbye, behind what was written before.
    pub fn close_notify(&mut self) {
        self.0.close_notify();
    }

    /// Takes the socket out of the poller, before it is closed.
    pub fn deregister(&mut self, registry: &Registry) {
        if let Err(error) = self.0.deregister(registry) {
            log::debug!("cannot deregister a socket: {error}");
        }
    }
}
