//! How old Messages are, by this run's clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::age::RunStart;
use crate::clock::{Clock, Moment};
use crate::message::outgoing::Outgoing;
use crate::store::rows::lane;
use crate::sync::Mutex;

/// A wall clock that differs by less is taken for the same.
const SAME_SETTING_MS: u64 = 1000;
/// So many times may a wall clock be set while Messages wait that were labelled before.
const SETTINGS_MAX: usize = 64;

/// The clock, and when the run began.
pub(super) struct Ages {
    clock: Arc<dyn Clock>,
    start: RunStart,
    settings: Mutex<VecDeque<Setting>>,
}

/// How the wall clock was set that labelled Messages of this run.
struct Setting {
    /// The number of the first of them.
    first: i64,
    /// What it would have shown when the run began.
    at_start_ms: i64,
}

impl Ages {
    /// Of a run that begins now, and that has found Messages up to this number.
    pub fn new(clock: Arc<dyn Clock>, newest_message: i64) -> Ages {
        let start = RunStart {
            at: clock.now(),
            newest_message,
        };
        Ages {
            clock,
            start,
            settings: Mutex::default(),
        }
    }

    /// What the wall clock, as it is set now, would have shown when the run began.
    pub fn wall_at_start_ms(&self) -> i64 {
        // In this order, a pause between the two makes Messages younger.
        let wall_ms = self.clock.wall_ms();
        wall_ms.saturating_sub(self.in_run_ms(self.clock.now()))
    }

    /// Messages from this number on are labelled by a wall clock that is set so.
    pub fn labelled(&self, first: i64, at_start_ms: i64) {
        let mut settings = self.settings.lock();
        let is_same = |last: &Setting| last.at_start_ms.abs_diff(at_start_ms) <= SAME_SETTING_MS;
        if settings.back().is_some_and(is_same) {
            return;
        }
        if settings.len() >= SETTINGS_MAX {
            settings.pop_front();
        }
        settings.push_back(Setting { first, at_start_ms });
    }

    /// What the wall clock that labelled this Message shows now.
    fn wall_ms_of(&self, number: i64, now: Moment) -> i64 {
        let settings = self.settings.lock();
        let setting = settings.iter().rev().find(|it| it.first <= number);
        match setting {
            Some(it) => it.at_start_ms.saturating_add(self.in_run_ms(now)),
            None => self.clock.wall_ms(),
        }
    }

    fn in_run_ms(&self, now: Moment) -> i64 {
        i64::try_from(now.since(self.start.at).as_millis()).unwrap_or(i64::MAX)
    }

    /// The age of the Message with this number that was stored at this time by the wall clock.
    pub fn of(&self, label: (i64, i64)) -> Duration {
        let now = self.clock.now();
        let wall_ms = self.wall_ms_of(label.0, now);
        self.start.age_of(label, now, wall_ms)
    }

    /// Whether it is older than it may be.
    pub fn is_expired(&self, message: &Outgoing) -> bool {
        message.time_to_live().is_some_and(|time_to_live| {
            self.of((lane::number(message.id), message.stored_at_ms)) > time_to_live
        })
    }
}
