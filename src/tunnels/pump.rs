//! Step 4: forwards between the port and the relay until both directions are over. What one end does not take is
//! not read from the other, so a tunnel holds 256 KB at most, its thread and TLS included, whatever the speeds.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use mio::Token;
use mio::net::TcpStream;

use super::budget::Budget;
use super::life::{Life, Look, SILENCE_LIMIT};
use super::{Entry, RemoteAccess};
use crate::error::Chain;
use crate::net::cancel::{SocketPoll, WaitError};
use crate::net::tls_failure::{connection_failure, tls_failure};
use crate::net::tls_socket::{Piece, TlsSocket, TlsSocketError};
use crate::net::web_socket::{Event, WebSocket, WebSocketError};

/// The port's end, and the relay's.
pub(super) const LOCAL: Token = Token(0);
pub(super) const RELAY: Token = Token(1);

/// Payload that waits for one end; more is not read from the other.
const BUFFER_BYTES: usize = 16 << 10;
const PIECE_BYTES: usize = 16 << 10;
/// After so many pieces each way both ends are looked at, also when there is more to do: between two fast ones there
/// always is.
const PIECES_MAX: usize = 64;

/// The relay's side of a tunnel, its handshakes done.
pub(super) struct Relay {
    pub socket: TlsSocket,
    pub web_socket: WebSocket,
    pub inward: Inward,
}

/// What came from the relay and is to go to the port.
#[derive(Default)]
pub(super) struct Inward {
    bytes: BytesMut,
    /// The relay sends no more.
    is_over: bool,
}

impl Inward {
    pub fn take(&mut self, event: Event<'_>) -> Result<(), WebSocketError> {
        match event {
            Event::Open => {}
            Event::Data(piece) => self.bytes.extend_from_slice(piece),
            Event::Closed => self.is_over = true,
        }
        Ok(())
    }
}

/// A tunnel whose both ends are connected.
pub(super) struct Tunnel {
    poll: SocketPoll,
    local: Local,
    relay: Relay,
}

/// The port's side.
struct Local {
    socket: TcpStream,
    readable: bool,
    writable: bool,
    /// The port sends no more.
    is_over: bool,
    /// The port was told that nothing follows.
    is_shut: bool,
}

/// Why a tunnel ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("both ends have closed it")]
    Closed,
    #[error("the relay ended the connection")]
    RelayGone,
    #[error("the relay gave no sign of life for {} s", SILENCE_LIMIT.as_secs())]
    RelaySilent,
    #[error("nothing came through it for {}", humantime::format_duration(*.0))]
    Idle(Duration),
    #[error("the connection to the port failed: {0}")]
    Local(io::Error),
    #[error("the connection to the relay failed: {}", Chain(.0))]
    Relay(crate::Error),
    #[error("the client is closed")]
    Cancelled,
}

const ACTION: &str = "stay connected to the relay";

impl From<TlsSocketError> for End {
    fn from(error: TlsSocketError) -> End {
        End::Relay(match error {
            TlsSocketError::Io(error) => connection_failure(ACTION, error),
            TlsSocketError::Tls(error) => tls_failure(ACTION, error),
        })
    }
}

impl From<WebSocketError> for End {
    fn from(error: WebSocketError) -> End {
        End::Relay(crate::Error::protocol(ACTION, error.to_string()))
    }
}

impl Tunnel {
    pub fn new(poll: SocketPoll, local: TcpStream, relay: Relay) -> Tunnel {
        Tunnel {
            poll,
            local: Local {
                socket: local,
                readable: true,
                writable: true,
                is_over: false,
                is_shut: false,
            },
            relay,
        }
    }

    /// Returns when the tunnel is over, and why.
    pub fn forward(mut self, options: &RemoteAccess, entry: &Entry) -> End {
        let now = Instant::now();
        let mut budget = Budget::new(options.bytes_per_second, now);
        let mut life = Life::new(options.idle_limit, now);
        entry
            .received_bytes
            .fetch_add(self.relay.inward.bytes.len() as u64, Ordering::Relaxed);
        let end = loop {
            match self.step(&mut budget, &mut life, entry) {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        self.say_goodbye();
        end
    }

    /// Does what can be done without waiting, then waits for more.
    fn step(&mut self, budget: &mut Budget, life: &mut Life, entry: &Entry) -> Result<(), End> {
        let now = Instant::now();
        let (mut moved, mut is_out_of_budget) = (true, false);
        for _ in 0..PIECES_MAX {
            let allowed = budget.allows(PIECE_BYTES, now);
            is_out_of_budget = allowed == 0;
            let received = self.read_relay(allowed)?;
            if received.is_some() {
                life.heard(now);
            }
            let received = received.unwrap_or(0);
            budget.spend(received);
            let allowed = budget.allows(PIECE_BYTES, now);
            is_out_of_budget |= allowed == 0;
            let sent = self.read_local(allowed)?;
            budget.spend(sent);
            if received + sent > 0 {
                life.used(now);
            }
            // Before anybody can have seen the bytes.
            let (received_bytes, sent_bytes) = (&entry.received_bytes, &entry.sent_bytes);
            received_bytes.fetch_add(received as u64, Ordering::Relaxed);
            sent_bytes.fetch_add(sent as u64, Ordering::Relaxed);
            // What either end takes makes room to read from the other, which tells of its bytes only once.
            moved = self.write_local()? | self.write_relay()? | (received + sent > 0);
            if !moved {
                break;
            }
        }
        if self.is_over() {
            return Err(End::Closed);
        }
        let due = self.look(life, now)?;
        let budget_due = budget.due().filter(|_| is_out_of_budget);
        if moved {
            return self.look_at_ends();
        }
        let was_blocked = self.relay.socket.is_blocked();
        self.wait(budget_due.into_iter().chain(due).min())?;
        if was_blocked && !self.relay.socket.is_blocked() {
            // The relay acknowledges what a slow line brings, though it says nothing, and a ping waits behind that.
            life.heard(Instant::now());
        }
        Ok(())
    }

    /// Takes payload from the relay, if there is room for it: how many bytes, or nothing if the relay gave no sign.
    fn read_relay(&mut self, allowed: usize) -> Result<Option<usize>, End> {
        let Relay {
            socket,
            web_socket,
            inward,
        } = &mut self.relay;
        if inward.bytes.len() >= BUFFER_BYTES || allowed == 0 {
            return Ok(None);
        }
        let mut buffer = [0; PIECE_BYTES];
        let (buffer, _) = buffer.split_at_mut(allowed.min(PIECE_BYTES));
        match socket.read_some(buffer)? {
            Piece::Bytes(count) => {
                let before = inward.bytes.len();
                let bytes = buffer.get(..count).unwrap_or_default();
                web_socket.receive(bytes, |event| inward.take(event))?;
                Ok(Some(inward.bytes.len() - before))
            }
            Piece::Nothing => Ok(None),
            // Behind its close frame the relay may hang up, when we have closed our side, too.
            Piece::End(_) if inward.is_over && self.local.is_over => Ok(None),
            Piece::End(_) if inward.bytes.is_empty() => Err(End::RelayGone),
            // The port gets what came before.
            Piece::End(_) => Ok(None),
        }
    }

    /// Takes bytes from the port, if there is room for them; returns how many.
    fn read_local(&mut self, allowed: usize) -> Result<usize, End> {
        let local = &mut self.local;
        let output = self.relay.web_socket.output();
        if !local.readable || local.is_over || output.len() >= BUFFER_BYTES || allowed == 0 {
            return Ok(0);
        }
        let mut buffer = [0; PIECE_BYTES];
        let (buffer, _) = buffer.split_at_mut(allowed.min(PIECE_BYTES));
        match local.socket.read(buffer) {
            Ok(0) => {
                local.is_over = true;
                self.relay.web_socket.close();
                Ok(0)
            }
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                self.relay.web_socket.write(bytes);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                local.readable = false;
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(End::Local(error)),
        }
    }

    /// Gives the port what it takes; returns whether it took any.
    fn write_local(&mut self) -> Result<bool, End> {
        let (local, inward) = (&mut self.local, &mut self.relay.inward);
        let mut has_taken = false;
        while local.writable && !inward.bytes.is_empty() {
            match local.socket.write(&inward.bytes) {
                Ok(count) => {
                    inward.bytes.advance(count);
                    has_taken = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => local.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Local(error)),
            }
        }
        if inward.is_over && inward.bytes.is_empty() && !local.is_shut {
            local.is_shut = true;
            match local.socket.shutdown(Shutdown::Write) {
                // It has gone before.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                shut => shut.map_err(End::Local)?,
            }
        }
        Ok(has_taken)
    }

    /// Gives the relay what it takes; returns whether it took any.
    fn write_relay(&mut self) -> Result<bool, End> {
        let Relay {
            socket, web_socket, ..
        } = &mut self.relay;
        socket
            .write(web_socket.output())
            .map_err(|error| TlsSocketError::Io(error).into())
    }

    /// Both directions are closed, and all is sent.
    fn is_over(&mut self) -> bool {
        let relay = &mut self.relay;
        self.local.is_over
            && self.local.is_shut
            && relay.web_socket.output().is_empty()
            && relay.socket.is_flushed()
    }

    /// Looks who gives no sign of life; returns when to look again.
    fn look(&mut self, life: &mut Life, now: Instant) -> Result<Option<Instant>, End> {
        loop {
            let inward = &self.relay.inward;
            let can_be_heard = !inward.is_over && inward.bytes.len() < BUFFER_BYTES;
            match life.look(can_be_heard, now) {
                Look::Wait(due) => return Ok(due),
                Look::Ping => {
                    self.relay.web_socket.ping();
                    self.write_relay()?;
                }
                Look::RelaySilent => return Err(End::RelaySilent),
                Look::Idle(limit) => return Err(End::Idle(limit)),
            }
        }
    }

    fn wait(&mut self, due: Option<Instant>) -> Result<(), End> {
        let (local, relay) = (&mut self.local, &mut self.relay.socket);
        let waited = self.poll.wait(due, |event| note(local, relay, event));
        heard(waited)
    }

    fn look_at_ends(&mut self) -> Result<(), End> {
        let (local, relay) = (&mut self.local, &mut self.relay.socket);
        let looked = self.poll.look(|event| note(local, relay, event));
        heard(looked)
    }

    /// As far as that needs no waiting.
    fn say_goodbye(&mut self) {
        self.relay.web_socket.close();
        self.relay.socket.close_notify();
        // The tunnel has ended, whatever comes of it. A forked child may have the sockets, too: to close them would not
        // end the connections.
        drop(self.write_relay());
        drop(self.relay.socket.shutdown());
        drop(self.local.socket.shutdown(Shutdown::Both));
    }
}

fn note(local: &mut Local, relay: &mut TlsSocket, event: &mio::event::Event) {
    match event.token() {
        LOCAL => {
            local.readable |= event.is_readable() || event.is_read_closed();
            local.writable |= event.is_writable() || event.is_write_closed();
        }
        RELAY => relay.note(event),
        _ => {}
    }
}

fn heard(waited: Result<(), WaitError>) -> Result<(), End> {
    match waited {
        Ok(()) | Err(WaitError::TimedOut) => Ok(()),
        Err(WaitError::Cancelled) => Err(End::Cancelled),
        Err(WaitError::System(error)) => Err(End::Local(error)),
    }
}
