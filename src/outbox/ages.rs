//! How old Messages are, by this run's clock.

use std::sync::Arc;
use std::time::Duration;

use crate::age::RunStart;
use crate::clock::Clock;
use crate::message::outgoing::Outgoing;
use crate::store::rows::lane;

/// The clock, and when the run began.
pub(super) struct Ages {
    clock: Arc<dyn Clock>,
    start: RunStart,
}

impl Ages {
    /// Of a run that begins now, and that has found Messages up to this number.
    pub fn new(clock: Arc<dyn Clock>, newest_message: i64) -> Ages {
        let start = RunStart {
            at: clock.now(),
            newest_message,
        };
        Ages { clock, start }
    }

    /// The age of the Message with this number that was stored at this time by the wall clock.
    pub fn of(&self, label: (i64, i64)) -> Duration {
        let (now, wall_ms) = (self.clock.now(), self.clock.wall_ms());
        self.start.age_of(label, now, wall_ms)
    }

    /// Whether it is older than it may be.
    pub fn is_expired(&self, message: &Outgoing) -> bool {
        message.time_to_live().is_some_and(|time_to_live| {
            self.of((lane::number(message.id), message.stored_at_ms)) > time_to_live
        })
    }
}
