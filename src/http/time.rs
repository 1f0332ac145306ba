//! The Platform's ways to write times and time spans, and what they say about lifetimes.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// A moment by the Platform's clock: seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerTime(pub i64);

impl ServerTime {
    /// `2026-11-22T12:00:00.1234567+00:00`: RFC 3339, as in the API's answers.
    pub fn from_rfc3339(text: &str) -> Option<ServerTime> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(ServerTime(time.unix_timestamp()))
    }

    /// `Sun, 22 Nov 2026 12:00:00 GMT`: the HTTP header `Date`, a special case of RFC 2822.
    pub fn from_http_date(text: &str) -> Option<ServerTime> {
        let time = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        Some(ServerTime(time.unix_timestamp()))
    }
}

/// How long something that the Platform issued is valid, counted from the answer that brought it.
///
/// Counted by the Platform's clock alone, because the device's may be decades off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The Platform said that it does not expire.
    Unlimited,
    /// The Platform did not say, or not in a way that can be understood.
    Unknown,
    /// Zero: it has expired.
    Remaining(Duration),
}

impl Lifetime {
    /// Until `expiry`, for an answer that was given at `now`.
    pub fn until(expiry: Option<ServerTime>, now: Option<ServerTime>) -> Lifetime {
        match (expiry, now) {
            (Some(expiry), Some(now)) => {
                let seconds = expiry.0.saturating_sub(now.0);
                Lifetime::Remaining(Duration::from_secs(seconds.try_into().unwrap_or(0)))
            }
            _ => Lifetime::Unknown,
        }
    }

    /// The known, limited lifetime.
    pub fn remaining(self) -> Option<Duration> {
        match self {
            Lifetime::Remaining(time) => Some(time),
            Lifetime::Unlimited | Lifetime::Unknown => None,
        }
    }
}

/// Reads .NET's `[-][d.]hh:mm:ss[.fffffff]`; a negative span is zero.
pub(crate) fn parse_time_span(text: &str) -> Option<Duration> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.split(':');
    let (first, minutes, last) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (days, hours) = first.split_once('.').unwrap_or(("0", first));
    let (seconds, fraction) = last.split_once('.').unwrap_or((last, "0"));
    let seconds = number(seconds, 2, 59)?
        + 60 * number(minutes, 2, 59)?
        + 3_600 * number(hours, 2, 23)?
        + 86_400 * number(days, 8, 99_999_999)?;
    let nanos = number(fraction, 9, 999_999_999)? * 10_u64.pow(9 - fraction.len() as u32);
    Some(if negative {
        Duration::ZERO
    } else {
        Duration::from_secs(seconds) + Duration::from_nanos(nanos)
    })
}

fn number(digits: &str, digits_max: usize, max: u64) -> Option<u64> {
    let fits = (1..=digits_max).contains(&digits.len());
    if !fits || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| *number <= max)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_read_to_the_last_digit() {
        let cases = [
            ("00:00:00", 0, 0),
            ("00:59:59", 3_599, 0),
            ("8.11:55:36.3296177", 8 * 86_400 + 42_936, 329_617_700),
            ("23:00:00.5", 82_800, 500_000_000),
            ("10675199.02:48:05.4775807", 922_337_203_685, 477_580_700),
        ];
        for (text, seconds, nanos) in cases {
            let expected = Duration::new(seconds, nanos);
            assert_eq!(parse_time_span(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_negative_time_span_has_passed() {
        assert_eq!(parse_time_span("-1.00:00:01"), Some(Duration::ZERO));
        assert_eq!(parse_time_span("-00:00:00.1"), Some(Duration::ZERO));
    }

    #[test]
    fn broken_time_spans_are_refused() {
        for text in [
            "",
            "-",
            "8",
            "1:2",
            "1:2:3:4",
            "24:00:00",
            "00:60:00",
            "00:00:60",
            "+1:00:00",
            "--1:00:00",
            "1.2.03:00:00",
            ".01:00:00",
            "00:00:00.",
            "00:00:00.0000000000",
            "999999999.00:00:00",
            "٣:00:00",
            " 00:00:00",
        ] {
            assert_eq!(parse_time_span(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_offset_a_z_and_fractions_name_the_same_moment() {
        for text in [
            "2026-11-22T12:00:00Z",
            "2026-11-22T12:00:00+00:00",
            "2026-11-22T14:30:00.1234567+02:30",
            "2026-11-22T12:00:00.9Z",
        ] {
            let time = ServerTime::from_rfc3339(text);
            assert_eq!(time, Some(ServerTime(1_795_348_800)), "{text}");
        }
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T12:00:00",
            "2026-13-01T00:00:00Z",
            "x",
        ] {
            assert_eq!(ServerTime::from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn the_date_header_is_read() {
        let date = ServerTime::from_http_date("Sun, 22 Nov 2026 12:00:00 GMT");
        assert_eq!(date, Some(ServerTime(1_795_348_800)));
        for text in [
            "",
            "now",
            "Sun, 22 Nov 2026",
            "Sun, 99 Nov 2026 12:00:00 GMT",
        ] {
            assert_eq!(ServerTime::from_http_date(text), None, "{text}");
        }
    }

    #[test]
    fn lifetimes_need_both_ends() {
        let (now, then) = (Some(ServerTime(100)), Some(ServerTime(160)));
        assert_eq!(
            Lifetime::until(then, now),
            Lifetime::Remaining(Duration::from_secs(60))
        );
        assert_eq!(
            Lifetime::until(now, then),
            Lifetime::Remaining(Duration::ZERO)
        );
        assert_eq!(Lifetime::until(None, now), Lifetime::Unknown);
        assert_eq!(Lifetime::until(then, None), Lifetime::Unknown);
        let extremes = (Some(ServerTime(i64::MAX)), Some(ServerTime(i64::MIN)));
        assert!(
            Lifetime::until(extremes.0, extremes.1)
                .remaining()
                .is_some()
        );
    }
}
