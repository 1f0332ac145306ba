//! Tells of dropped Messages as ranges, of one lane each: the first at once, then at growing intervals what has gathered.

use std::fmt;
use std::time::{Duration, Instant};

use super::limits::OutboxLimit;
use crate::message::lanes::Lanes;
use crate::message::priority::Priority;
use crate::store::rows::lane;
use crate::store::rows::outbox::DroppedRows;
use crate::store::rows::totals::Totals;

const INTERVAL_FIRST: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Why Messages are not sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    Full(OutboxLimit),
    Expired,
    Replaced,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Full(limit) => write!(f, "as the outbox has reached {limit}"),
            Why::Expired => write!(f, "as they were older than their time to live"),
            Why::Replaced => write!(f, "as newer ones took their place"),
        }
    }
}

/// What is dropped and not yet told.
pub(super) struct DropLog {
    gathered: Lanes<Option<(DroppedRows, Why)>>,
    told_at: Option<Instant>,
    interval: Duration,
}

impl Default for DropLog {
    fn default() -> DropLog {
        DropLog {
            gathered: Lanes::each(|_| None),
            told_at: None,
            interval: Duration::ZERO,
        }
    }
}

impl DropLog {
    pub fn dropped(&mut self, rows: DroppedRows, why: Why) {
        let gathered = &mut self.gathered[lane::priority(rows.first)];
        let all = gathered.map_or(rows, |(gathered, _)| gathered.and(rows));
        *gathered = Some((all, why));
    }

    /// The lines that are due now, if there is something to tell.
    pub fn lines_if_due(&mut self, now: Instant) -> Vec<String> {
        if self.gathered.iter().all(|(_, it)| it.is_none()) {
            return Vec::new();
        }
        match self
            .told_at
            .map(|told_at| now.saturating_duration_since(told_at))
        {
            Some(elapsed) if elapsed < self.interval => return Vec::new(),
            Some(elapsed) if elapsed < 2 * self.interval => {
                self.interval = (self.interval * 2).min(INTERVAL_MAX);
            }
            // The first ever, or after a pause.
            _ => self.interval = INTERVAL_FIRST,
        }
        self.told_at = Some(now);
        self.lines()
    }

    /// What is left to tell.
    pub fn lines(&mut self) -> Vec<String> {
        let gathered = self.gathered.iter_mut();
        gathered
            .filter_map(|(priority, it)| it.take().map(|(rows, why)| line(priority, rows, why)))
            .collect()
    }
}

fn line(priority: Priority, rows: DroppedRows, why: Why) -> String {
    let of_lane = match priority {
        Priority::Normal => String::new(),
        other => format!(" of the lane {}", other.name()),
    };
    let (first, last) = (lane::number(rows.first), lane::number(rows.last));
    let Totals { count, bytes } = rows.totals;
    format!("dropped Messages {first} to {last}{of_lane}, {count} in all with {bytes} bytes, {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64) -> DroppedRows {
        DroppedRows {
            first: id,
            last: id,
            totals: Totals { count: 1, bytes: 2 },
        }
    }

    #[test]
    fn a_day_of_drops_is_told_in_few_lines_that_cover_every_message() {
        let (mut log, start) = (DropLog::default(), Instant::now());
        let why = Why::Full(OutboxLimit::Messages(5));
        let mut lines = Vec::new();
        for second in 0..86_400 {
            log.dropped(row(second + 1), why);
            lines.extend(log.lines_if_due(start + Duration::from_secs(second as u64)));
        }
        lines.extend(log.lines());
        assert_eq!(
            lines.first().map(String::as_str),
            Some(
                "dropped Messages 1 to 1, 1 in all with 2 bytes, as the outbox has reached its limit of 5 Messages"
            )
        );
        assert!((20..50).contains(&lines.len()), "{}", lines.len());
        let mut next = 1;
        for line in &lines {
            let numbers: Vec<i64> = line
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|number| number.parse().ok())
                .collect();
            assert_eq!(numbers[0], next, "{line}");
            next = numbers[1] + 1;
            assert_eq!(numbers[2], next - numbers[0], "{line}");
        }
        assert_eq!(next, 86_401);
        assert!(log.lines().is_empty());
    }
}
