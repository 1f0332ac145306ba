//! One attempt of the link: from the hub's name to a connection that is being made.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::connection::Connection;
use super::session::{Login, Session};
use super::transport::Transport;
use super::{Link, Phase, SOCKET, transport_error};
use crate::clock::Moment;
use crate::error::Error;
use crate::net::host::Host;
use crate::net::resolve::resolve;

/// IoT Hub's port for MQTT over TLS, unless the host name says another.
const HUB_PORT: u16 = 8883;
const RESOLVE_LIMIT: Duration = Duration::from_secs(30);

impl Link {
    pub(super) fn start_attempt(&mut self, now: Moment) {
        let Some(credentials) = &self.credentials else {
            self.phase = Phase::Idle;
            return;
        };
        if self.closing {
            self.phase = Phase::Idle;
            return;
        }
        let host = match Host::parse(&credentials.host_name, HUB_PORT) {
            Ok(host) => host,
            Err(rule) => {
                let error = Error::protocol("connect to the hub", format!("its host name {rule}"));
                self.attempt_failed(&error, now);
                return;
            }
        };
        self.attempts += 1;
        let lookup = self.attempts;
        let mailbox = Arc::clone(&self.mailbox);
        let (name, port) = (host.name.clone(), host.port);
        self.phase = Phase::Resolving {
            lookup,
            host,
            deadline: now + RESOLVE_LIMIT,
        };
        if let Err(error) = resolve(&name, port, move |result| mailbox.resolved(lookup, result)) {
            let error = Error::system("start a name lookup", error);
            self.attempt_failed(&error, now);
        }
    }

    pub(super) fn resolved(
        &mut self,
        number: u64,
        result: io::Result<Vec<SocketAddr>>,
        now: Moment,
    ) {
        let Phase::Resolving { lookup, host, .. } = &self.phase else {
            return;
        };
        if *lookup != number {
            return;
        }
        let host = host.clone();
        match result {
            Ok(addresses) => self.open(&host, addresses.into(), now),
            Err(error) => {
                let error = Error::network("look up the hub's name", error);
                self.attempt_failed(&error, now);
            }
        }
    }

    pub(super) fn open(&mut self, host: &Host, mut addresses: VecDeque<SocketAddr>, now: Moment) {
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
        let Some(address) = addresses.pop_front() else {
            let error = io::Error::from(io::ErrorKind::AddrNotAvailable);
            self.attempt_failed(&Error::network("connect to the hub", error), now);
            return;
        };
        let (registry, tls) = (self.poller.registry(), self.parts.trust.rustls());
        let transport = Transport::connect(address, name, tls, registry, SOCKET);
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
                let host = host.clone();
                let number = self.attempts;
                let connection = Connection::new(number, host, addresses, transport, session, now);
                self.phase = Phase::Open(Box::new(connection));
            }
            Err((error, in_flight)) => {
                self.in_flight = in_flight;
                self.attempt_failed(&transport_error(error), now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
