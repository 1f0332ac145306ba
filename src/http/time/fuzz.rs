//! Times and time spans, as the Platform writes them.

use spotflow_fuzz::{Choices, fuzz};

use super::*;

const DAY_SECONDS: i64 = 86_400;

/// A day of the Gregorian calendar, counted here independently of the decoder's library: from 1970,
/// one year after the other.
fn date(days_since_1970: i64) -> (i64, usize, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut left) = (1970, days_since_1970);
    loop {
        let days = if is_leap(year) { 366 } else { 365 };
        if left < days {
            break;
        }
        left -= days;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    (year, month + 1, left + 1)
}

/// Up to the year 2100.
fn moment(choices: &mut Choices<'_>) -> i64 {
    i64::from(choices.u32()) % (130 * 365 * DAY_SECONDS)
}

fn clock(seconds: i64) -> String {
    let day = seconds % DAY_SECONDS;
    format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
}

#[test]
fn every_time_of_the_api_is_read_as_it_was_written() {
    fuzz("RFC 3339", |choices| {
        let at = moment(choices);
        let (hours, minutes) = (choices.byte() % 24, choices.byte() % 60);
        let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
        // What is behind UTC says a day that may have begun elsewhere already.
        let at = at + DAY_SECONDS;
        let (local, offset) = match choices.byte() % 3 {
            0 => (at, choices.pick(&["Z", "+00:00", "-00:00"]).to_owned()),
            1 => (at + seconds, format!("+{hours:02}:{minutes:02}")),
            _ => (at - seconds, format!("-{hours:02}:{minutes:02}")),
        };
        let (year, month, day) = date(local / DAY_SECONDS);
        let fraction = choices.pick(&["", ".5", ".1234567", ".999999999", ".484524753"]);
        let text = format!(
            "{year}-{month:02}-{day:02}T{}{fraction}{offset}",
            clock(local)
        );
        assert_eq!(
            ServerTime::from_rfc3339(&text),
            Some(ServerTime(at)),
            "{text}"
        );
    });
}

#[test]
fn every_date_header_is_read_as_it_was_written() {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    fuzz("HTTP date", |choices| {
        let at = moment(choices);
        let days = at / DAY_SECONDS;
        let (year, month, day) = date(days);
        let (weekday, month) = (WEEKDAYS[days as usize % 7], MONTHS[month - 1]);
        let text = format!("{weekday}, {day:02} {month} {year} {} GMT", clock(at));
        assert_eq!(
            ServerTime::from_http_date(&text),
            Some(ServerTime(at)),
            "{text}"
        );
    });
}

#[test]
fn damaged_times_are_read_or_refused() {
    let texts = [
        "2026-11-22T12:00:00.1234567+00:00",
        "9999-12-31T23:59:59Z",
        "0000-01-01T00:00:00-23:59",
        "2026-02-29T24:00:60Z",
        "Sun, 22 Nov 2026 12:00:00 GMT",
        "Sun, 31 Dec 9999 23:59:60 -2359",
        "Sunday, 06-Nov-94 08:49:37 GMT",
    ];
    fuzz("damaged times", move |choices| {
        let text = choices.pick(&texts);
        let text = choices.damaged_text(text);
        let times = [
            ServerTime::from_rfc3339(&text),
            ServerTime::from_http_date(&text),
        ];
        let other = Some(ServerTime(choices.i64()));
        for time in times {
            // Between the years -9999 and 9999 and a day.
            assert!(
                time.is_none_or(|time| time.0.abs() < 380_000_000_000),
                "{text}: {time:?}"
            );
            let _ = (Lifetime::until(time, other), Lifetime::until(other, time));
        }
    });
}

#[test]
fn every_time_span_is_read_to_its_last_digit() {
    fuzz("TimeSpan", |choices| {
        let days = choices.u32() % 100_000_000;
        let (hours, minutes, seconds) = (
            choices.byte() % 24,
            choices.byte() % 60,
            choices.byte() % 60,
        );
        let digits = choices.below(10);
        let fraction = choices.u32() % 10_u32.pow(digits as u32);
        let sign = choices.pick(&["", "", "", "-"]);
        let mut text = if choices.bool() {
            format!("{sign}{days}.{hours:02}:{minutes:02}:{seconds:02}")
        } else {
            format!("{sign}{hours:02}:{minutes:02}:{seconds:02}")
        };
        let days = if text.contains('.') {
            u64::from(days)
        } else {
            0
        };
        let mut nanos = 0;
        if digits > 0 {
            text.push_str(&format!(".{fraction:0digits$}"));
            nanos = fraction * 10_u32.pow(9 - digits as u32);
        }
        let seconds =
            days * 86_400 + u64::from(hours) * 3600 + u64::from(minutes) * 60 + u64::from(seconds);
        let expected = match sign {
            "-" => Duration::ZERO,
            _ => Duration::new(seconds, nanos),
        };
        assert_eq!(parse_time_span(&text), Some(expected), "{text}");
    });
}

/// What .NET writes, told apart by an independent reading of the form.
fn is_time_span(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.chars().all(|c| c.is_ascii_digit())
    };
    let within = |part: &str, limit: u32| digits(part, 2) && part.parse::<u32>().unwrap() < limit;
    let [first, minutes, last] = text.split(':').collect::<Vec<_>>()[..] else {
        return false;
    };
    let (days, hours) = match first.split_once('.') {
        Some((days, hours)) => (Some(days), hours),
        None => (None, first),
    };
    let (seconds, fraction) = match last.split_once('.') {
        Some((seconds, fraction)) => (seconds, Some(fraction)),
        None => (last, None),
    };
    days.is_none_or(|days| digits(days, 8))
        && within(hours, 24)
        && within(minutes, 60)
        && within(seconds, 60)
        && fraction.is_none_or(|fraction| digits(fraction, 9))
}

#[test]
fn damaged_time_spans_are_read_only_if_they_are_still_spans() {
    let texts = [
        "8.11:55:36.3296177",
        "-00:00:01",
        "00:00:00",
        "10675199.02:48:05.4775807",
    ];
    fuzz("damaged TimeSpan", move |choices| {
        let text = choices.pick(&texts);
        let text = choices.damaged_text(text);
        assert_eq!(
            parse_time_span(&text).is_some(),
            is_time_span(&text),
            "{text:?}"
        );
    });
}
