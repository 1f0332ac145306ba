//! The one way out of the machine, for the hub and for HTTP alike.
//!
//! ```text
//! name ──> its addresses (names) ──> raced (race) ──> a connected socket
//! ```
//!
//! Where a proxy leads to the host, that is what is dialled, and then asked to connect to the host (through).
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
use crate::sync::Mutex;
use names::Names;
use race::Race;

#[cfg(test)]
pub(crate) use names::pretended;

/// The client talks to an instance, its storage and one hub, which may fail over.
const HOSTS_MAX: usize = 8;

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
}

impl DialLimits {
    /// For a connection that may take its time.
    pub const PATIENT: DialLimits = DialLimits {
        name: Duration::from_secs(30),
        connect: Duration::from_secs(30),
        proxy: Duration::from_secs(30),
        deadline: None,
    };

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
}

/// Makes connections, and remembers which addresses took them.
pub(crate) struct Dialer {
    proxies: Proxies,
    names: Arc<Names>,
    /// The newest last.
    worked: Mutex<Vec<(Host, SocketAddr)>>,
}

impl Dialer {
    pub fn new(proxies: Proxies) -> Arc<Dialer> {
        Arc::new(Dialer {
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
        let deadline = limits.end_of(limits.proxy);
        dialed.socket = through::lead(dialed.socket, proxy, host, deadline, &mut poll)?;
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
        let addresses = match addresses {
            Some(addresses) => addresses,
            None => self.names.look_up(host, poll, limits.end_of(limits.name))?,
        };
        let race = Race::new(addresses, self.best(host), Instant::now());
        let (socket, address, others) = run(race, limits.end_of(limits.connect), poll)?;
        self.remember(host, address);
        Ok(Dialed { socket, others })
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

/// Runs the race to its end: the winner's socket and address, and the addresses that have not failed.
fn run(
    mut race: Race,
    deadline: Instant,
    poll: &mut SocketPoll,
) -> Result<(std::net::TcpStream, SocketAddr, Vec<SocketAddr>), DialError> {
    let mut runners: Vec<Runner> = Vec::new();
    let mut started = 0;
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let now = Instant::now();
        while let Some(address) = race.start_next(now) {
            match Runner::start(address, Token(started), poll.registry()) {
                Ok(runner) => runners.push(runner),
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
                    let winner = runners.swap_remove(at);
                    let address = winner.address;
                    let socket = winner.finish(poll.registry());
                    let socket = socket.map_err(DialError::Connect)?;
                    return Ok((socket, address, race.others(address)));
                }
                Err(error) => {
                    race.failed(runner.address, now);
                    failure = error;
                    runners.swap_remove(at);
                }
            }
        }
        if race.is_lost() {
            return Err(DialError::Connect(failure));
        }
        let until = race.next_due().map_or(deadline, |due| due.min(deadline));
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
