//! One limit: so much a second, and a burst after a pause. Pure.
//!
//! A token bucket, told by the time at which everything so far is paid for (the "virtual scheduling" of GCRA, ITU-T
//! I.371): what goes moves that time on by its cost, and the next may go when it is no further ahead than the burst. So
//! nothing is lost to rounding, nothing runs while nothing is sent, and what costs more than the burst still goes.

use std::time::Duration;

use crate::clock::Moment;

/// One limit, and what is used of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// Above 0 and finite. Without it, there is no limit.
    per_second: Option<f64>,
    burst: Duration,
    paid_at: Moment,
}

impl Bucket {
    /// Nothing is used of it.
    pub fn new(per_second: Option<f64>, burst: Duration, now: Moment) -> Bucket {
        Bucket {
            per_second,
            burst,
            paid_at: now,
        }
    }

    pub fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// From when on the next may go, however much it costs: now, or earlier, if it may.
    pub fn next_at(&self, now: Moment) -> Moment {
        match self.per_second {
            Some(_) => self.paid_at - self.burst,
            None => now,
        }
    }

    /// So much goes, whether it may or not.
    pub fn charge(&mut self, cost: u64, now: Moment) {
        if let Some(per_second) = self.per_second {
            self.paid_at = self.paid_at.max(now) + seconds(cost as f64 / per_second);
        }
    }

    /// Another limit holds from now on. What is not paid for yet stays so.
    pub fn change(&mut self, per_second: Option<f64>, burst: Duration, now: Moment) {
        let debt = self.paid_at.since(now);
        let debt = match (self.per_second, per_second) {
            (Some(before), Some(after)) if !debt.is_zero() => {
                seconds(debt.as_secs_f64() * (before / after))
            }
            _ => Duration::ZERO,
        };
        *self = Bucket::new(per_second, burst, now + debt);
    }
}

/// The longest time there is, if it is longer than that.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: Duration = Duration::from_millis(100);
    const START: Moment = Moment::START;

    fn after(seconds: f64) -> Moment {
        START + Duration::from_secs_f64(seconds)
    }

    /// What goes within so long, where whoever waits wakes up late by up to `late`, and each costs `cost`.
    fn sent(bucket: &mut Bucket, from: Moment, time: Duration, late: Duration, cost: u64) -> u64 {
        let (mut now, mut sent, end) = (from, 0, from + time);
        let mut random = fastrand::Rng::with_seed(17);
        while now < end {
            if bucket.next_at(now) <= now {
                bucket.charge(cost, now);
                sent += cost;
            } else {
                now = bucket.next_at(now) + late.mul_f64(random.f64());
            }
        }
        sent
    }

    #[test]
    fn it_is_accurate_within_5_percent_over_10_seconds_also_where_waits_end_late() {
        let ten = Duration::from_secs(10);
        for per_second in [2.0, 7.5, 100.0, 1234.5, 50_000.0] {
            for (late, cost) in [(0, 1), (1, 1), (50, 1)] {
                let late = Duration::from_millis(late);
                let mut bucket = Bucket::new(Some(per_second), BURST, START);
                let first = sent(&mut bucket, START, ten, late, cost) as f64;
                // The first goes at once.
                let wanted = per_second * 10.0;
                assert!(
                    (first - 1.0 - wanted).abs() <= wanted * 0.05,
                    "{first} of {wanted}"
                );
                let then = sent(&mut bucket, START + ten, ten, late, cost) as f64;
                assert!((then - wanted).abs() <= wanted * 0.05, "{then} of {wanted}");
            }
        }
    }

    #[test]
    fn what_is_larger_than_the_burst_goes_and_the_rate_holds_over_many() {
        let time = Duration::from_secs(10_000);
        let mut bucket = Bucket::new(Some(2_000.0), BURST, START);
        let sent = sent(&mut bucket, START, time, Duration::from_millis(2), 250_000);
        let wanted = 2_000.0 * 10_000.0;
        assert!((sent as f64 - wanted).abs() <= wanted * 0.05, "{sent}");
    }

    #[test]
    fn after_a_pause_one_goes_and_as_many_as_the_burst_is_long() {
        let mut bucket = Bucket::new(Some(10.0), Duration::from_secs(2), START);
        for now in [START, after(1_000_000.0)] {
            let mut at_once = 0;
            while bucket.next_at(now) <= now {
                bucket.charge(1, now);
                at_once += 1;
            }
            assert_eq!(at_once, 21);
            assert_eq!(bucket.next_at(now), now + Duration::from_millis(100));
        }
    }

    #[test]
    fn while_the_clock_stands_still_nothing_more_goes() {
        let mut bucket = Bucket::new(Some(1_000_000.0), BURST, START);
        let mut at_once = 0u32;
        while bucket.next_at(START) <= START {
            bucket.charge(1, START);
            at_once += 1;
        }
        assert_eq!(at_once, 100_001);
        assert!((0..1000).all(|_| bucket.next_at(START) > START));
    }

    #[test]
    fn a_change_keeps_what_is_not_paid_for() {
        let mut bucket = Bucket::new(Some(10.0), BURST, START);
        bucket.charge(100, START);
        assert_eq!(bucket.next_at(START), after(9.9));
        bucket.change(Some(100.0), BURST, START);
        assert_eq!(bucket.next_at(START), after(0.9), "ten times as fast");
        bucket.change(Some(1.0), Duration::from_secs(10), after(0.5));
        assert_eq!(
            bucket.next_at(after(0.5)),
            after(40.5),
            "50 are left to pay"
        );
        bucket.change(None, BURST, after(1.0));
        assert_eq!(bucket.next_at(after(1.0)), after(1.0), "no limit");
        bucket.change(Some(1.0), BURST, after(1.0));
        assert!(bucket.next_at(after(1.0)) <= after(1.0), "a fresh one");
    }

    #[test]
    fn a_change_to_the_same_gives_nothing_away() {
        let mut bucket = Bucket::new(Some(1.0), BURST, START);
        for _ in 0..1000 {
            if bucket.next_at(START) <= START {
                bucket.charge(1, START);
            }
            bucket.change(Some(1.0), BURST, START);
        }
        assert_eq!(bucket.next_at(START), after(0.9), "one went");
    }

    #[test]
    fn without_a_limit_all_goes() {
        let mut bucket = Bucket::new(None, BURST, START);
        for _ in 0..1000 {
            bucket.charge(u64::MAX, START);
            assert_eq!(bucket.next_at(START), START);
        }
    }

    #[test]
    fn huge_and_tiny_values_are_borne() {
        for (per_second, cost) in [
            (f64::MIN_POSITIVE, u64::MAX),
            (f64::MIN_POSITIVE, 1),
            (f64::MAX, u64::MAX),
        ] {
            let mut bucket = Bucket::new(Some(per_second), BURST, START);
            assert!(bucket.next_at(START) <= START);
            for _ in 0..3 {
                bucket.charge(cost, START);
            }
            let is_slow = per_second < 1.0;
            assert_eq!(bucket.next_at(START) > after(1e9), is_slow);
            bucket.change(Some(1.0), BURST, START);
            bucket.change(Some(f64::MAX), BURST, START);
            bucket.change(Some(f64::MIN_POSITIVE), BURST, START);
        }
    }
}
