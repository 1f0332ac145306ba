//! The wall clock against a server's.

use super::board::Found;
use super::cause::Cause;
use crate::http::time::ServerTime;
use crate::tool::units;

/// No device has this software before it was written: such a clock was not set since the boot.
const WRITTEN_MS: i64 = 1_764_547_200_000;
/// Beyond this, things stop to work one after the other.
const TOLERATED_SECONDS: u64 = 120;
const SET_IT: &str = "set the clock, and have it set at each boot (NTP): TLS needs it";

/// What the clock alone says: that it was never set, or nothing.
pub(super) fn alone(wall_ms: i64) -> Option<Found> {
    (wall_ms < WRITTEN_MS).then(|| {
        let summary = format!(
            "the clock says {}: it was not set since the boot",
            units::time(wall_ms)
        );
        Found::finding(Cause::ClockNotSet, summary, SET_IT)
    })
}

/// Compared with a server's; `is_trusted` is whether that is known to be who it should be.
pub(super) fn compare(wall_ms: i64, server: ServerTime, is_trusted: bool) -> Found {
    if let Some(found) = alone(wall_ms) {
        return found;
    }
    let seconds = wall_ms.div_euclid(1000).saturating_sub(server.0);
    let whose = if is_trusted {
        "the Platform's"
    } else {
        "that of the server that answers, which may be another"
    };
    let off = units::age(
        i64::try_from(seconds.unsigned_abs())
            .unwrap_or(i64::MAX)
            .saturating_mul(1000),
    );
    if seconds.unsigned_abs() <= TOLERATED_SECONDS {
        return Found::well(format!("within {off} of {whose}"));
    }
    let direction = if seconds > 0 { "ahead of" } else { "behind" };
    let summary = format!("the clock is {off} {direction} {whose}");
    Found::finding(Cause::ClockWrong, summary, SET_IT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: ServerTime = ServerTime(1_795_348_800);

    #[test]
    fn a_clock_is_right_wrong_or_was_never_set() {
        let at = |seconds: i64| compare((NOW.0 + seconds) * 1000, NOW, true);
        assert!(!at(0).is_finding() && !at(-120).is_finding());
        assert_eq!(at(121).cause, Some(Cause::ClockWrong));
        assert!(at(3_700).summary.contains("1h 1m ahead of"));
        assert!(at(-86_400).summary.contains("1day behind"));
        assert_eq!(compare(5_000, NOW, true).cause, Some(Cause::ClockNotSet));
        assert_eq!(alone(NOW.0 * 1000).map(|found| found.summary), None);
    }
}
