//! How long an upload that failed waits for its next attempt: pure, on the monotonic clock.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::error::Error;
use crate::outage::{FIRST, Outage};

/// So long each wait lasts, unless it is the first, whatever the news: an attempt can cost all of the content.
pub(super) const REST: Duration = FIRST;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_secs(120);

/// The waits double, and are drawn from the upper half of what they may be. While the hub cannot be reached, an attempt
/// costs little: then no wait is longer than the [outage](Outage) allows.
pub(super) struct Waits {
    doubling: Backoff,
    outage: Outage,
}

/// How an attempt failed.
pub(super) struct Failed {
    /// There was no answer.
    pub is_of_network: bool,
    /// The hub gave a place for the content before, and was not to be told more.
    pub had_place: bool,
    /// Some of the content is up that was not before.
    pub has_moved: bool,
}

impl Waits {
    pub fn new() -> Waits {
        Waits {
            doubling: Backoff::new(RETRY_FIRST, RETRY_CAP),
            outage: Outage::default(),
        }
    }

    /// An attempt begins.
    pub fn attempt(&mut self, now: Moment) {
        self.outage.attempt(now);
    }

    pub fn succeeded(&mut self) {
        self.doubling.reset();
        self.outage.end();
    }

    /// The delay before the next attempt; `random` is even in `0.0..1.0`.
    pub fn failed(&mut self, failed: &Failed, now: Moment, random: f64) -> Duration {
        if failed.has_moved {
            self.doubling.reset();
        }
        let doubled = self.doubling.next_delay((1.0 + random) / 2.0);
        if !failed.is_of_network || failed.had_place {
            self.outage.end();
            return doubled;
        }
        doubled.min(self.outage.next_delay(now, random).max(REST))
    }
}

/// Whether there was no answer. So news of the network is worth another attempt.
pub(super) fn is_of_network(error: &Error) -> bool {
    matches!(error, Error::Network { .. } | Error::Tls { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outage::LONGEST;

    const UNREACHED: Failed = Failed {
        is_of_network: true,
        had_place: false,
        has_moved: false,
    };
    const REFUSED: Failed = Failed {
        is_of_network: false,
        ..UNREACHED
    };
    const CUT: Failed = Failed {
        had_place: true,
        ..UNREACHED
    };

    fn seconds(waits: &mut Waits, failed: &Failed, count: usize) -> Vec<u64> {
        let mut now = Moment::START;
        let mut next = || {
            waits.attempt(now);
            let wait = waits.failed(failed, now, 1.0);
            now = now + wait;
            wait.as_secs()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn who_answers_not_as_wanted_or_cuts_content_is_asked_ever_less_often() {
        for failed in [REFUSED, CUT] {
            let waits = seconds(&mut Waits::new(), &failed, 9);
            assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        }
    }

    #[test]
    fn a_hub_that_cannot_be_reached_is_asked_as_its_outage_lasts() {
        let waits = seconds(&mut Waits::new(), &UNREACHED, 12);
        assert_eq!(waits, [1, 1, 1, 1, 1, 2, 3, 4, 6, 9, 12, 17]);
        let seed = spotflow_fuzz::seed();
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut waits, mut now) = (Waits::new(), Moment::START);
        for number in 0..1_000 {
            waits.attempt(now);
            let wait = waits.failed(&UNREACHED, now, random.f64());
            let half = now.since(Moment::START) / 2;
            assert!(wait <= half.clamp(FIRST, LONGEST), "seed {seed}, {number}");
            assert!(wait >= FIRST / 2, "seed {seed}, {number}");
            now = now + wait;
        }
    }

    #[test]
    fn what_gets_on_starts_over() {
        let mut waits = Waits::new();
        seconds(&mut waits, &CUT, 5);
        let moved = Failed {
            has_moved: true,
            ..CUT
        };
        assert_eq!(seconds(&mut waits, &moved, 2), [1, 1]);
        seconds(&mut waits, &REFUSED, 5);
        waits.succeeded();
        assert_eq!(seconds(&mut waits, &REFUSED, 2), [1, 2]);
    }
}
