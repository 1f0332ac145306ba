//! The one way out of the machine, for the hub and for HTTP alike.
//!
//! ```text
//! name ──> its addresses (names) ──> raced (race) ──> a connected socket
//! ```
//!
//! Where a proxy leads to the host, that is what is dialled, and then asked to connect to the host (through).
//!
//! When nobody answers for the name, or not soon, the address that worked last is dialled: who is there is for TLS to
//! say (as RFC 8767 has caches serve what is stale, rather than nothing).
//!
//! A dial blocks its thread. It is ended by its [`Cancellation`], at once, and by its time limits.

mod names;
mod race;
mod through;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::cancel::{Cancellation, SocketPoll, WaitError};
use super::host::Host;
use super::proxy::negotiation::Refusal;
use super::proxy::{Proxies, Proxy};
use super::uplink::Uplink;
use crate::outage::patience;
use crate::sync::Mutex;
use names::Names;
use race::Race;

#[cfg(test)]
pub(crate) use names::pretended;

/// The client talks to an instance, its storage and one hub, which may fail over.
const HOSTS_MAX: usize = 8;
/// So long the name is waited for before the address that worked last is tried.
const FRESH_NAME_LIMIT: Duration = Duration::from_millis(500);
/// And that address is given so long.
const STALE_LIMIT: Duration = Duration::from_secs(5);
/// Another attempt at an address is given up before the system would repeat its SYN: the next one is that. The first
/// stays, as the answer may only be slow.
const AGAIN_LASTS: Duration = Duration::from_millis(900);
/// What is said on a new connection is answered within so many of the times that it took to connect, if at all.
const ROUND_TRIPS: u32 = 4;

/// How long the steps of a dial may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DialLimits {
    pub name: Duration,
    /// All addresses together.
    pub connect: Duration,
    /// A proxy's way to the host.
    pub proxy: Duration,
    /// The end of all steps.
    pub deadline: Option<Instant>,
    /// For how long the host has been out of reach: the shorter, the sooner silence is not waited for any more.
    pub outage: Duration,
}

impl DialLimits {
    /// For a connection that may take its time.
    pub const PATIENT: DialLimits = DialLimits {
        name: Duration::from_secs(30),
        connect: Duration::from_secs(30),
        proxy: Duration::from_secs(30),
        deadline: None,
        outage: Duration::from_secs(90),
    };

    /// The same when the host has been out of reach for so long.
    pub fn after(outage: Duration) -> DialLimits {
        DialLimits {
            outage,
            ..DialLimits::PATIENT
        }
    }

    /// When a step that begins now has to be over.
    pub fn end_of(&self, step: Duration) -> Instant {
        let end = Instant::now() + step;
        self.deadline.map_or(end, |deadline| deadline.min(end))
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cancelled")]
    Cancelled,
    #[error("the host name was not resolved")]
    Name(#[source] io::Error),
    #[error("the host name was not resolved in time")]
    NameTimedOut,
    #[error(transparent)]
    Connect(io::Error),
    #[error("no connection was made in time")]
    ConnectTimedOut,
    #[error("the system has no socket or thread to give")]
    System(#[source] io::Error),
    /// The proxy, by its address, could not be reached.
    #[error("the proxy {0} cannot be reached")]
    ProxyUnreachable(String, #[source] Box<DialError>),
    #[error("the proxy {0} {1}")]
    ProxyRefused(String, Refusal),
    #[error("the proxy {0} did not connect in time")]
    ProxyTimedOut(String),
}

impl DialError {
    /// As a failure on the way to a proxy.
    fn of_proxy(self, proxy: &Proxy) -> DialError {
        match self {
            DialError::Cancelled | DialError::System(_) => self,
            why => DialError::ProxyUnreachable(proxy.to_string(), Box::new(why)),
        }
    }
}

impl From<WaitError> for DialError {
    fn from(error: WaitError) -> DialError {
        match error {
            WaitError::Cancelled => DialError::Cancelled,
            WaitError::TimedOut => DialError::ConnectTimedOut,
            WaitError::System(error) => DialError::System(error),
        }
    }
}

/// A connection, and where else it could have led.
#[derive(Debug)]
pub(crate) struct Dialed {
    /// Connected, and does not block.
    pub socket: std::net::TcpStream,
    /// Addresses of the host that have not failed, for when nothing comes of this connection.
    pub others: Vec<SocketAddr>,
    /// How long it took to connect.
    pub took: Duration,
    /// How long a peer that says nothing on it is waited for.
    pub patience: Duration,
}

/// Makes connections, and remembers which addresses took them.
pub(crate) struct Dialer {
    /// What all the connections share.
    pub uplink: Arc<Uplink>,
    proxies: Proxies,
    names: Arc<Names>,
    /// The newest last.
    worked: Mutex<Vec<(Host, SocketAddr)>>,
}

impl Dialer {
    pub fn new(proxies: Proxies) -> Arc<Dialer> {
        Arc::new(Dialer {
            uplink: Arc::default(),
            proxies,
            names: Names::new(),
            worked: Mutex::default(),
        })
    }

    /// Connects to whichever address of the host, or of the proxy that leads to it, answers first.
    pub fn dial(
        &self,
        host: &Host,
        limits: DialLimits,
        cancellation: &Arc<Cancellation>,
    ) -> Result<Dialed, DialError> {
        self.dial_from(host, None, limits, cancellation)
    }

    /// Connects by way of one of these addresses, that an earlier dial left.
    pub fn dial_others(
        &self,
        host: &Host,
        addresses: Vec<SocketAddr>,
        limits: DialLimits,
        cancellation: &Arc<Cancellation>,
    ) -> Result<Dialed, DialError> {
        self.dial_from(host, Some(addresses), limits, cancellation)
    }

    fn dial_from(
        &self,
        host: &Host,
        addresses: Option<Vec<SocketAddr>>,
        limits: DialLimits,
        cancellation: &Arc<Cancellation>,
    ) -> Result<Dialed, DialError> {
        let mut poll = SocketPoll::new(cancellation)?;
        let Some(proxy) = self.proxies.for_host(host) else {
            return self.connect(host, addresses, limits, &mut poll);
        };
        let connected = self.connect(&proxy.host, addresses, limits, &mut poll);
        let mut dialed = connected.map_err(|why| why.of_proxy(proxy))?;
        let (begun, deadline) = (Instant::now(), limits.end_of(limits.proxy));
        dialed.socket = through::lead(dialed.socket, proxy, host, deadline, &mut poll)?;
        dialed.took = dialed.took.max(begun.elapsed());
        dialed.patience = dialed.patience.max(ROUND_TRIPS * dialed.took);
        Ok(dialed)
    }

    /// The connection to this host came to nothing: its address is no better than others.
    pub fn disappointed(&self, host: &Host) {
        self.worked.lock().retain(|(of, _)| of != host);
    }

    fn connect(
        &self,
        host: &Host,
        addresses: Option<Vec<SocketAddr>>,
        limits: DialLimits,
        poll: &mut SocketPoll,
    ) -> Result<Dialed, DialError> {
        if let Some(addresses) = addresses {
            return self.race(host, addresses, limits, poll);
        }
        let asked = self.names.ask(host, poll)?;
        let name_deadline = limits.end_of(limits.name);
        let Some(best) = self.best(host) else {
            let addresses = asked.wait(poll, name_deadline)?;
            return self.race(host, addresses, limits, poll);
        };
        let soon = name_deadline.min(Instant::now() + FRESH_NAME_LIMIT);
        match asked.wait(poll, soon) {
            Err(DialError::Name(_) | DialError::NameTimedOut) => {}
            addresses => return self.race(host, addresses?, limits, poll),
        }
        let stale = DialLimits {
            connect: limits.connect.min(STALE_LIMIT),
            ..limits
        };
        match self.race(host, vec![best], stale, poll) {
            Err(DialError::Connect(_) | DialError::ConnectTimedOut) => {}
            raced => return raced,
        }
        let addresses = asked.wait(poll, name_deadline)?;
        self.race(host, addresses, limits, poll)
    }

    fn race(
        &self,
        host: &Host,
        addresses: Vec<SocketAddr>,
        limits: DialLimits,
        poll: &mut SocketPoll,
    ) -> Result<Dialed, DialError> {
        let (best, random) = (self.best(host), fastrand::Rng::new());
        let race = Race::new(addresses, best, limits.outage, random, Instant::now());
        let won = run(race, limits.end_of(limits.connect), poll)?;
        self.remember(host, won.address);
        Ok(Dialed {
            socket: won.socket,
            others: won.others,
            took: won.took,
            patience: patience(limits.outage).max(ROUND_TRIPS * won.took),
        })
    }

    fn best(&self, host: &Host) -> Option<SocketAddr> {
        let worked = self.worked.lock();
        let mut of_host = worked.iter().filter(|(of, _)| of == host);
        of_host.next().map(|(_, address)| *address)
    }

    fn remember(&self, host: &Host, address: SocketAddr) {
        let mut worked = self.worked.lock();
        worked.retain(|(of, _)| of != host);
        if worked.len() == HOSTS_MAX {
            worked.remove(0);
        }
        worked.push((host.clone(), address));
    }
}

/// A socket that connects.
struct Runner {
    address: SocketAddr,
    started: Instant,
    /// When it is given up; the first at its address only with the race.
    ends_at: Option<Instant>,
    socket: TcpStream,
    token: Token,
    has_news: bool,
}

impl Runner {
    fn start(address: SocketAddr, token: Token, registry: &Registry) -> io::Result<Runner> {
        let mut socket = TcpStream::connect(address)?;
        registry.register(&mut socket, token, Interest::WRITABLE)?;
        Ok(Runner {
            address,
            started: Instant::now(),
            ends_at: None,
            socket,
            token,
            has_news: false,
        })
    }

    /// Whether it is connected; an error if it cannot be.
    fn is_connected(&mut self) -> io::Result<bool> {
        if !std::mem::take(&mut self.has_news) {
            return Ok(false);
        }
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn finish(mut self, registry: &Registry) -> io::Result<std::net::TcpStream> {
        registry.deregister(&mut self.socket)?;
        self.socket.set_nodelay(true)?;
        Ok(self.socket.into())
    }
}

/// The end of a race.
struct Won {
    socket: std::net::TcpStream,
    address: SocketAddr,
    took: Duration,
    /// The addresses that have not failed.
    others: Vec<SocketAddr>,
}

/// Runs the race to its end.
fn run(mut race: Race, deadline: Instant, poll: &mut SocketPoll) -> Result<Won, DialError> {
    let mut runners: Vec<Runner> = Vec::new();
    let mut started = 0;
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let now = Instant::now();
        runners.retain(|runner| runner.has_news || runner.ends_at.is_none_or(|end| now < end));
        while let Some(address) = race.start_next(now) {
            match Runner::start(address, Token(started), poll.registry()) {
                Ok(mut runner) => {
                    let is_again = runners.iter().any(|it| it.address == address);
                    runner.ends_at = is_again.then(|| now + AGAIN_LASTS);
                    runners.push(runner);
                }
                Err(error) => {
                    race.failed(address, now);
                    failure = error;
                }
            }
            started += 1;
        }
        let mut at = 0;
        while let Some(runner) = runners.get_mut(at) {
            match runner.is_connected() {
                Ok(false) => at += 1,
                Ok(true) => {
                    let winner = runners.remove(at);
                    let (address, took) = (winner.address, winner.started.elapsed());
                    let socket = winner.finish(poll.registry());
                    return Ok(Won {
                        socket: socket.map_err(DialError::Connect)?,
                        address,
                        took,
                        others: race.others(address),
                    });
                }
                Err(error) => {
                    race.failed(runner.address, now);
                    failure = error;
                    runners.remove(at);
                }
            }
        }
        if race.is_lost() {
            return Err(DialError::Connect(failure));
        }
        let ends = runners.iter().filter_map(|runner| runner.ends_at);
        let until = ends.chain(race.next_due()).fold(deadline, Instant::min);
        let waited = poll.wait(Some(until), |event| {
            let of_event = |runner: &&mut Runner| runner.token == event.token();
            if let Some(runner) = runners.iter_mut().find(of_event) {
                runner.has_news = true;
            }
        });
        match waited {
            Err(WaitError::TimedOut) if Instant::now() < deadline => {}
            waited => waited?,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
