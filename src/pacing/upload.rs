//! The pace of the upload that is under way.

use std::sync::Arc;
use std::time::Duration;

use super::pacer::Pacer;
use crate::clock::Clock;
use crate::message::priority::Priority;
use crate::sync::Mutex;

/// No part is longer than what goes in this time: so long Messages wait for it.
const PART_TIME: Duration = Duration::from_millis(100);
/// The pace may have changed, or the upload ended, before a wait is over.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What an upload asks before it sends.
pub(crate) struct UploadPace {
    pacer: Arc<Pacer>,
    clock: Arc<dyn Clock>,
    /// There is one upload at a time.
    lane: Mutex<Priority>,
}

impl UploadPace {
    pub fn new(pacer: Arc<Pacer>, clock: Arc<dyn Clock>) -> UploadPace {
        UploadPace {
            pacer,
            clock,
            lane: Mutex::default(),
        }
    }

    /// The next upload is of this lane.
    pub fn set_lane(&self, lane: Priority) {
        *self.lane.lock() = lane;
    }

    /// How many of these bytes may be sent now, which counts them as sent; or how long to wait before the next question.
    pub fn send(&self, bytes: usize) -> Result<usize, Duration> {
        let lane = *self.lane.lock();
        let part = self
            .pacer
            .send_part(lane, bytes, PART_TIME, self.clock.now());
        part.map_err(|wait| wait.min(WAIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ShiftedClock;
    use crate::pacing::options::{Pace, Pacing};

    #[test]
    fn who_waits_long_asks_again_soon_as_the_pace_may_have_changed() {
        let clock = Arc::new(ShiftedClock::default());
        let slow = Pacing::new().all(Pace::new().bytes_per_second(1));
        let pacer = Arc::new(Pacer::new(slow, clock.now()));
        let pace = UploadPace::new(Arc::clone(&pacer), Arc::clone(&clock) as Arc<dyn Clock>);
        assert_eq!(pace.send(1000), Ok(512));
        assert_eq!(pace.send(1000), Err(WAIT_MAX));
        pacer.change(Pacing::new(), clock.now());
        assert_eq!(pace.send(1000), Ok(1000));
    }
}
