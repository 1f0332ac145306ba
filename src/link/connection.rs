//! One attempt at the hub: its addresses, the transport, the session, and what is being asked of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::session::Session;
use super::suspects::Suspects;
use super::transport::{Transport, TransportError};
use super::twin_exchange::TwinExchange;
use crate::clock::Moment;
use crate::net::host::Host;

/// The time for one address of the hub, from the first packet to CONNACK.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// The time for an address to take the connection, if another one waits: a machine whose IPv6 leads nowhere
/// has to come to its IPv4 soon.
const ADDRESS_LIMIT: Duration = Duration::from_secs(5);

/// A connection that is being made, stands, or is being left.
pub(super) struct Connection {
    /// Counts the attempts, so that nothing of one is taken for another.
    pub number: u64,
    pub host: Host,
    /// Where to try next if this address does not connect.
    pub other_addresses: VecDeque<SocketAddr>,
    pub transport: Transport,
    pub session: Session,
    pub twin: TwinExchange,
    /// Until when CONNACK must come.
    connect_deadline: Moment,
    /// Until when the address must answer at all.
    address_deadline: Option<Moment>,
    pub connected_at: Option<Moment>,
    /// A Message was acknowledged: the connection has proved itself.
    pub has_acknowledged: bool,
    /// The link is leaving: until when what is in flight may still be acknowledged, or, once
    /// DISCONNECT is written, until when it may take to be sent.
    pub leave_by: Option<Moment>,
    pub said_goodbye: bool,
}

impl Connection {
    pub fn new(
        number: u64,
        host: Host,
        other_addresses: VecDeque<SocketAddr>,
        transport: Transport,
        session: Session,
        now: Moment,
    ) -> Connection {
        let address_deadline = (!other_addresses.is_empty()).then_some(now + ADDRESS_LIMIT);
        Connection {
            number,
            host,
            other_addresses,
            transport,
            session,
            twin: TwinExchange::default(),
            connect_deadline: now + CONNECT_LIMIT,
            address_deadline,
            connected_at: None,
            has_acknowledged: false,
            leave_by: None,
            said_goodbye: false,
        }
    }

    /// Brings the session all that has come.
    pub fn read(&mut self, now: Moment) -> Result<(), TransportError> {
        self.transport.read(&mut self.session, now)
    }

    /// Sends what the session has, until the socket would have to wait.
    pub fn write(&mut self, now: Moment) -> Result<(), TransportError> {
        self.transport.write(&mut self.session, now)
    }

    /// Whether everything that the session wrote is with the kernel.
    pub fn is_flushed(&mut self) -> bool {
        self.transport.is_flushed(&mut self.session)
    }

    /// Until when it must get on, while it is being made.
    fn deadline(&self) -> Option<Moment> {
        let address = self.address_deadline;
        let address = address.filter(|_| !self.transport.has_connected());
        let connect = address.unwrap_or(self.connect_deadline);
        self.connected_at.is_none().then_some(connect)
    }

    /// Whether it takes too long to be made.
    pub fn is_late(&self, now: Moment) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// When there is something to do by the clock alone.
    pub fn next_timer(&self, suspects: &Suspects) -> Option<Moment> {
        let connect = self.deadline();
        let twin = self.connected_at.and(self.twin.next_due());
        let twin = twin.filter(|_| !suspects.wants_silence());
        let trial = self.connected_at.and(suspects.next_due());
        [
            self.session.next_tick(),
            connect,
            twin,
            trial,
            self.leave_by,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether the hub has answered everything that a device asks it after it connects.
    pub fn is_settled(&self) -> bool {
        self.session.is_settled() && self.twin.is_settled()
    }
}
