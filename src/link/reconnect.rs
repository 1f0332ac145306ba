//! When the link tries again: pure, on the monotonic clock.
//!
//! After a drop the next attempt comes within a second; while none succeeds, ever later (exponential
//! back-off with full jitter). What succeeds and ends again soon is not simply a success: a hub that
//! closes each connection, or two programs with one identity that take it from each other, would
//! otherwise go on once a second for ever.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::Moment;

/// The next attempt after a drop comes within this time, those after it exponentially later.
const FIRST: Duration = Duration::from_secs(1);
/// No attempt comes later than this after the one before.
pub(crate) const CAP: Duration = Duration::from_secs(60);
/// A connection that lasted so long starts the back-off over.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// One that ended sooner starts it over, too, if a Message was acknowledged on it: a bad link may be used
/// for what it is worth. But only so often in a row, and then once in `STABLE_AFTER`.
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
    backoff: Backoff,
    /// How many more short connections may start the back-off over.
    short_left: u32,
    /// When the last of them was given back.
    given_back_at: Moment,
}

impl Reconnect {
    pub fn new(now: Moment) -> Reconnect {
        Reconnect {
            backoff: Backoff::new(FIRST, CAP),
            short_left: SHORT_MAX,
            given_back_at: now,
        }
    }

    /// A connection ended, not by our own wish.
    pub fn ended(&mut self, ended: Ended, now: Moment) {
        self.give_back(now);
        if ended.lasted >= STABLE_AFTER {
            self.backoff.reset();
        } else if ended.has_acknowledged && self.short_left > 0 {
            self.short_left -= 1;
            self.backoff.reset();
        }
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
        self.backoff.reset();
    }

    /// The delay before the next attempt; `random` is even in `0.0..1.0`.
    pub fn next_delay(&mut self, random: f64) -> Duration {
        self.backoff.next_delay(random)
    }
}

#[cfg(test)]
mod tests;
