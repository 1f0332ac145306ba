//! Whether the peer lives, and when to ask it: pure, on the monotonic clock.

use std::time::Duration;

use crate::clock::Moment;

/// A peer that owes an answer and gives no sign of life for so long is gone. Sent bytes count as
/// life, so a 250 KB Message may crawl over a 2 KB/s link.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// What the peer owes at the moment.
pub(super) struct Owed {
    /// An answer to anything but a publish, or room for bytes that wait to be sent.
    pub answer: bool,
    /// An acknowledgement of a publish.
    pub acknowledgement: bool,
}

/// What a peer owes for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Any sign of life.
    Life,
    /// An acknowledgement; of life there are signs.
    Acknowledgement,
}

/// The times of one connection that decide about pings and about its end.
pub(super) struct Liveness {
    keep_alive: Duration,
    ping_sent: bool,
    /// A publish is not fully sent yet.
    publish_unsent: bool,
    last_sent: Moment,
    /// When the peer last gave a sign of life, or the oldest unanswered packet was fully sent.
    last_life: Moment,
    /// When the oldest publish in flight was fully sent, or the one before it was acknowledged.
    last_acknowledged: Moment,
}

impl Liveness {
    pub fn new(keep_alive: Duration, now: Moment) -> Liveness {
        Liveness {
            keep_alive,
            ping_sent: false,
            publish_unsent: false,
            last_sent: now,
            last_life: now,
            last_acknowledged: now,
        }
    }

    /// Bytes came.
    pub fn received(&mut self, now: Moment) {
        self.last_life = now;
    }

    /// Bytes were sent; `all` if nothing is left to send.
    pub fn sent(&mut self, all: bool, now: Moment) {
        self.last_life = now;
        // The hub can acknowledge only what it has: its time counts from there.
        if self.publish_unsent {
            self.last_acknowledged = now;
        }
        if all {
            self.last_sent = now;
            self.publish_unsent = false;
        }
    }

    /// A publish is about to be sent.
    pub fn published(&mut self) {
        self.publish_unsent = true;
    }

    /// A publish was acknowledged.
    pub fn acknowledged(&mut self, now: Moment) {
        self.last_acknowledged = now;
    }

    /// A ping is about to be sent.
    pub fn pinged(&mut self) {
        self.ping_sent = true;
    }

    /// The ping was answered.
    pub fn ponged(&mut self) {
        self.ping_sent = false;
    }

    /// Whether a ping is under way.
    pub fn is_ping_unanswered(&self) -> bool {
        self.ping_sent
    }

    /// What the peer owes for too long.
    pub fn overdue(&self, owed: &Owed, now: Moment) -> Option<Overdue> {
        self.life_due(owed).filter(|due| now >= *due)?;
        let is_alive = now < self.last_life + SILENCE_LIMIT;
        Some(if is_alive {
            Overdue::Acknowledgement
        } else {
            Overdue::Life
        })
    }

    /// For how long there has been no sign of life, if the peer owes one.
    pub fn silence(&self, owed: &Owed, now: Moment) -> Option<Duration> {
        let is_owed = owed.answer || owed.acknowledgement || self.ping_sent;
        is_owed.then(|| now.since(self.last_life))
    }

    /// Whether the peer has heard nothing for so long that it must have let go (MQTT 3.1.1, 3.1.2.10: one
    /// and a half times the keep-alive), as when the machine was suspended.
    pub fn is_let_go(&self, now: Moment) -> bool {
        now >= self.last_sent + self.keep_alive + self.keep_alive / 2
    }

    /// When a ping is due, if nothing else is sent before.
    pub fn ping_due(&self) -> Option<Moment> {
        (!self.ping_sent).then(|| self.last_sent + self.keep_alive)
    }

    /// Until when the peer must show life or acknowledge, if it owes anything.
    pub fn life_due(&self, owed: &Owed) -> Option<Moment> {
        let answer = (owed.answer || self.ping_sent).then(|| self.last_life + SILENCE_LIMIT);
        let acknowledgement = owed
            .acknowledgement
            .then(|| self.last_acknowledged + SILENCE_LIMIT);
        answer.into_iter().chain(acknowledgement).min()
    }
}
