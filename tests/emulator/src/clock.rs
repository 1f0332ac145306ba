//! The Platform's idea of the time, which a test may set apart from the device's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Times further away than this would leave what the formats below can write.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Wall clock with an offset in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub offset_seconds: i64,
}

impl Clock {
    pub fn now(self) -> SystemTime {
        let offset = Duration::from_secs(self.offset_seconds.unsigned_abs()).min(CENTURY);
        let now = SystemTime::now();
        let shifted = if self.offset_seconds < 0 {
            now.checked_sub(offset)
        } else {
            now.checked_add(offset)
        };
        shifted
            .filter(|time| *time >= UNIX_EPOCH)
            .unwrap_or(UNIX_EPOCH)
    }

    /// The time `ahead` from now, as the API writes it.
    pub fn rfc3339(self, ahead: Duration) -> String {
        humantime::format_rfc3339_seconds(self.now() + ahead.min(CENTURY)).to_string()
    }

    /// The time `ahead` from now in whole seconds, as a SAS states it.
    pub fn unix_seconds(self, ahead: Duration) -> u64 {
        (self.now() + ahead.min(CENTURY))
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }

    pub fn http_date(self) -> String {
        httpdate::fmt_http_date(self.now())
    }
}

/// A .NET `TimeSpan`: `[-][d.]hh:mm:ss[.fffffff]`.
pub(crate) fn time_span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!(
        "{:02}:{:02}:{:02}",
        rest / 3600,
        rest % 3600 / 60,
        rest % 60
    );
    let ticks = duration.subsec_nanos() / 100;
    let days = if days > 0 {
        format!("{days}.")
    } else {
        String::new()
    };
    let fraction = if ticks > 0 {
        format!(".{ticks:07}")
    } else {
        String::new()
    };
    format!("{days}{clock}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_look_like_dotnet_s() {
        assert_eq!(time_span(Duration::from_secs(5)), "00:00:05");
        assert_eq!(
            time_span(Duration::from_millis(86_400_500)),
            "1.00:00:00.5000000"
        );
        let platform = Duration::new(8 * 86_400 + 11 * 3600 + 55 * 60 + 36, 329_617_700);
        assert_eq!(time_span(platform), "8.11:55:36.3296177");
    }

    #[test]
    fn an_offset_never_leads_before_the_epoch() {
        assert_eq!(
            Clock {
                offset_seconds: i64::MIN
            }
            .now(),
            UNIX_EPOCH
        );
        assert!(
            Clock {
                offset_seconds: i64::MAX
            }
            .rfc3339(Duration::MAX)
            .starts_with("22")
        );
    }
}
