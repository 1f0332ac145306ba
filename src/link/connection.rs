//! A connection to the hub: the transport, the session, and what is being asked of it.

use std::net::SocketAddr;
use std::time::Duration;

use super::session::Session;
use super::suspects::Suspects;
use super::transport::Transport;
use super::transport_error::TransportError;
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
    /// How long it took to connect: a round trip, or more.
    pub took: Duration,
    pub transport: Transport,
    pub session: Session,
    pub twin: TwinExchange,
    /// Of the calls of methods that came on it: their answers go nowhere else.
    pub calls: Cancellation,
    /// Until when the hub must have said anything.
    first_word_deadline: Moment,
    /// Until when CONNACK must come.
    connect_deadline: Moment,
    /// How long it may be silent before that.
    silence: Option<Duration>,
    /// When something came last.
    heard_at: Moment,
    pub connected_at: Option<Moment>,
    /// A Message was acknowledged: the connection has proved itself.
    pub has_acknowledged: bool,
    /// The link is leaving: until when what is in flight may still be acknowledged, or, once
    /// DISCONNECT is written, until when it may take to be sent.
    pub leave_by: Option<Moment>,
    pub said_goodbye: bool,
    /// When a Message that is held back by its pace may be sent.
    pub paced_until: Option<Moment>,
}

/// What is known of a way to the hub on which nothing was said yet.
pub(super) struct Untried {
    pub other_addresses: Vec<SocketAddr>,
    /// How long it took to connect.
    pub took: Duration,
    /// How long to wait for a first word.
    pub first_word: Duration,
    /// How long any silence may be before the hub has accepted the connection, where there is another way to try.
    pub silence: Option<Duration>,
}

impl Connection {
    pub fn new(
        number: u64,
        host: Host,
        way: Untried,
        transport: Transport,
        session: Session,
        now: Moment,
    ) -> Connection {
        Connection {
            number,
            host,
            other_addresses: way.other_addresses,
            took: way.took,
            transport,
            session,
            twin: TwinExchange::default(),
            calls: Cancellation::default(),
            first_word_deadline: now + way.first_word,
            connect_deadline: now + CONNECT_LIMIT,
            silence: way.silence,
            heard_at: now,
            connected_at: None,
            has_acknowledged: false,
            leave_by: None,
            said_goodbye: false,
            paced_until: None,
        }
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
        let hub = (!self.transport.has_heard()).then_some(self.first_word_deadline);
        let peer = self.silence.map(|limit| self.heard_at + limit);
        [hub, peer, Some(self.connect_deadline)]
            .into_iter()
            .flatten()
            .min()
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
            self.paced_until,
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
