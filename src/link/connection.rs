//! A connection to the hub: the transport, the session, and what is being asked of it.

use std::net::SocketAddr;
use std::time::Duration;

use super::session::Session;
use super::suspects::Suspects;
use super::transport::{Transport, TransportError};
use super::twin_exchange::TwinExchange;
use crate::clock::Moment;
use crate::methods::Cancellation;
use crate::net::host::Host;

/// The time for the hub to accept the connection, from the first byte to CONNACK.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// A connection that is being made, stands, or is being left.
pub(super) struct Connection {
    /// Counts the attempts, so that nothing of one is taken for another.
    pub number: u64,
    pub host: Host,
    /// Where to try next if nothing comes of this connection.
    pub other_addresses: Vec<SocketAddr>,
    pub transport: Transport,
    pub session: Session,
    pub twin: TwinExchange,
    /// Of the calls of methods that came on it: their answers go nowhere else.
    pub calls: Cancellation,
    /// Until when CONNACK must come.
    connect_deadline: Moment,
    /// How long the peer may be silent before that.
    patience: Option<Duration>,
    /// When something came last.
    heard_at: Moment,
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
        other_addresses: Vec<SocketAddr>,
        transport: Transport,
        session: Session,
        now: Moment,
    ) -> Connection {
        Connection {
            number,
            host,
            other_addresses,
            transport,
            session,
            twin: TwinExchange::default(),
            calls: Cancellation::default(),
            connect_deadline: now + CONNECT_LIMIT,
            patience: None,
            heard_at: now,
            connected_at: None,
            has_acknowledged: false,
            leave_by: None,
            said_goodbye: false,
        }
    }

    /// Gives it up when the peer is silent for so long before it has accepted the connection.
    pub fn with_patience(self, patience: Option<Duration>) -> Connection {
        Connection { patience, ..self }
    }

    /// Brings the session all that has come.
    pub fn read(&mut self, now: Moment) -> Result<(), TransportError> {
        if self.transport.has_news() {
            self.heard_at = now;
        }
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
        if self.connected_at.is_some() {
            return None;
        }
        let of_silence = self.patience.map(|patience| self.heard_at + patience);
        Some(of_silence.map_or(self.connect_deadline, |it| it.min(self.connect_deadline)))
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
