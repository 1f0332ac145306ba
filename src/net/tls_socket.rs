//! TLS over a connected TCP socket, without blocking: mio and rustls, driven directly.
//!
//! `rustls::StreamOwned` hides plaintext from the poller and reports a full socket as end of file.

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;

use super::issuer::issuer;

/// Plaintext that rustls may hold encrypted while the socket is full.
const TLS_BUFFER_BYTES: usize = 16 << 10;
/// A TLS record at its largest.
const READ_BYTES: usize = 16 << 10;

/// What may follow after all that was there has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// More can come.
    Open,
    /// The peer said that this was all.
    Ended,
    /// The connection ended, and anybody on the way can have done that.
    Cut,
}

/// What one read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// So many bytes.
    Bytes(usize),
    /// The socket has no more now.
    Nothing,
    /// There will be no more.
    End(Incoming),
}

/// Why the socket or its TLS failed.
#[derive(Debug)]
pub(crate) enum TlsSocketError {
    Io(io::Error),
    Tls(rustls::Error),
}

impl From<io::Error> for TlsSocketError {
    fn from(error: io::Error) -> TlsSocketError {
        TlsSocketError::Io(error)
    }
}

/// A socket with TLS, registered with a poller (edge-triggered).
#[derive(Debug)]
pub(crate) struct TlsSocket {
    /// rustls takes 4 KB at a time: what is read ahead of it spares three of four calls of the system.
    socket: BufReader<TcpStream>,
    tls: ClientConnection,
    readable: bool,
    writable: bool,
    incoming: Incoming,
    /// The peer has sent something.
    has_heard: bool,
    /// Bytes sent since the peer sent anything.
    unanswered_bytes: usize,
}

impl TlsSocket {
    /// Takes a connected socket that does not block over; the poller says when there is news.
    pub fn new(
        socket: std::net::TcpStream,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
        registry: &Registry,
        token: Token,
    ) -> Result<TlsSocket, TlsSocketError> {
        let mut socket = TcpStream::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut tls = ClientConnection::new(config, name).map_err(TlsSocketError::Tls)?;
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        Ok(TlsSocket {
            socket: BufReader::with_capacity(READ_BYTES, socket),
            tls,
            readable: true,
            writable: true,
            incoming: Incoming::Open,
            has_heard: false,
            unanswered_bytes: 0,
        })
    }

    /// Has the kernel take no more than this ahead (Linux doubles it).
    pub fn limit_send_buffer(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(self.socket.get_ref()).set_send_buffer_size(bytes)
    }

    /// Notes what the poller reported.
    pub fn note(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed();
        self.writable |= event.is_writable() || event.is_write_closed();
    }

    /// Whether there may be something to read.
    pub fn has_news(&self) -> bool {
        self.readable
    }

    /// Whether the peer has sent anything at all.
    pub fn has_heard(&self) -> bool {
        self.has_heard
    }

    fn heard(&mut self) {
        self.has_heard = true;
        self.unanswered_bytes = 0;
    }

    /// Bytes sent since the peer sent anything.
    pub fn unanswered_bytes(&self) -> usize {
        self.unanswered_bytes
    }

    /// Has the system end the connection when bytes are not acknowledged for so long (`TCP_USER_TIMEOUT`, RFC 5482);
    /// without a limit, and elsewhere than on Linux, it does so after a time of its own.
    pub fn limit_unacknowledged(&self, limit: Option<Duration>) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            let limit_ms = limit.map_or(0, |limit| {
                u32::try_from(limit.as_millis()).unwrap_or(u32::MAX)
            });
            rustix::net::sockopt::set_tcp_user_timeout(self.socket.get_ref(), limit_ms)?;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = limit;
        Ok(())
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Who issued the peer's certificate, once that is there.
    pub fn issuer(&self) -> Option<String> {
        let certificates = self.tls.peer_certificates()?;
        issuer(certificates.first()?)
    }

    /// Gives `receive` all that has come, until the socket would have to wait; ends early when that
    /// wants no more.
    pub fn read<E: From<TlsSocketError>>(
        &mut self,
        mut receive: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<Incoming, E> {
        while self.readable && self.incoming == Incoming::Open {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => self.incoming = Incoming::Cut,
                Ok(_) => self.heard(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(TlsSocketError::Io(error).into()),
            }
            let state = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // What came before the bad record counts. The alert tells the peer why; the
                    // connection is over either way.
                    self.read_plaintext(&mut receive)?;
                    drop(self.tls.write_tls(self.socket.get_mut()));
                    return Err(TlsSocketError::Tls(error).into());
                }
            };
            if !self.read_plaintext(&mut receive)? {
                break;
            }
            if state.peer_has_closed() {
                self.incoming = Incoming::Ended;
            }
        }
        Ok(self.incoming)
    }

    fn read_plaintext<E: From<TlsSocketError>>(
        &mut self,
        receive: &mut impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut buffer = [0; 4096];
        loop {
            match self.tls.reader().read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => {
                    if !receive(buffer.get(..count).unwrap_or_default())? {
                        return Ok(false);
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    return Ok(true);
                }
                Err(error) => return Err(TlsSocketError::Io(error).into()),
            }
        }
    }

    /// Reads what fits into the buffer, for whoever takes no more than it has room for.
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<Piece, TlsSocketError> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(0) => self.incoming = Incoming::Ended,
                Ok(count) => return Ok(Piece::Bytes(count)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.incoming = Incoming::Cut;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if self.incoming != Incoming::Open {
                return Ok(Piece::End(self.incoming));
            }
            if !self.readable {
                return Ok(Piece::Nothing);
            }
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => {}
                Ok(_) => self.heard(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The alert tells the peer why.
                drop(self.tls.write_tls(self.socket.get_mut()));
                return Err(TlsSocketError::Tls(error));
            }
        }
    }

    /// Sends of `output` what the socket takes, the handshake first; returns whether it took any.
    pub fn write(&mut self, output: &mut impl Buf) -> io::Result<bool> {
        let mut sent = false;
        loop {
            if !self.tls.is_handshaking() && output.has_remaining() {
                let taken = self.tls.writer().write(output.chunk())?;
                output.advance(taken);
            }
            if !self.writable || !self.tls.wants_write() {
                return Ok(sent);
            }
            match self.tls.write_tls(self.socket.get_mut()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    sent = true;
                    self.unanswered_bytes += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the kernel takes no more: it waits for the peer to acknowledge what it has.
    pub fn is_blocked(&self) -> bool {
        !self.writable
    }

    /// Whether everything that was written is with the kernel.
    pub fn is_flushed(&self) -> bool {
        !self.tls.wants_write()
    }

    /// Says the TLS goodbye with the next write, behind what was written before.
    pub fn close_notify(&mut self) {
        self.tls.send_close_notify();
    }

    /// Ends the connection behind what the kernel has, also where a forked child still has the socket.
    pub fn shutdown(&self) -> io::Result<()> {
        self.socket.get_ref().shutdown(Shutdown::Write)
    }

    /// Takes the socket out of the poller, before it is closed.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.socket.get_mut())
    }
}
