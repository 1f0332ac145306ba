//! One request and its answer, over a connection of their own.
//!
//! ```text
//! look the name up ──> connect to the first address that answers ──> TLS handshake
//!   ──> send head and body, and read: a server may answer before it has all, and close ──> answer
//! ```
//!
//! Our own, as what is sent and received here must not be logged by anybody: these are the bytes that
//! hold tokens, passwords and upload links.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Buf;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::answer::{Answer, AnswerError, AnswerReader};
use super::request::Request;
use super::waiting::{Cancellation, SOCKET, Waiting};
use crate::net::tls_socket::{Incoming, TlsSocket, TlsSocketError};

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Cancelled,
    TimedOut,
    /// A time limit, by what it was for.
    Late(&'static str),
    Io(io::Error),
    Tls(rustls::Error),
    Answer(AnswerError),
    /// The request, or the host's name, cannot be sent.
    Unmade,
    System(io::Error),
}

impl Failure {
    fn late(self, what: &'static str) -> Failure {
        match self {
            Failure::TimedOut => Failure::Late(what),
            other => other,
        }
    }
}

impl From<TlsSocketError> for Failure {
    fn from(error: TlsSocketError) -> Failure {
        match error {
            TlsSocketError::Io(error) => Failure::Io(error),
            TlsSocketError::Tls(error) => Failure::Tls(error),
        }
    }
}

impl From<AnswerError> for Failure {
    fn from(error: AnswerError) -> Failure {
        Failure::Answer(error)
    }
}

/// How long an exchange may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the lookup to the answer's last byte.
    pub whole: Option<Duration>,
    pub look_up: Duration,
    /// TCP and TLS.
    pub connect: Duration,
    /// Between two moments at which the system took bytes to send.
    pub write_stall: Duration,
    /// From the request's last byte to the answer's head.
    pub head: Duration,
    /// From there to its end.
    pub body: Duration,
}

/// Makes one exchange. An answer of any status is a success here.
pub(super) fn exchange(
    request: &Request<'_>,
    limits: &Limits,
    tls: Arc<ClientConfig>,
    cancellation: &Cancellation,
) -> Result<Answer, Failure> {
    let host = request.host;
    let head = request.head().ok_or(Failure::Unmade)?;
    let name = ServerName::try_from(host.name.clone()).map_err(|_| Failure::Unmade)?;
    let clock = Deadlines::start(limits);

    let mut waiting = Waiting::new(cancellation)?;
    let addresses = waiting
        .look_up(&host.name, host.port, clock.after(limits.look_up))
        .map_err(|failure| failure.late("the host name was not resolved in time"))?;
    let connect_by = clock.after(limits.connect);
    let late = |failure: Failure| failure.late("no connection was made in time");
    let start = |address, waiting: &Waiting<'_>| {
        let registry = waiting.registry();
        TlsSocket::connect(address, name.clone(), Arc::clone(&tls), registry, SOCKET)
    };
    let mut conversation = Conversation {
        socket: connect(&mut waiting, &addresses, start, connect_by).map_err(late)?,
        output: head.as_slice().chain(request.body),
        reader: AnswerReader::default(),
        sent: false,
        write_error: None,
    };
    conversation
        .shake_hands(&mut waiting, connect_by)
        .map_err(late)?;
    let answer = conversation.run(&mut waiting, &clock, limits);
    answer.map_err(|failure| failure.late("no answer came in time"))
}

/// The end of the whole, and ends of its parts before it.
struct Deadlines {
    whole: Option<Instant>,
}

impl Deadlines {
    fn start(limits: &Limits) -> Deadlines {
        Deadlines {
            whole: limits.whole.map(|limit| Instant::now() + limit),
        }
    }

    fn after(&self, limit: Duration) -> Instant {
        let part = Instant::now() + limit;
        self.whole.map_or(part, |whole| whole.min(part))
    }
}

/// Connects to the first address that lets it. Each has an equal share of the time that is left, so
/// that a dead one (often the IPv6 address of a host behind a router that has no IPv6) leaves time
/// for the others.
fn connect(
    waiting: &mut Waiting<'_>,
    addresses: &[SocketAddr],
    start: impl Fn(SocketAddr, &Waiting<'_>) -> Result<TlsSocket, TlsSocketError>,
    deadline: Instant,
) -> Result<TlsSocket, Failure> {
    let mut failure = Failure::Io(io::ErrorKind::AddrNotAvailable.into());
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / u32::try_from(left).unwrap_or(1);
        let connected = start(*address, waiting)
            .map_err(Failure::from)
            .and_then(|socket| until_connected(waiting, socket, now + share));
        match connected {
            Err(cause @ (Failure::TimedOut | Failure::Io(_))) => failure = cause,
            other => return other,
        }
    }
    Err(failure)
}

fn until_connected(
    waiting: &mut Waiting<'_>,
    mut socket: TlsSocket,
    deadline: Instant,
) -> Result<TlsSocket, Failure> {
    while !socket.is_connected().map_err(Failure::Io)? {
        waiting.wait(deadline, |event| socket.note(event))?;
    }
    Ok(socket)
}

/// What is sent and read over one connection.
struct Conversation<'a> {
    socket: TlsSocket,
    output: bytes::buf::Chain<&'a [u8], &'a [u8]>,
    reader: AnswerReader,
    /// All is with the kernel.
    sent: bool,
    /// Nothing more can be sent; what the server said before it closed may still be there.
    write_error: Option<io::Error>,
}

impl Conversation<'_> {
    fn shake_hands(&mut self, waiting: &mut Waiting<'_>, deadline: Instant) -> Result<(), Failure> {
        while self.socket.is_handshaking() {
            self.write();
            let incoming = self.read()?;
            if self.socket.is_handshaking() {
                self.check_open(incoming)?;
                waiting.wait(deadline, |event| self.socket.note(event))?;
            }
        }
        Ok(())
    }

    fn run(
        mut self,
        waiting: &mut Waiting<'_>,
        clock: &Deadlines,
        limits: &Limits,
    ) -> Result<Answer, Failure> {
        let mut stage = Stage::Sending;
        let mut deadline = clock.after(limits.write_stall);
        loop {
            let progress = self.write();
            let read = self.read();
            if let Some(answer) = self.answer(read)? {
                self.socket.close_notify();
                self.write();
                return Ok(answer);
            }
            let before = std::mem::replace(&mut stage, self.stage());
            if stage != before || (stage == Stage::Sending && progress) {
                deadline = clock.after(match stage {
                    Stage::Sending => limits.write_stall,
                    Stage::AwaitingHead => limits.head,
                    Stage::ReadingBody => limits.body,
                });
            }
            waiting.wait(deadline, |event| self.socket.note(event))?;
        }
    }

    fn stage(&self) -> Stage {
        if self.goes_on_sending() {
            Stage::Sending
        } else if self.reader.status().is_none() {
            Stage::AwaitingHead
        } else {
            Stage::ReadingBody
        }
    }

    fn is_refused(&self) -> bool {
        self.reader.status().is_some_and(|status| status >= 300)
    }

    /// A server that has refused the request needs no more of it.
    fn goes_on_sending(&self) -> bool {
        !self.sent && self.write_error.is_none() && !self.is_refused()
    }

    /// Sends what can be sent now; whether that was anything.
    fn write(&mut self) -> bool {
        if self.write_error.is_some() || self.is_refused() {
            return false;
        }
        let written = self.socket.write(&mut self.output);
        self.sent |= !self.output.has_remaining() && self.socket.is_flushed();
        written.unwrap_or_else(|error| {
            self.write_error = Some(error);
            false
        })
    }

    fn read(&mut self) -> Result<Incoming, Failure> {
        let reader = &mut self.reader;
        self.socket.read(|bytes| {
            reader.receive(bytes)?;
            Ok(!reader.is_complete())
        })
    }

    /// The answer, if what was read completes it; an error if nothing can any more.
    fn answer(&mut self, read: Result<Incoming, Failure>) -> Result<Option<Answer>, Failure> {
        match read {
            Ok(Incoming::Open) => {}
            // Closing on what it did not read, it loses the rest of what it says.
            Ok(Incoming::Ended | Incoming::Cut) | Err(Failure::Io(_))
                if self.is_refused() && !self.sent =>
            {
                self.reader.cut_off();
            }
            Ok(incoming) if self.reader.has_begun() => {
                self.reader.end(incoming == Incoming::Ended)?;
            }
            Ok(incoming) => self.check_open(incoming)?,
            Err(failure @ Failure::Io(_)) => {
                // Rather the first cause than that the connection is over as well.
                return Err(self.write_error.take().map_or(failure, Failure::Io));
            }
            Err(failure) => return Err(failure),
        }
        let answer = self.reader.take();
        // An answer of success to half a request would be about half of the content.
        match answer {
            Some(answer) if answer.status < 300 && !self.sent => Err(AnswerError::Early.into()),
            answer => Ok(answer),
        }
    }

    fn check_open(&mut self, incoming: Incoming) -> Result<(), Failure> {
        match incoming {
            Incoming::Open => Ok(()),
            Incoming::Ended | Incoming::Cut => {
                let closed = || io::ErrorKind::UnexpectedEof.into();
                Err(Failure::Io(self.write_error.take().unwrap_or_else(closed)))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sending,
    AwaitingHead,
    ReadingBody,
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::http::test_server::unanswering;
    use crate::net::trust::Trust;
    use std::net::TcpListener;

    #[test]
    fn an_address_that_nobody_answers_at_leaves_time_for_the_next() {
        let (dead, _waiting) = unanswering();
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [&dead, &refusing, &good].map(|listener| listener.local_addr().unwrap());
        drop(refusing);
        let cancellation = Cancellation::default();
        let mut waiting = Waiting::new(&cancellation).unwrap();
        let deadline = Instant::now() + Duration::from_secs(3);
        let clock = Arc::new(crate::clock::SystemClock);
        let trust = Trust::load(None, clock).unwrap();
        let start = |address, waiting: &Waiting<'_>| {
            let name = ServerName::try_from("hub.example").unwrap();
            TlsSocket::connect(address, name, trust.rustls(), waiting.registry(), SOCKET)
        };
        let mut socket = connect(&mut waiting, &addresses, start, deadline).unwrap();
        assert!(socket.is_connected().unwrap());
        assert!(Instant::now() < deadline);
        good.accept().unwrap();
    }
}
