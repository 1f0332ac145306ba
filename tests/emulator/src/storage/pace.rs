//! How fast the storage takes content.

use std::time::{Duration, Instant};

/// Shared by all connections.
#[derive(Default)]
pub(crate) struct Pace {
    bytes_per_second: Option<f64>,
    free_at: Option<Instant>,
}

impl Pace {
    pub fn set(&mut self, bytes_per_second: Option<f64>) {
        self.bytes_per_second = bytes_per_second;
        self.free_at = None;
    }

    /// Takes so much content; says when the next may be taken.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Instant {
        let Some(rate) = self.bytes_per_second else {
            return now;
        };
        let start = self.free_at.map_or(now, |free_at| free_at.max(now));
        let duration = Duration::try_from_secs_f64(bytes as f64 / rate);
        let free_at = duration
            .ok()
            .and_then(|duration| start.checked_add(duration));
        *self.free_at.insert(free_at.unwrap_or(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_taken_at_the_rate_whatever_its_pieces() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.take(1000, now), now);
        pace.set(Some(100.0));
        let second = Duration::from_secs(1);
        assert_eq!(pace.take(50, now), now + second / 2);
        assert_eq!(pace.take(50, now), now + second);
        let later = now + 10 * second;
        assert_eq!(pace.take(200, later), later + 2 * second, "no burst");
    }
}
