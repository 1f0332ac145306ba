//! The way to one host, step by step: its name, a connection (through a proxy, where one leads there), TLS.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustls::{CertificateError, ClientConfig, Error as TlsError};

use super::board::{Board, Found};
use super::cause::Cause;
use super::handshake::{Failed, Met, shake_hands};
use super::inspector::trusting_everybody;
use crate::net::dial::{DialError, DialLimits, Dialer};
use crate::net::host::Host;
use crate::net::proxy::Proxies;
use crate::net::proxy::negotiation::Refusal;
use crate::net::trust::Trust;

/// For each step; all end at the deadline.
const STEP: Duration = Duration::from_secs(4);
/// What every network lets through (RFC 879).
#[cfg(unix)]
const SMALL_SEGMENT_BYTES: u32 = 536;

const LOOK_AT_DNS: &str =
    "look at the network's name servers (/etc/resolv.conf), and whether there is a network";
const LOOK_AT_FIREWALL: &str = "have the firewall let it out, or name the proxy that leads there";
const LOOK_AT_MTU: &str = "large packets get lost: lower the interface's MTU (to 1280, say), or have the router clamp the MSS";
const LOOK_AT_CERTIFICATES: &str =
    "have the proxy leave this host alone, or name its authority with ca_file";

/// How hosts are reached.
#[derive(Clone)]
pub(super) struct Way {
    pub proxies: Proxies,
    pub dialer: Arc<Dialer>,
    pub trust: Trust,
    pub deadline: Instant,
}

/// What came of it.
pub(super) struct Reached {
    /// TLS is established, with a server that is who it should be.
    pub is_whole: bool,
    pub met: Option<Met>,
}

impl Way {
    fn step_end(&self) -> Instant {
        (Instant::now() + STEP).min(self.deadline)
    }

    /// Goes as far as it gets. `asks_time`: it is an HTTP server, which tells the time.
    pub fn reach(&self, board: &Board, what: &str, host: &Host, asks_time: bool) -> Reached {
        let nothing = Reached {
            is_whole: false,
            met: None,
        };
        let is_direct = self.proxies.for_host(host).is_none();
        if is_direct && host.name.parse::<IpAddr>().is_err() {
            let found = board.check(format!("{what}: name"), || self.look_up(host));
            if found.is_finding() {
                return nothing;
            }
        }
        let (_, socket) = board.check_with(format!("{what}: connection"), || self.connect(host));
        let Some(socket) = socket else { return nothing };
        let name = format!("{what}: TLS");
        let (found, met) = board.check_with(name, || self.meet(host, &socket, asks_time));
        Reached {
            is_whole: !found.is_finding(),
            met,
        }
    }

    fn look_up(&self, host: &Host) -> Found {
        let (sender, answer) = mpsc::channel();
        let (name, port) = (host.name.clone(), host.port);
        let asked = crate::threads::spawn("spotflow-resolve", move || {
            let addresses = (name.as_str(), port).to_socket_addrs();
            // Nobody waits any more.
            drop(sender.send(addresses.map(Iterator::collect::<Vec<SocketAddr>>)));
        });
        if let Err(error) = asked {
            return Found::unknown(format!("the system has no thread to give: {error}"));
        }
        let left = self.step_end().saturating_duration_since(Instant::now());
        let name = &host.name;
        let not_resolved = |why: &dyn std::fmt::Display| {
            let summary = format!("{name} is not resolved: {why}");
            Found::finding(Cause::NameNotResolved, summary, LOOK_AT_DNS)
        };
        match answer.recv_timeout(left) {
            Err(_) => not_resolved(&"no name server answers"),
            Ok(Err(error)) => not_resolved(&error),
            Ok(Ok(addresses)) => {
                let addresses: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
                Found::well(format!("{name} has {}", addresses_in_words(&addresses)))
            }
        }
    }

    fn connect(&self, host: &Host) -> (Found, Option<TcpStream>) {
        let limits = DialLimits {
            name: STEP,
            connect: STEP,
            proxy: STEP,
            deadline: Some(self.deadline),
            ..DialLimits::PATIENT
        };
        match self.dialer.dial(host, limits, &Arc::default()) {
            Err(error) => (not_connected(host, &error), None),
            Ok(dialed) => {
                let way = match self.proxies.for_host(host) {
                    Some(proxy) => format!("{host} through the proxy {proxy}"),
                    None => {
                        let address = dialed.socket.peer_addr().map(|it| it.to_string());
                        format!("{host} at {}", address.unwrap_or_default())
                    }
                };
                (Found::well(way), Some(dialed.socket))
            }
        }
    }

    fn meet(&self, host: &Host, socket: &TcpStream, asks_time: bool) -> (Found, Option<Met>) {
        let config = self.trust.rustls();
        match shake_hands(socket, host, config, self.step_end(), asks_time) {
            Ok(met) => {
                let issuer = met.issuer.as_deref().unwrap_or("an unnamed authority");
                let summary = format!("{} is who it should be, says {issuer}", host.name);
                (Found::well(summary), Some(met))
            }
            Err(Failed::Silent) => (self.silent(host), None),
            Err(Failed::Io(error)) => {
                let summary = format!("{host} ends the connection during the handshake: {error}");
                let found = Found::finding(Cause::Unreachable, summary, LOOK_AT_FIREWALL);
                (found, None)
            }
            Err(Failed::Tls(error)) => {
                let met = self.inspect(host, asks_time);
                (not_trusted(host, &error, met.as_ref()), met)
            }
        }
    }

    /// Connected, and then not a byte: is it large packets that get lost?
    fn silent(&self, host: &Host) -> Found {
        let is_direct = self.proxies.for_host(host).is_none();
        let with_small = || -> Option<Met> {
            let socket = connect_with_small_segments(host, self.step_end()).ok()?;
            let config = trusting_everybody().ok()?;
            shake_hands(&socket, host, config, self.step_end(), false).ok()
        };
        if cfg!(unix) && is_direct && with_small().is_some() {
            let summary = format!("{host} answers only in small packets");
            return Found::finding(Cause::MtuBlackHole, summary, LOOK_AT_MTU);
        }
        let summary = format!("{host} takes the connection and then says nothing");
        Found::finding(Cause::Unreachable, summary, LOOK_AT_FIREWALL)
    }

    /// Who is it, then? Says nothing secret.
    fn inspect(&self, host: &Host, asks_time: bool) -> Option<Met> {
        let limits = DialLimits {
            deadline: Some(self.step_end()),
            ..DialLimits::PATIENT
        };
        let dialed = self.dialer.dial(host, limits, &Arc::default()).ok()?;
        let config: Arc<ClientConfig> = trusting_everybody().ok()?;
        shake_hands(&dialed.socket, host, config, self.step_end(), asks_time).ok()
    }
}

fn connect_with_small_segments(host: &Host, end: Instant) -> io::Result<TcpStream> {
    use socket2::{Domain, Protocol, Socket, Type};
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host.name.as_str(), host.port).to_socket_addrs()? {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        #[cfg(unix)]
        socket.set_tcp_mss(SMALL_SEGMENT_BYTES)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match socket.connect_timeout(&address.into(), left) {
            Ok(()) => return Ok(socket.into()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn addresses_in_words(addresses: &[IpAddr]) -> String {
    const SHOWN: usize = 4;
    let mut unique: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    unique.dedup();
    let v6 = addresses.iter().filter(|address| address.is_ipv6()).count();
    let v4 = addresses.len() - v6;
    let more = if unique.len() > SHOWN { ", ..." } else { "" };
    unique.truncate(SHOWN);
    format!("{v4} A and {v6} AAAA: {}{more}", unique.join(", "))
}

/// Why there is no connection, and what to do about it.
fn not_connected(host: &Host, error: &DialError) -> Found {
    use io::ErrorKind as Kind;
    let with = |cause, advice| {
        let why = crate::error::Chain(error);
        Found::finding(cause, format!("{host}: {why}"), advice)
    };
    match error {
        DialError::Name(_) | DialError::NameTimedOut => with(Cause::NameNotResolved, LOOK_AT_DNS),
        DialError::ProxyRefused(_, Refusal::LoginWanted | Refusal::LoginRefused) => with(
            Cause::ProxyLogin,
            "give the client the proxy with its user and password: http://user:password@host:port",
        ),
        DialError::ProxyRefused(..) => with(
            Cause::Unreachable,
            "have the proxy allow this host and port",
        ),
        DialError::ProxyUnreachable(..) | DialError::ProxyTimedOut(_) => with(
            Cause::ProxyDown,
            "look at the proxy, and at its address in the client's options or environment",
        ),
        DialError::Connect(error)
            if matches!(error.kind(), Kind::NetworkUnreachable | Kind::NetworkDown) =>
        {
            with(
                Cause::NoNetwork,
                "look at the network: cable, modem, address, route",
            )
        }
        DialError::Connect(_) | DialError::ConnectTimedOut => {
            with(Cause::Unreachable, LOOK_AT_FIREWALL)
        }
        DialError::Cancelled | DialError::System(_) => {
            Found::unknown(format!("{host}: {}", crate::error::Chain(error)))
        }
    }
}

/// Why TLS failed, and who it is that answers.
fn not_trusted(host: &Host, error: &TlsError, met: Option<&Met>) -> Found {
    use CertificateError as C;
    let issuer = met.and_then(|met| met.issuer.as_deref());
    let issuer = issuer.unwrap_or("an unnamed authority");
    let name = &host.name;
    let TlsError::InvalidCertificate(certificate) = error else {
        let summary = match error {
            TlsError::InvalidMessage(_) => format!("what answers for {host} speaks no TLS"),
            error => format!("TLS with {host} failed: {error}"),
        };
        let advice = "log in at the network's portal, or have it let this device through";
        return Found::finding(Cause::CaptivePortal, summary, advice);
    };
    match certificate {
        C::NotValidForName | C::NotValidForNameContext { .. } => Found::finding(
            Cause::CaptivePortal,
            format!(
                "what answers for {name} has a certificate for another host, issued by {issuer}"
            ),
            "log in at the network's portal, or have its name server tell the host's own address",
        ),
        C::Expired | C::ExpiredContext { .. } => Found::finding(
            Cause::CertificateExpired,
            format!("the certificate for {name}, issued by {issuer}, has expired by this clock"),
            "look at the clock first; if that is right, tell who runs the server",
        ),
        C::NotValidYet | C::NotValidYetContext { .. } => Found::finding(
            Cause::ClockWrong,
            format!(
                "the certificate for {name}, issued by {issuer}, is not valid yet by this clock"
            ),
            "set the clock, and have it set at each boot (NTP)",
        ),
        _ => Found::finding(
            Cause::TlsIntercepted,
            format!(
                "the certificate for {name} is issued by {issuer}, which this machine does not trust: \
                 a proxy intercepts the connection, or certificates are missing here"
            ),
            LOOK_AT_CERTIFICATES,
        ),
    }
}
