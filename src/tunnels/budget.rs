//! How many bytes may go now, of so many a second. Pure: time is passed in.

use std::time::{Duration, Instant};

/// A second's worth at most is saved up.
pub(super) struct Budget {
    per_second: Option<f64>,
    left: f64,
    at: Instant,
}

impl Budget {
    /// With a second's worth; without a limit if there is none.
    pub fn new(bytes_per_second: Option<u64>, now: Instant) -> Budget {
        let per_second = bytes_per_second.map(|bytes| bytes as f64);
        Budget {
            per_second,
            left: per_second.unwrap_or(0.0),
            at: now,
        }
    }

    /// How many of these bytes may go now.
    pub fn allows(&mut self, bytes: usize, now: Instant) -> usize {
        let Some(per_second) = self.per_second else {
            return bytes;
        };
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * per_second).min(per_second);
        self.at = now;
        bytes.min(self.left.max(0.0) as usize)
    }

    /// So many went.
    pub fn spend(&mut self, bytes: usize) {
        if self.per_second.is_some() {
            self.left -= bytes as f64;
        }
    }

    /// When it is worth while to ask again, if nothing is allowed now: when a good part of a second's worth is there.
    pub fn due(&self) -> Option<Instant> {
        let per_second = self.per_second?;
        let wanted = (per_second / 20.0).max(1.0) - self.left;
        Some(self.at + Duration::from_secs_f64(wanted.max(0.0) / per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_ten_seconds_as_much_goes_as_is_allowed_and_what_was_saved_up() {
        let begin = Instant::now();
        let mut now = begin;
        let mut budget = Budget::new(Some(10_000), now);
        let mut gone = 0;
        while now < begin + Duration::from_secs(10) {
            let bytes = budget.allows(4_000, now);
            budget.spend(bytes);
            gone += bytes;
            now = if bytes == 0 {
                budget.due().unwrap().max(now)
            } else {
                now
            };
            if bytes == 0 {
                now += Duration::from_micros(1);
            }
        }
        assert!((109_000..=111_000).contains(&gone), "{gone}");
    }

    #[test]
    fn without_a_limit_everything_goes() {
        let now = Instant::now();
        let mut budget = Budget::new(None, now);
        budget.spend(1 << 40);
        assert_eq!(budget.allows(7, now), 7);
        assert_eq!(budget.due(), None);
    }
}
