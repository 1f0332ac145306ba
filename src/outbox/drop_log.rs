//! Tells of dropped Messages as ranges: the first at once, then at growing intervals what has gathered.

use std::time::{Duration, Instant};

use super::limits::OutboxLimit;
use crate::store::rows::outbox::DroppedRows;

const INTERVAL_FIRST: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// What is dropped and not yet told.
#[derive(Default)]
pub(super) struct DropLog {
    gathered: Option<(DroppedRows, OutboxLimit)>,
    told_at: Option<Instant>,
    interval: Duration,
}

impl DropLog {
    pub fn dropped(&mut self, rows: DroppedRows, limit: OutboxLimit) {
        let first = self
            .gathered
            .map_or(rows, |(gathered, _)| gathered.and(rows));
        self.gathered = Some((first, limit));
    }

    /// The line that is due now, if there is something to tell.
    pub fn line_if_due(&mut self, now: Instant) -> Option<String> {
        self.gathered?;
        match self
            .told_at
            .map(|told_at| now.saturating_duration_since(told_at))
        {
            Some(elapsed) if elapsed < self.interval => return None,
            Some(elapsed) if elapsed < 2 * self.interval => {
                self.interval = (self.interval * 2).min(INTERVAL_MAX);
            }
            // The first ever, or after a pause.
            _ => self.interval = INTERVAL_FIRST,
        }
        self.told_at = Some(now);
        self.line()
    }

    /// What is left to tell.
    pub fn line(&mut self) -> Option<String> {
        let (rows, limit) = self.gathered.take()?;
        let (first, last, totals) = (rows.first, rows.last, rows.totals);
        Some(format!(
            "dropped Messages {first} to {last}, {} in all with {} bytes, as the outbox has reached {limit}",
            totals.count, totals.bytes
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::totals::Totals;

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
        let limit = OutboxLimit::Messages(5);
        let mut lines = Vec::new();
        for second in 0..86_400 {
            log.dropped(row(second + 1), limit);
            lines.extend(log.line_if_due(start + Duration::from_secs(second as u64)));
        }
        lines.extend(log.line());
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
        assert_eq!(log.line(), None);
    }
}
