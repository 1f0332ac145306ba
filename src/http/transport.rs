//! The connection under one HTTP call: dialled, with our own TLS, and heard while it still sends.
//!
//! ureq's own transports block on one direction: a server that refuses an upload before it has all of it
//! would be a broken pipe. This one reads while it writes. What goes wrong is noted in the [`Course`], as
//! ureq's errors say less.

mod buffers;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Token;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, Transport, time,
};

use super::error::{AnswerError, HttpError, NO_ANSWER, NO_CONNECTION};
use crate::net::cancel::{Cancellation, SocketPoll, WaitError};
use crate::net::dial::{DialLimits, Dialer};
use crate::net::host::Host;
use crate::net::tls_socket::{Incoming, TlsSocket};
use crate::pacing::upload::UploadPace;
use crate::sync::Mutex;
pub(super) use buffers::CallBuffers;

const SOCKET: Token = Token(0);
/// Heads, informational ones too, the largest body, and what its chunks cost beside their content.
const RECEIVED_BYTES_MAX: usize = 160 << 10;

/// How a call went, as the connection saw it.
#[derive(Debug, Default)]
pub(super) struct Course(Mutex<CourseState>);

#[derive(Debug, Default)]
struct CourseState {
    failure: Option<HttpError>,
    /// The server answered, or ended the connection, before it had all of the request.
    is_early: bool,
    issuer: Option<String>,
}

impl Course {
    pub fn is_early(&self) -> bool {
        self.0.lock().is_early
    }

    pub fn is_cancelled(&self) -> bool {
        matches!(self.0.lock().failure, Some(HttpError::Cancelled))
    }

    /// Who issued the server's certificate.
    pub fn issuer(&self) -> Option<String> {
        self.0.lock().issuer.clone()
    }

    /// Why the call failed: what the connection knows of it, else what ureq says.
    pub fn explain(&self, error: HttpError) -> HttpError {
        self.0.lock().failure.take().unwrap_or(error)
    }

    /// What ends the connection without ending the call: there may still be an answer. If there is
    /// none, the first such thing is the reason.
    fn note(&self, failure: HttpError) {
        self.0.lock().failure.get_or_insert(failure);
    }

    /// What ends the call; ureq gets a placeholder for it.
    fn fail(&self, failure: HttpError) -> ureq::Error {
        self.0.lock().failure = Some(failure);
        ureq::Error::ConnectionFailed
    }
}

/// Names are the dialer's.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Makes the one connection of a call.
pub(super) struct HttpsConnector {
    pub dialer: Arc<Dialer>,
    pub host: Host,
    pub limits: DialLimits,
    /// How long TLS's handshake may take; more on a connection whose round trip is long.
    pub handshake: Option<Duration>,
    pub tls: Arc<ClientConfig>,
    pub cancellation: Arc<Cancellation>,
    pub course: Arc<Course>,
    /// What is sent has to keep to it.
    pub pace: Option<Arc<UploadPace>>,
}

impl Connector for HttpsConnector {
    type Out = HttpsTransport;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<HttpsTransport>, ureq::Error> {
        let connected = self.connect_tls().map(Some);
        connected.map_err(|failure| self.course.fail(failure))
    }
}

impl HttpsConnector {
    fn connect_tls(&self) -> Result<HttpsTransport, HttpError> {
        let name = ServerName::try_from(self.host.name.clone()).map_err(|_| HttpError::Unmade)?;
        let dialed = self
            .dialer
            .dial(&self.host, self.limits, &self.cancellation)?;
        let late = |error| HttpError::of_wait(error, NO_CONNECTION);
        let poll = SocketPoll::new(&self.cancellation).map_err(late)?;
        let tls = Arc::clone(&self.tls);
        let socket = TlsSocket::new(dialed.socket, name, tls, poll.registry(), SOCKET)?;
        let mut transport = HttpsTransport {
            socket,
            poll,
            buffers: CallBuffers::default(),
            received_bytes: 0,
            end: None,
            course: Arc::clone(&self.course),
            pace: self.pace.clone(),
        };
        let silence = self.limits.end_of(dialed.patience);
        let handshake = self.handshake.unwrap_or(self.limits.connect);
        let deadline = self.limits.end_of(handshake.max(dialed.patience));
        transport
            .shake_hands(silence, deadline)
            .inspect_err(|_| self.dialer.disappointed(&self.host))?;
        self.course.0.lock().issuer = transport.socket.issuer();
        Ok(transport)
    }
}

impl fmt::Debug for HttpsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpsConnector")
    }
}

/// A connection with TLS.
pub(super) struct HttpsTransport {
    socket: TlsSocket,
    poll: SocketPoll,
    buffers: CallBuffers,
    received_bytes: usize,
    /// Nothing more can come.
    end: Option<End>,
    course: Arc<Course>,
    pace: Option<Arc<UploadPace>>,
}

/// How the server's side of the connection ended.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It said so.
    Declared,
    /// Anybody on the way can have done that.
    Cut,
}

impl HttpsTransport {
    /// Until `silence` the server must have said anything, until `deadline` all.
    fn shake_hands(&mut self, silence: Instant, deadline: Instant) -> Result<(), HttpError> {
        let late = |error| HttpError::of_wait(error, NO_CONNECTION);
        while self.socket.is_handshaking() {
            self.socket.write(&mut &[][..]).map_err(HttpError::Io)?;
            let incoming = self.socket.read(|_| Ok::<_, HttpError>(true))?;
            if self.socket.is_handshaking() {
                if incoming != Incoming::Open {
                    return Err(HttpError::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                let socket = &mut self.socket;
                let until = if socket.has_heard() {
                    deadline
                } else {
                    silence.min(deadline)
                };
                self.poll
                    .wait(Some(until), |event| socket.note(event))
                    .map_err(late)?;
            }
        }
        Ok(())
    }

    /// Takes what has come, and notes how it ended.
    fn receive(&mut self) -> Result<(), HttpError> {
        if self.end.is_some() {
            return Ok(());
        }
        let (buffers, received_bytes) = (&mut self.buffers, &mut self.received_bytes);
        let read = self.socket.read(|bytes| -> Result<bool, HttpError> {
            *received_bytes += bytes.len();
            if *received_bytes > RECEIVED_BYTES_MAX {
                return Err(AnswerError::TooLarge.into());
            }
            buffers.receive(bytes);
            Ok(true)
        });
        let (end, reason) = match (read, self.received_bytes) {
            (Ok(Incoming::Open), _) => return Ok(()),
            (Ok(Incoming::Ended), 0) => (End::Declared, closed()),
            (Ok(Incoming::Cut), 0) => (End::Cut, closed()),
            (Ok(Incoming::Ended), _) => (End::Declared, AnswerError::CutShort.into()),
            (Ok(Incoming::Cut), _) => (End::Cut, AnswerError::CutShort.into()),
            (Err(error @ HttpError::Io(_)), _) => (End::Cut, error),
            (Err(error), _) => return Err(error),
        };
        self.course.note(reason);
        self.end = Some(end);
        Ok(())
    }

    /// Sends all of it, unless the server has answered, or ended the connection, before.
    fn send(&mut self, mut output: &[u8], timeout: NextTimeout) -> Result<(), HttpError> {
        let whole = deadline(Some(timeout.after));
        let mut stalled = deadline(timeout.per_write);
        loop {
            let written = self.socket.write(&mut output);
            if written.is_ok() && output.is_empty() && self.socket.is_flushed() {
                return Ok(());
            }
            self.receive()?;
            let has_failed = written.is_err();
            match written {
                Ok(true) => stalled = deadline(timeout.per_write),
                Ok(false) => {}
                Err(error) => self.course.note(HttpError::Io(error)),
            }
            if self.note_if_early(has_failed) {
                return Ok(());
            }
            self.wait(whole.into_iter().chain(stalled).min())?;
        }
    }

    /// The same at its pace, part by part.
    fn send_at_pace(&mut self, mut output: &[u8], timeout: NextTimeout) -> Result<(), HttpError> {
        let Some(pace) = self.pace.clone() else {
            return self.send(output, timeout);
        };
        while !output.is_empty() && !self.course.is_early() {
            match pace.send(output.len()) {
                Ok(bytes) => {
                    let (part, rest) = output.split_at(bytes.min(output.len()));
                    self.send(part, timeout)?;
                    output = rest;
                }
                Err(wait) => self.pause(wait)?,
            }
        }
        Ok(())
    }

    /// Sends nothing for so long, or until the server has answered or ended the connection.
    fn pause(&mut self, time: Duration) -> Result<(), HttpError> {
        let socket = &mut self.socket;
        let until = Instant::now() + time;
        match self.poll.wait(Some(until), |event| socket.note(event)) {
            Ok(()) | Err(WaitError::TimedOut) => {}
            Err(error) => return Err(HttpError::of_wait(error, NO_ANSWER)),
        }
        self.receive()?;
        self.note_if_early(false);
        Ok(())
    }

    fn note_if_early(&mut self, has_failed: bool) -> bool {
        let is_early = has_failed || self.end.is_some() || self.buffers.holds_an_answer();
        self.course.0.lock().is_early |= is_early;
        is_early
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), HttpError> {
        let socket = &mut self.socket;
        let waited = self.poll.wait(deadline, |event| socket.note(event));
        waited.map_err(|error| HttpError::of_wait(error, NO_ANSWER))
    }
}

fn closed() -> HttpError {
    HttpError::Io(io::ErrorKind::UnexpectedEof.into())
}

fn deadline(limit: Option<time::Duration>) -> Option<Instant> {
    let limit = limit.filter(|limit| !limit.is_not_happening())?;
    Instant::now().checked_add(*limit)
}

impl Transport for HttpsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        // A server that has answered, or gone, gets no more.
        if self.course.is_early() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.buffers.output);
        let sent = self.send_at_pace(output.get(..amount).unwrap_or_default(), timeout);
        self.buffers.output = output;
        sent.map_err(|failure| self.course.fail(failure))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let deadline = deadline(Some(timeout.after));
        loop {
            let received = self.receive();
            received.map_err(|failure| self.course.fail(failure))?;
            match self.end {
                _ if self.buffers.has_news => return Ok(true),
                Some(End::Declared) => return Ok(false),
                Some(End::Cut) => return Err(ureq::Error::ConnectionFailed),
                None => {}
            }
            let waited = self.wait(deadline);
            waited.map_err(|failure| self.course.fail(failure))?;
        }
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl Drop for HttpsTransport {
    /// Says goodbye, as far as that needs no waiting.
    fn drop(&mut self) {
        self.socket.close_notify();
        drop(self.socket.write(&mut &[][..]));
    }
}

impl fmt::Debug for HttpsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpsTransport")
    }
}
