//! Whether the hub throttles, and how fast Messages go then: pure, on the monotonic clock.
//!
//! IoT Hub throttles by closing the connection
//! (<https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-quotas-throttling>). A device that runs into that again
//! and again pays with a reconnect for each few Messages, and is soon taken for one whose connections are of no use.
//!
//! What the hub takes is measured from one such close to the next, the time without a connection included: over that a
//! hub gives out what it has gathered meanwhile, and no more. (Before the first close it may have been a burst that it
//! had saved up.) Half of that cannot be too fast, and lets the hub catch up. From there the pace climbs by steps of an
//! eighth to what was measured, and beyond that by a quarter of itself, as the hub may have more to give.
//!
//! A network can close connections amid Messages, too. Going slowly does not help there: closes go on at a pace that the
//! hub has borne before. After the second of them the pace is given up, and closes say nothing for a while.

use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::pacing::bucket::Bucket;
use crate::pacing::pacer::Turn;

/// The status of a twin request that the hub throttles.
pub(super) const THROTTLED: u16 = 429;

/// Two closes within this time are taken for a throttle.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);
/// With fewer Messages acknowledged between them, nothing can be told of a pace.
const COUNT_MIN: u64 = 10;
/// A second. Nothing is gained by going more slowly.
const PACE_MIN: f64 = 1.0;
const STEP_EVERY: Duration = Duration::from_secs(5);
const STEPS_UP_TO_MEASURED: f64 = 8.0;
const STEP_BEYOND: f64 = 1.25;
/// After so long without a close there is no pace any more.
const FREE_AFTER: Duration = Duration::from_secs(120);
/// A close below this part of what was measured has another reason.
const EXPLAINED: f64 = 0.9;
const IN_VAIN_MAX: u32 = 2;
const IGNORE_FIRST: Duration = Duration::from_secs(60);
const IGNORE_MAX: Duration = Duration::from_secs(3600);
/// A wait that ends late by less is made up for.
const BURST: Duration = Duration::from_millis(100);

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum News {
    /// From now on so many Messages go a second.
    Slower(f64),
    /// Closes go on, whatever the pace.
    InVain,
    Free,
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            News::Slower(pace) => write!(
                f,
                "the hub throttles, as it seems: for now {pace:.1} Messages a second go at most"
            ),
            News::InVain => f.write_str(
                "connections end amid Messages at a slow pace, too: Messages go freely again",
            ),
            News::Free => f.write_str("the hub has long not throttled: Messages go freely again"),
        }
    }
}

/// What the hub takes, and the pace that follows from it.
pub(super) struct Throttling {
    meter: Meter,
    closed_at: Option<Moment>,
    slow: Option<Slow>,
    ignored_until: Moment,
    ignore_next: Duration,
    news: Option<News>,
}

/// The pace while the hub throttles.
struct Slow {
    /// What the hub took in a second.
    measured: f64,
    since: Moment,
    stepped_at: Moment,
    pace: f64,
    bucket: Bucket,
    /// So often it was throttled at a pace that the hub had borne.
    in_vain: u32,
}

impl Slow {
    fn new(measured: f64, in_vain: u32, now: Moment) -> Slow {
        let pace = (measured / 2.0).max(PACE_MIN);
        Slow {
            measured,
            since: now,
            stepped_at: now,
            pace,
            bucket: Bucket::new(Some(pace), BURST, now),
            in_vain,
        }
    }

    fn step(&mut self, now: Moment) {
        while now.since(self.stepped_at) >= STEP_EVERY {
            self.stepped_at = self.stepped_at + STEP_EVERY;
            let step = self.measured / STEPS_UP_TO_MEASURED;
            let beyond = self.pace * STEP_BEYOND;
            self.pace = if self.pace < self.measured {
                (self.pace + step).min(self.measured)
            } else {
                beyond
            };
            self.bucket.change(Some(self.pace), BURST, now);
        }
    }
}

impl Throttling {
    pub fn new(now: Moment) -> Throttling {
        Throttling {
            meter: Meter::new(now),
            closed_at: None,
            slow: None,
            ignored_until: now,
            ignore_next: IGNORE_FIRST,
            news: None,
        }
    }

    /// The hub has acknowledged a Message.
    pub fn acknowledged(&mut self, now: Moment) {
        self.meter.acknowledged(now);
    }

    /// The hub has closed the connection, with Messages on their way.
    pub fn closed(&mut self, now: Moment) {
        if self.meter.count() < COUNT_MIN {
            return;
        }
        let measured = self.meter.rate(now);
        self.meter = Meter::new(now);
        let before = self.closed_at.replace(now);
        let is_again = before.is_some_and(|before| now.since(before) <= AGAIN_WITHIN);
        if is_again || self.slow.is_some() {
            self.slow_down(measured, now);
        }
    }

    /// The hub has said that it throttles.
    pub fn refused(&mut self, now: Moment) {
        let is_slow = |slow: &Slow| now.since(slow.since) < STEP_EVERY;
        if self.meter.count() >= COUNT_MIN && !self.slow.as_ref().is_some_and(is_slow) {
            self.slow_down(self.meter.rate(now), now);
        }
    }

    fn slow_down(&mut self, measured: f64, now: Moment) {
        if measured <= PACE_MIN || now < self.ignored_until {
            return;
        }
        let in_vain = match &self.slow {
            Some(slow) if slow.pace < slow.measured * EXPLAINED => slow.in_vain + 1,
            _ => 0,
        };
        if in_vain == IN_VAIN_MAX {
            self.slow = None;
            self.ignored_until = now + self.ignore_next;
            self.ignore_next = IGNORE_MAX.min(self.ignore_next * 2);
            self.news = Some(News::InVain);
            return;
        }
        let slow = Slow::new(measured, in_vain, now);
        self.news = Some(News::Slower(slow.pace));
        self.slow = Some(slow);
    }

    /// What may be sent now, of what the limits let.
    pub fn turn(&mut self, mut turn: Turn, now: Moment) -> Turn {
        if !turn.heeds_throttling() {
            self.slow = None;
        }
        let Some(slow) = &mut self.slow else {
            return turn;
        };
        if now.since(slow.since) >= FREE_AFTER {
            self.slow = None;
            self.ignore_next = IGNORE_FIRST;
            self.news = Some(News::Free);
            return turn;
        }
        slow.step(now);
        turn.not_before(slow.bucket.next_at(now));
        turn
    }

    /// A Message goes.
    pub fn sent(&mut self, now: Moment) {
        if let Some(slow) = &mut self.slow {
            slow.bucket.charge(1, now);
        }
    }

    /// So many Messages go a second at most; `None` if they go freely.
    pub fn pace(&self) -> Option<f64> {
        self.slow.as_ref().map(|slow| slow.pace)
    }

    /// What is to be told since the last time.
    pub fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }
}

/// How many Messages are acknowledged in a second, over the last 5 to 10 s.
struct Meter {
    since: Moment,
    count: u64,
    /// In the 5 s before.
    before: (u64, Duration),
}

const METERED: Duration = Duration::from_secs(5);
/// A few that came at once do not make a pace.
const METERED_MIN: Duration = Duration::from_millis(100);

impl Meter {
    fn new(now: Moment) -> Meter {
        Meter {
            since: now,
            count: 0,
            before: (0, Duration::ZERO),
        }
    }

    fn acknowledged(&mut self, now: Moment) {
        let time = now.since(self.since);
        if time >= METERED {
            // What was before a pause says nothing.
            let is_recent = time < 2 * METERED;
            let before = if is_recent {
                (self.count, time)
            } else {
                (0, Duration::ZERO)
            };
            *self = Meter {
                before,
                ..Meter::new(now)
            };
        }
        self.count += 1;
    }

    fn count(&self) -> u64 {
        self.before.0 + self.count
    }

    fn rate(&self, now: Moment) -> f64 {
        let time = self.before.1 + now.since(self.since);
        self.count() as f64 / time.max(METERED_MIN).as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
