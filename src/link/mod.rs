//! The link thread: the one owner of socket, TLS session and MQTT state. It never waits for anything
//! but its poller: not for a sync of the disk, for whoever writes, a dial, an HTTP call or user code.
//! (It [notes](crate::outbox::Outbox::record) acknowledged Messages itself, in the sent log.)
//!
//! ```text
//!        ┌───────────────────────────────────────────────────────────┐
//!        v                                                           │
//!  1 wishes    of other threads: credentials, receipts, detach, close │
//!  2 timers    back-off over? answer overdue? keep-alive? renewal?    │
//!  3 exchange  read, act on events, take Messages, write              │
//!  4 wait      for the socket, a wish, the network, or the next timer ┘
//! ```

mod attempt;
mod connection;
mod ending;
mod exchange;
mod framing;
mod in_flight;
#[cfg(test)]
mod ledger;
mod liveness;
pub(crate) mod mailbox;
mod network;
mod poller;
mod publishing;
mod reconnect;
mod rivals;
mod session;
mod suspects;
mod throttling;
mod topics;
mod transport;
mod transport_error;
mod twin_exchange;
mod ways;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mio::Token;

use crate::clock::{Clock, Moment};
use crate::error::{Error, Result};
use crate::failure_log::FailureLog;
use crate::http::HubCredentials;
use crate::inbox::Inbox;
use crate::methods::{Answer, Methods};
use crate::net::changes::NetworkChanges;
use crate::net::dial::Dialer;
use crate::net::trust::Trust;
use crate::outage::Hurries;
use crate::outbox::Outbox;
use crate::pacing::pacer::Pacer;
use crate::properties::Properties;
use crate::status::StatusBoard;
use crate::store::rows::last_way::LastWay;
use crate::transport::Transport as TransportChoice;
use attempt::Dialing;
use connection::Connection;
use exchange::Exchange;
use in_flight::InFlight;
use mailbox::{CloudReceipt, Mailbox, Wishes};
use poller::Poller;
use reconnect::Reconnect;
use rivals::Rivals;
use suspects::Suspects;
use throttling::{News, Throttling};
use ways::Ways;

/// How long the link stays for acknowledgements on the way when it leaves.
pub(crate) const LEAVE_LIMIT: Duration = Duration::from_secs(1);
/// After a failure of the disk.
const OUTBOX_RETRY: Duration = Duration::from_secs(1);

/// Why Messages are held back: they wait for the [suspects].
const HELD_BACK: &str = "the hub keeps closing the connection before it acknowledges a Message: this one is tried alone";

const MAILBOX: Token = Token(0);
const SOCKET: Token = Token(1);
const NETWORK: Token = Token(2);

/// What the link tells of the connection, and hands on of what it is asked for; must not block.
pub(crate) trait Supervisor: Send + Sync {
    /// The hub accepted the connection, or it ended or failed (with the reason, if it was not us).
    fn connection_changed(&self, is_connected: bool, error: Option<&Error>);
    /// The next start should begin with this way to the hub.
    fn remember(&self, way: LastWay);
    /// The credentials are not taken: others are needed.
    fn renew_credentials(&self);
    /// There may be content to upload.
    fn upload(&self);
    /// Starts what is due by its clock; returns when something is due next.
    fn tick(&self, now: Moment) -> Option<Moment>;
    /// The network may be back: what waits for it need not wait longer.
    fn network_back(&self, now: Moment);
}

/// All that the link works with.
pub(crate) struct LinkParts {
    pub outbox: Arc<Outbox>,
    pub pacer: Arc<Pacer>,
    pub properties: Arc<Properties>,
    /// Only if the application wants cloud-to-device messages.
    pub inbox: Option<Arc<Inbox>>,
    /// Only if the application has methods.
    pub methods: Option<Arc<Methods>>,
    pub supervisor: Arc<dyn Supervisor>,
    pub status: Arc<StatusBoard>,
    pub clock: Arc<dyn Clock>,
    pub dialer: Arc<Dialer>,
    pub trust: Trust,
    pub transport: TransportChoice,
    /// What was remembered.
    pub last_way: Option<LastWay>,
    pub keep_alive: Duration,
}

/// The state of the link thread.
pub(crate) struct Link {
    parts: LinkParts,
    poller: Poller,
    mailbox: Arc<Mailbox>,
    credentials: Option<HubCredentials>,
    phase: Phase,
    in_flight: InFlight,
    suspects: Suspects,
    /// The status says that Messages are held back.
    told_held_back: bool,
    dials: u64,
    reconnect: Reconnect,
    ways: Ways,
    /// What came of the way before, in this attempt.
    way_failure: Option<Error>,
    rivals: Rivals,
    throttling: Throttling,
    /// What the status says of its pace.
    told_pace: Option<f64>,
    /// Only where the system tells of it.
    network: Option<NetworkChanges>,
    network_lost_at: Option<Moment>,
    hurries: Hurries,
    retry_outbox_at: Option<Moment>,
    next_supervision: Option<Moment>,
    failures: FailureLog,
    closing: bool,
}

enum Phase {
    /// There is nothing to connect with.
    Idle,
    /// Between attempts.
    BackingOff { until: Moment },
    /// A way to the hub is being looked for, on a thread of its own.
    Dialing(Dialing),
    /// From TLS's first packet to the last.
    Open(Box<Connection>),
}

impl Link {
    /// A link that waits for credentials.
    pub fn new(parts: LinkParts, poller: Poller, mailbox: Arc<Mailbox>) -> Link {
        let suspects = Suspects::new(parts.keep_alive, fastrand::Rng::new());
        let (now, wall_ms) = (parts.clock.now(), parts.clock.wall_ms());
        let network = NetworkChanges::open(poller.registry(), NETWORK);
        let ways = Ways::new(parts.transport, parts.last_way, now, wall_ms);
        Link {
            parts,
            poller,
            mailbox,
            credentials: None,
            phase: Phase::Idle,
            in_flight: InFlight::default(),
            suspects,
            told_held_back: false,
            dials: 0,
            reconnect: Reconnect::new(now),
            ways,
            way_failure: None,
            rivals: Rivals::default(),
            throttling: Throttling::new(now),
            told_pace: None,
            network,
            network_lost_at: None,
            hurries: Hurries::new(now),
            retry_outbox_at: None,
            next_supervision: None,
            failures: FailureLog::new(module_path!()),
            closing: false,
        }
    }

    /// A poller, and the mailbox whose waker wakes it.
    pub fn poller() -> Result<(Poller, Arc<Mailbox>)> {
        let mut poller =
            Poller::new().map_err(|error| Error::system("create a poller (epoll)", error))?;
        poller
            .try_out()
            .map_err(|error| Error::system("wait for a poller (epoll_wait)", error))?;
        let waker = mio::Waker::new(poller.registry(), MAILBOX)
            .map_err(|error| Error::system("create a waker (eventfd)", error))?;
        Ok((poller, Mailbox::new(waker)))
    }

    /// The thread's loop; ends after [`Mailbox::close`].
    pub fn run(mut self) {
        let mailbox = Arc::clone(&self.mailbox);
        let _lives = mailbox.link_lives();
        loop {
            let now = self.parts.clock.now();
            self.take_wishes(now);
            self.run_timers(now);
            self.exchange(now);
            self.tell_held_back();
            self.tell_pace();
            if self.closing && !matches!(self.phase, Phase::Open(_)) {
                break;
            }
            let due = self.next_timer();
            let busy = self.parts.outbox.pending().count > 0;
            if let Err(error) = self.poller.wait(due, busy, &*self.parts.clock) {
                log::error!("the poller failed: {error}; the link ends");
                break;
            }
            if let Phase::Open(connection) = &mut self.phase {
                for event in self.poller.events().filter(|event| event.token() == SOCKET) {
                    connection.transport.note(event);
                }
            }
            let is_network = |event: &mio::event::Event| event.token() == NETWORK;
            if self.poller.events().any(is_network)
                && let Some(network) = &mut self.network
            {
                let changes = network.read();
                self.heed_network(changes, self.parts.clock.now());
            }
        }
    }

    // Step 1: wishes.

    fn take_wishes(&mut self, now: Moment) {
        let Wishes {
            credentials,
            dialed,
            cloud_receipts,
            method_answers,
            renew_credentials,
            upload,
            detach,
            close,
        } = self.mailbox.take();
        if detach {
            self.detach();
        }
        if let Some(credentials) = credentials {
            self.use_credentials(credentials, now);
        }
        if let Some((number, result)) = dialed {
            self.dialed(number, result, now);
        }
        for receipt in cloud_receipts {
            self.acknowledge_cloud_message(receipt, now);
        }
        for answer in method_answers {
            self.answer_method(answer, now);
        }
        if renew_credentials {
            self.parts.supervisor.renew_credentials();
        }
        if upload {
            self.parts.supervisor.upload();
        }
        if close {
            self.closing = true;
            self.leave(now);
        }
    }

    /// New credentials move an open connection over as soon as nothing is in flight.
    fn use_credentials(&mut self, credentials: HubCredentials, now: Moment) {
        self.credentials = Some(credentials);
        match self.phase {
            Phase::Open(_) => self.leave(now),
            Phase::Idle => self.start_attempt(now),
            // A hub that refuses even fresh credentials must not be asked without a pause.
            Phase::BackingOff { .. } | Phase::Dialing(_) => {}
        }
    }

    /// The identity changes: nothing of the old one may be sent any more.
    fn detach(&mut self) {
        self.credentials = None;
        self.close_connection(None);
        self.in_flight = InFlight::default();
        self.suspects = Suspects::new(self.parts.keep_alive, fastrand::Rng::new());
        self.reconnect.start_over();
        self.phase = Phase::Idle;
        self.mailbox.note_detached();
    }

    fn acknowledge_cloud_message(&mut self, receipt: CloudReceipt, now: Moment) {
        let Phase::Open(connection) = &mut self.phase else {
            return;
        };
        if connection.number == receipt.connection
            && let Err(error) = connection
                .session
                .acknowledge_cloud_message(receipt.packet_id)
        {
            self.fail(error.into(), now);
        }
    }

    /// An answer for a connection that has ended is dropped; so does the hub.
    fn answer_method(&mut self, answer: Answer, now: Moment) {
        let Phase::Open(connection) = &mut self.phase else {
            return;
        };
        if connection.number == answer.connection
            && let Err(error) =
                connection
                    .session
                    .answer_method(answer.status, &answer.request_id, answer.body)
        {
            self.fail(error.into(), now);
        }
    }

    /// Takes nothing new, waits shortly for what is in flight, then says goodbye.
    fn leave(&mut self, now: Moment) {
        match &mut self.phase {
            Phase::Open(connection) if connection.connected_at.is_some() => {
                connection.leave_by.get_or_insert(now + LEAVE_LIMIT);
            }
            Phase::Open(_) if self.closing => {
                self.close_connection(None);
                self.phase = Phase::Idle;
            }
            // A connection that is still being made with the old credentials may well succeed.
            Phase::Open(_) => {}
            _ if self.closing => self.phase = Phase::Idle,
            _ => {}
        }
    }

    // Step 2: timers.

    fn run_timers(&mut self, now: Moment) {
        self.next_supervision = self.parts.supervisor.tick(now);
        if let Some(error) = self.parts.outbox.take_disk_failure() {
            self.parts.status.failed(&error);
        }
        self.retry_outbox(now);
        if let Phase::BackingOff { until } = &self.phase
            && now >= *until
        {
            self.start_attempt(now);
        }
    }

    fn retry_outbox(&mut self, now: Moment) {
        match self.retry_outbox_at {
            None if self.parts.outbox.is_stalled() => {
                self.retry_outbox_at = Some(now + OUTBOX_RETRY);
            }
            Some(due) if now >= due => {
                self.retry_outbox_at = None;
                self.parts.outbox.retry();
            }
            _ => {}
        }
    }

    fn next_timer(&self) -> Option<Moment> {
        let phase = match &self.phase {
            // A dial has limits of its own.
            Phase::Idle | Phase::Dialing(_) => None,
            Phase::BackingOff { until } => Some(*until),
            Phase::Open(connection) => connection.next_timer(&self.suspects),
        };
        [phase, self.retry_outbox_at, self.next_supervision]
            .into_iter()
            .flatten()
            .min()
    }

    // Step 3, and what follows from it.

    fn exchange(&mut self, now: Moment) {
        let Phase::Open(connection) = &mut self.phase else {
            return;
        };
        let exchange = Exchange {
            connection,
            parts: &self.parts,
            mailbox: &self.mailbox,
            suspects: &mut self.suspects,
            ways: &mut self.ways,
            throttling: &mut self.throttling,
            now,
        };
        match exchange.run() {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => self.left(now),
            Err(error) => self.fail(error, now),
        }
    }

    /// The status says at which pace it goes while the hub throttles; the log that it does, and that it does no longer.
    fn tell_pace(&mut self) {
        let pace = self.throttling.pace();
        if pace != self.told_pace {
            self.told_pace = pace;
            self.parts.status.throttled(pace);
        }
        match self.throttling.take_news() {
            Some(slower @ News::Slower(_)) => log::warn!("{slower}"),
            Some(over) => log::info!("{over}"),
            None => {}
        }
    }

    /// The status says that Messages wait for an experiment, and so does the log when it begins.
    fn tell_held_back(&mut self) {
        let is_trying = self.suspects.is_trying();
        if is_trying == self.told_held_back {
            return;
        }
        self.told_held_back = is_trying;
        self.parts.status.held_back(is_trying.then_some(HELD_BACK));
        if is_trying {
            log::warn!("{HELD_BACK}");
        }
    }
}
