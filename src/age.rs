//! How old a stored Message is, as far as that is known for sure. Pure: times come in.

use std::time::Duration;

use crate::clock::Moment;

/// Before this library, 2026, no Message was stored: such a label is of a clock that was not set.
const FIRST_LABEL_MS: i64 = 1_767_225_600_000;

/// When this run began.
pub(crate) struct RunStart {
    pub at: Moment,
    /// The newest Message stored before it.
    pub newest_message: i64,
}

impl RunStart {
    /// The age of the Message with this id, labelled with the wall clock when it was stored. Whatever the wall clock
    /// does, a Message of this run is not older than the run, and one of an earlier run is not younger.
    pub fn age_of(&self, (id, stored_at_ms): (i64, i64), now: Moment, wall_ms: i64) -> Duration {
        let in_run = now.since(self.at);
        let by_label = wall_ms.saturating_sub(stored_at_ms);
        let by_label = Duration::from_millis(u64::try_from(by_label).unwrap_or(0));
        if id > self.newest_message {
            return by_label.min(in_run);
        }
        if stored_at_ms < FIRST_LABEL_MS {
            in_run
        } else {
            by_label.max(in_run)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS_50_MS: i64 = 50 * 365 * 86_400_000;
    const NOW_MS: i64 = 1_800_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    /// A minute after the start.
    fn age(message: (i64, i64), wall_ms: i64) -> Duration {
        let start = RunStart {
            at: Moment::START,
            newest_message: 10,
        };
        start.age_of(message, Moment::START + MINUTE, wall_ms)
    }

    #[test]
    fn a_message_of_this_run_is_never_older_than_the_run() {
        let after = NOW_MS + 60_000;
        assert_eq!(age((11, NOW_MS + 50_000), after), MINUTE / 6);
        for start_ms in [0, NOW_MS - YEARS_50_MS, NOW_MS + YEARS_50_MS] {
            for wall_ms in [after, after + YEARS_50_MS, after - YEARS_50_MS] {
                let age = age((11, start_ms + 50_000), wall_ms);
                assert!(age <= MINUTE, "{age:?} from {start_ms} to {wall_ms}");
            }
        }
    }

    #[test]
    fn a_message_of_an_earlier_run_is_at_least_as_old_as_this_one() {
        let (hour_ms, after) = (3_600_000, NOW_MS + 60_000);
        assert_eq!(age((10, NOW_MS - hour_ms), after), 61 * MINUTE);
        assert_eq!(age((10, NOW_MS), 60_000), MINUTE, "not set now");
        assert_eq!(age((10, 5_000), after), MINUTE, "not set then");
        assert_eq!(age((10, NOW_MS + YEARS_50_MS), after), MINUTE, "ahead then");
    }
}
