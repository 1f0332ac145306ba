//! How many Messages the hub takes.

use std::time::Instant;

/// A bucket of tokens, one for each Message.
pub(crate) struct Throttle {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Throttle {
    pub fn new(per_second: f64, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self {
            per_second,
            burst,
            tokens: burst,
            filled_at: now,
        }
    }

    /// Whether one more Message may pass.
    pub fn pass(&mut self, now: Instant) -> bool {
        let since = now.duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_second).min(self.burst);
        self.filled_at = now;
        let passes = self.tokens >= 1.0;
        if passes {
            self.tokens -= 1.0;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut now = Instant::now();
        let mut throttle = Throttle::new(10.0, 3, now);
        let passed = (0..10).filter(|_| throttle.pass(now)).count();
        assert_eq!(passed, 3);
        let mut passed = 0;
        for _ in 0..1000 {
            now += Duration::from_millis(10);
            passed += u32::from(throttle.pass(now));
        }
        assert!((99..=100).contains(&passed), "{passed}");
        now += Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| throttle.pass(now)).count(), 3);
    }
}
