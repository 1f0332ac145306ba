//! Times, ages and amounts as people read them.

use std::time::{Duration, UNIX_EPOCH};

/// `2026-11-22T12:00:00.123Z`; a time that no calendar has becomes the nearest that it has.
pub(crate) fn time(wall_ms: i64) -> String {
    const END_OF_9999_MS: u64 = 253_402_300_799_000;
    let ms = u64::try_from(wall_ms).unwrap_or(0).min(END_OF_9999_MS);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// Reads what [`time`] writes, and what other programs write for it.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// The two largest units: `3days 4h`.
pub(crate) fn age(age_ms: i64) -> String {
    let seconds = Duration::from_secs(u64::try_from(age_ms).unwrap_or(0) / 1000);
    let text = humantime::format_duration(seconds).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// How long ago something was by this machine's clock, which may be wrong.
pub(crate) fn ago(age_ms: i64) -> String {
    if age_ms < 0 {
        return "in the future by this clock".to_owned();
    }
    format!("{} ago by this clock", age(age_ms))
}

/// `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 Message`, `12,345 Messages`.
pub(crate) fn messages(number: u64) -> String {
    let noun = if number == 1 { "Message" } else { "Messages" };
    format!("{} {noun}", count(number))
}

/// `1.2 MB`, in powers of ten.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1000.0, UNITS[0]);
    for next in &UNITS[1..] {
        if size < 999.95 {
            break;
        }
        (size, unit) = (size / 1000.0, next);
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_are_written_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(messages(0), "0 Messages");
        assert_eq!(messages(1), "1 Message");
        assert_eq!(messages(1_001), "1,001 Messages");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234), "1.2 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(u64::MAX), "18446744.1 TB");
        assert_eq!(ago(-1), "in the future by this clock");
        assert_eq!(ago(61_000), "1m 1s ago by this clock");
        assert_eq!(age(0), "0s");
        assert_eq!(age(93_784_000), "1day 2h");
        assert_eq!(time(1_795_348_800_123), "2026-11-22T12:00:00.123Z");
        assert_eq!(time(-5), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            parse_time("2026-11-22T12:00:00.123Z"),
            Some(1_795_348_800_123)
        );
        assert_eq!(parse_time("yesterday"), None);
    }
}
