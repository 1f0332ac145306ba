//! When the link tries again: pure, on the monotonic clock.
//!
//! While the hub cannot be reached, the waits follow how [long](Outage) that has lasted. What succeeds and ends again
//! soon is not simply a success: a hub that closes each connection, or two programs with one identity that take it
//! from each other, would otherwise go on once a second for ever. There the waits double.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::outage::{FIRST, Outage};

/// After connections that were of no use, no attempt comes later than this.
const CAP: Duration = Duration::from_secs(60);
/// A connection that lasted so long was of use.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// One that ended sooner was, too, if a Message was acknowledged on it: a bad link may be used for what it is worth.
/// But only so often in a row, and then once in `STABLE_AFTER`.
const SHORT_MAX: u32 = 20;

/// How a connection that the hub had accepted ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub lasted: Duration,
    /// A Message was acknowledged on it.
    pub has_acknowledged: bool,
}

/// The back-off of a link.
pub(super) struct Reconnect {
    outage: Outage,
    /// For connections that the hub accepts, and that are of no use.
    fruitless: Backoff,
    /// The last connection was one.
    was_fruitless: bool,
    /// How many more short connections count as of use.
    short_left: u32,
    /// When the last of them was given back.
    given_back_at: Moment,
}

impl Reconnect {
    pub fn new(now: Moment) -> Reconnect {
        Reconnect {
            outage: Outage::default(),
            fruitless: Backoff::new(FIRST, CAP),
            was_fruitless: false,
            short_left: SHORT_MAX,
            given_back_at: now,
        }
    }

    /// An attempt begins.
    pub fn attempt(&mut self, now: Moment) {
        self.outage.attempt(now);
    }

    /// For how long the hub cannot be reached, as far as is known.
    pub fn outage(&self, now: Moment) -> Duration {
        self.outage.lasted(now)
    }

    /// Whether the hub cannot be reached; one that is reached, and of no use, is something else.
    pub fn is_outage(&self) -> bool {
        self.outage.is_on()
    }

    /// A connection ended, not by our own wish.
    pub fn ended(&mut self, ended: Ended, now: Moment) {
        self.give_back(now);
        let is_long = ended.lasted >= STABLE_AFTER;
        if !is_long && (!ended.has_acknowledged || self.short_left == 0) {
            self.outage.end();
            self.was_fruitless = true;
            return;
        }
        if !is_long {
            self.short_left -= 1;
        }
        self.start_over();
    }

    fn give_back(&mut self, now: Moment) {
        while self.short_left < SHORT_MAX && now.since(self.given_back_at) >= STABLE_AFTER {
            self.short_left += 1;
            self.given_back_at = self.given_back_at + STABLE_AFTER;
        }
        if self.short_left == SHORT_MAX {
            self.given_back_at = now;
        }
    }

    /// The hub and the network are known to be well.
    pub fn start_over(&mut self) {
        self.outage.end();
        self.fruitless.reset();
        self.was_fruitless = false;
    }

    /// There is no connection: the delay before the next attempt; `random` is even in `0.0..1.0`.
    pub fn next_delay(&mut self, now: Moment, random: f64) -> Duration {
        if std::mem::take(&mut self.was_fruitless) {
            return self.fruitless.next_delay(random);
        }
        self.outage.next_delay(now, random)
    }
}

#[cfg(test)]
mod tests;
