//! TCP and TLS under a session, without blocking: a mio socket driven through rustls.
//!
//! `rustls::StreamOwned` hides plaintext from the poller and reports a full socket as end of file,
//! so the TLS connection is driven directly.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Buf;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::session::{Session, SessionError};
use crate::clock::Moment;

/// The kernel takes no more than this ahead (Linux doubles it), so that bytes it took say that the
/// link moves: at 2 KB/s they are gone within half of the session's silence limit.
const SEND_BUFFER_BYTES: usize = 32 << 10;
/// Plaintext that rustls may hold encrypted while the socket is full.
const TLS_BUFFER_BYTES: usize = 16 << 10;

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
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A socket with TLS, registered with a poller (edge-triggered).
pub(crate) struct Transport {
    socket: TcpStream,
    tls: ClientConnection,
    connected: bool,
    readable: bool,
    writable: bool,
}

impl Transport {
    /// Starts to connect; the poller says when it is done.
    pub fn connect(
        address: SocketAddr,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
        registry: &Registry,
        token: Token,
    ) -> Result<Transport, TransportError> {
        let mut socket = TcpStream::connect(address)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut tls = ClientConnection::new(config, name)?;
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        Ok(Transport {
            socket,
            tls,
            connected: false,
            readable: false,
            writable: false,
        })
    }

    /// Notes what the poller reported.
    pub fn note(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed();
        self.writable |= event.is_writable();
    }

    fn is_connected(&mut self) -> Result<bool, TransportError> {
        if self.connected {
            return Ok(true);
        }
        if let Some(error) = self.socket.take_error()? {
            return Err(error.into());
        }
        if !self.writable {
            return Ok(false);
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.socket.set_nodelay(true)?;
                let socket = socket2::SockRef::from(&self.socket);
                socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
                self.connected = true;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the address has taken the connection.
    pub fn has_connected(&self) -> bool {
        self.connected
    }

    /// Brings the session all that has come.
    pub fn read(&mut self, session: &mut Session, now: Moment) -> Result<(), TransportError> {
        while self.is_connected()? && self.readable {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            let state = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // What came before the bad record counts. The alert tells the peer why; the
                    // connection is over either way.
                    self.read_plaintext(session, now)?;
                    drop(self.tls.write_tls(&mut self.socket));
                    return Err(error.into());
                }
            };
            self.read_plaintext(session, now)?;
            if state.peer_has_closed() {
                return Err(TransportError::Closed);
            }
        }
        Ok(())
    }

    fn read_plaintext(&mut self, session: &mut Session, now: Moment) -> Result<(), TransportError> {
        let mut buffer = [0; 4096];
        loop {
            match self.tls.reader().read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => session.receive(buffer.get(..count).unwrap_or_default(), now)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends what the session has, until the socket would have to wait.
    pub fn write(&mut self, session: &mut Session, now: Moment) -> Result<(), TransportError> {
        let mut sent = false;
        while self.is_connected()? {
            if !self.tls.is_handshaking() && !session.output().is_empty() {
                let taken = self.tls.writer().write(session.output())?;
                session.output().advance(taken);
            }
            if !self.writable || !self.tls.wants_write() {
                break;
            }
            match self.tls.write_tls(&mut self.socket) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(_) => sent = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if sent {
            let all = session.output().is_empty() && !self.tls.wants_write();
            session.sent(all, now);
        }
        Ok(())
    }

    /// Whether everything that the session wrote is with the kernel.
    pub fn is_flushed(&self, session: &mut Session) -> bool {
        session.output().is_empty() && !self.tls.wants_write()
    }

    /// Says the TLS goodbye, behind what was written before.
    pub fn close_notify(&mut self) {
        self.tls.send_close_notify();
    }

    /// Takes the socket out of the poller, before it is closed.
    pub fn deregister(&mut self, registry: &Registry) {
        if let Err(error) = registry.deregister(&mut self.socket) {
            log::debug!("cannot deregister a socket: {error}");
        }
    }
}
