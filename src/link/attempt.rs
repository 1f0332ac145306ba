//! One attempt of the link: from the hub's name to a connection that is being made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::ServerName;

use super::connection::{Connection, Untried};
use super::framing::Framing;
use super::mailbox::Way;
use super::session::{Login, Session};
use super::transport::{Socket, Transport};
use super::transport_error::TransportError;
use super::{Link, Phase, SOCKET, ways};
use crate::clock::Moment;
use crate::error::Error;
use crate::net::cancel::Cancellation;
use crate::net::dial::{DialError, DialLimits};
use crate::net::host::{HTTPS_PORT, Host};
use crate::transport::Carrier;

/// IoT Hub's port for MQTT over TLS, unless the host name says another.
const HUB_PORT: u16 = 8883;

/// Where an attempt goes on when the first address that answered came to nothing.
pub(super) struct Others {
    pub addresses: Vec<SocketAddr>,
    /// Of that first one: it tells more than an address at which nobody listens.
    pub failure: Error,
}

/// A dial under way. Its thread ends at once when this is dropped.
pub(super) struct Dialing {
    number: u64,
    host: Host,
    /// What came of the address before.
    failure: Option<Error>,
    cancellation: Arc<Cancellation>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Dialing {
    fn drop(&mut self) {
        self.cancellation.cancel();
        if let Some(thread) = self.thread.take() {
            // It has nothing more to wait for. A panic in it was reported when it happened.
            drop(thread.join());
        }
    }
}

impl Link {
    pub(super) fn start_attempt(&mut self, now: Moment) {
        self.way_failure = None;
        self.reconnect.attempt(now);
        let carrier = self.ways.begin(now);
        self.try_way(carrier, now);
    }

    fn try_way(&mut self, carrier: Carrier, now: Moment) {
        let Some(credentials) = self.credentials.as_ref().filter(|_| !self.closing) else {
            self.phase = Phase::Idle;
            return;
        };
        let port = match carrier {
            Carrier::Tls => HUB_PORT,
            Carrier::WebSocket => HTTPS_PORT,
        };
        match Host::parse(&credentials.host_name, port) {
            Ok(host) => self.dial(host, None, now),
            Err(rule) => {
                let error = Error::protocol("connect to the hub", format!("its host name {rule}"));
                self.attempt_failed(&error, now);
            }
        }
    }

    /// Nothing came of this way: the other one in the same attempt, or another attempt later.
    pub(super) fn way_failed(&mut self, error: Error, now: Moment) {
        if let Some(carrier) = self.ways.go_on() {
            log::debug!("not connected so; tries {carrier}");
            self.way_failure = Some(error);
            self.try_way(carrier, now);
            return;
        }
        let error = match self.way_failure.take() {
            Some(first) => more_telling(first, error),
            None => error,
        };
        self.attempt_failed(&error, now);
    }

    /// Dials the host: others of its addresses, or all that its name has.
    pub(super) fn dial(&mut self, host: Host, others: Option<Others>, now: Moment) {
        // A dial before it ends first: the mailbox has one place for what comes of a dial.
        self.phase = Phase::Idle;
        self.dials += 1;
        let number = self.dials;
        let cancellation = Arc::<Cancellation>::default();
        let (mailbox, dialer) = (Arc::clone(&self.mailbox), Arc::clone(&self.parts.dialer));
        let (to, until) = (host.clone(), Arc::clone(&cancellation));
        let (addresses, failure) = others.map(|it| (it.addresses, it.failure)).unzip();
        let trust = self.parts.trust.clone();
        let limits = self.dial_limits(now);
        let work = move || {
            let result = match addresses {
                Some(addresses) => dialer.dial_others(&to, addresses, limits, &until),
                None => dialer.dial(&to, limits, &until),
            };
            // Here, as the link does not wait for a disk.
            let way = |dialed| Way {
                dialed,
                tls: trust.rustls(),
            };
            mailbox.dialed(number, result.map(way));
        };
        match crate::threads::spawn("spotflow-dial", work) {
            Ok(thread) => {
                self.phase = Phase::Dialing(Dialing {
                    number,
                    host,
                    failure,
                    cancellation,
                    thread: Some(thread),
                });
            }
            Err(error) => {
                let error = Error::system("start a thread that connects to the hub", error);
                self.attempt_failed(&error, now);
            }
        }
    }

    /// What is silent is not waited for long while there is another way.
    fn dial_limits(&self, now: Moment) -> DialLimits {
        let outage = self.reconnect.outage(now);
        let limits = DialLimits::after(outage);
        let is_second = self.way_failure.is_some() && self.reconnect.is_outage();
        let patience = match self.ways.patience() {
            Some(patience) => patience,
            // The first way, which worked, is not kept waiting for longer than the outage was.
            None if is_second => (outage / 2).max(ways::PATIENCE),
            None => return limits,
        };
        DialLimits {
            connect: limits.connect.min(patience),
            proxy: limits.proxy.min(patience),
            ..limits
        }
    }

    pub(super) fn dialed(&mut self, number: u64, result: Result<Way, DialError>, now: Moment) {
        let Phase::Dialing(dialing) = &mut self.phase else {
            return;
        };
        if dialing.number != number {
            return;
        }
        let (host, failure) = (dialing.host.clone(), dialing.failure.take());
        match result {
            Ok(way) => self.open(host, way, now),
            Err(error) => {
                let may_be_the_port = may_be_the_port(&error);
                let error = failure.unwrap_or_else(|| dial_error(error));
                if may_be_the_port {
                    self.way_failed(error, now);
                } else {
                    self.attempt_failed(&error, now);
                }
            }
        }
    }

    fn open(&mut self, host: Host, way: Way, now: Moment) {
        let Some(credentials) = &self.credentials else {
            self.phase = Phase::Idle;
            return;
        };
        let login = Login {
            device: credentials.device.clone(),
            hub_host_name: credentials.host_name.clone(),
            sas: credentials.sas.clone(),
            keep_alive: self.parts.keep_alive,
            cloud_messages: self.parts.inbox.is_some(),
            methods: self.parts.methods.is_some(),
        };
        let Ok(name) = ServerName::try_from(host.name.clone()) else {
            let error = Error::protocol("connect to the hub", "its host name is not a name");
            self.attempt_failed(&error, now);
            return;
        };
        let Way { dialed, tls } = way;
        let registry = self.poller.registry();
        let framing = match self.ways.current() {
            Carrier::Tls => Ok(None),
            Carrier::WebSocket => Framing::new(&host).map(Some),
        };
        let untried = Untried {
            other_addresses: dialed.others,
            took: dialed.took,
            first_word: dialed.patience,
            silence: self.ways.patience(),
        };
        let transport = framing.map_err(TransportError::from).and_then(|framing| {
            let socket = Socket {
                tcp: dialed.socket,
                name,
                tls,
                framing,
                uplink: Arc::clone(&self.parts.dialer.uplink),
            };
            Transport::new(socket, registry, SOCKET)
        });
        let in_flight = std::mem::take(&mut self.in_flight);
        let opened = match transport {
            Ok(transport) => match Session::new(login, in_flight, now) {
                Ok(session) => Ok((transport, session)),
                Err((error, in_flight)) => Err((error.into(), in_flight)),
            },
            Err(error) => Err((error, in_flight)),
        };
        match opened {
            Ok((transport, session)) => {
                let number = self.dials;
                let connection = Connection::new(number, host, untried, transport, session, now);
                self.phase = Phase::Open(Box::new(connection));
            }
            Err((error, in_flight)) => {
                self.in_flight = in_flight;
                self.attempt_failed(&error.into_error(), now);
            }
        }
    }
}

/// Whether another port of the same host may do what this one did not.
fn may_be_the_port(error: &DialError) -> bool {
    match error {
        DialError::Connect(_)
        | DialError::ConnectTimedOut
        | DialError::ProxyRefused(..)
        | DialError::ProxyTimedOut(_) => true,
        DialError::Cancelled
        | DialError::Name(_)
        | DialError::NameTimedOut
        | DialError::System(_)
        | DialError::ProxyUnreachable(..) => false,
    }
}

/// Of two failures that of the way on which somebody answered, or else the first.
fn more_telling(first: Error, second: Error) -> Error {
    let is_silence = |error: &Error| matches!(error, Error::Network { .. });
    if is_silence(&first) && !is_silence(&second) {
        second
    } else {
        first
    }
}

fn dial_error(error: DialError) -> Error {
    match error {
        DialError::Name(cause) => Error::network("look up the hub's name", cause),
        DialError::NameTimedOut => Error::network("look up the hub's name", error),
        DialError::System(cause) => Error::system("connect to the hub", cause),
        DialError::Connect(cause) => Error::network("connect to the hub", cause),
        error => Error::network("connect to the hub", error),
    }
}

#[cfg(test)]
mod tests;
