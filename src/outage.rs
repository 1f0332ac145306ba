//! How long to wait before something that cannot be reached is tried again: pure, on the monotonic clock.

use std::time::Duration;

use crate::clock::Moment;

/// The first attempt after an outage began comes within this time.
pub(crate) const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// Waits that follow how long the outage has lasted: none but the first is longer than half of it. So whatever
/// its length was, it is noticed to be over before half as much time has passed again.
///
/// The first wait is drawn evenly from zero on ("full jitter",
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>): it spreads devices whose hub restarts.
/// The others are drawn from the upper half of what they may be, which keeps them apart with fewer attempts.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Moment>,
}

impl Outage {
    /// It cannot be reached (any more): the delay before the next attempt. `random` is even in `0.0..1.0`.
    pub fn next_delay(&mut self, now: Moment, random: f64) -> Duration {
        let random = random.clamp(0.0, 1.0);
        let Some(since) = self.since else {
            self.since = Some(now);
            return FIRST.mul_f64(random);
        };
        let longest = (now.since(since) / 2).clamp(FIRST, LONGEST);
        longest.mul_f64((1.0 + random) / 2.0)
    }

    /// Whether the last attempt failed.
    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// It was reached.
    pub fn end(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long after the end of an outage of this length the next attempt came, in each of many tries.
    fn found_after(length: Duration, random: &mut fastrand::Rng) -> Vec<Duration> {
        let mut found: Vec<Duration> = (0..10_000)
            .map(|_| {
                let (mut outage, mut now) = (Outage::default(), Moment::START);
                while now < Moment::START + length {
                    now = now + outage.next_delay(now, random.f64());
                }
                now.since(Moment::START + length)
            })
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn its_end_is_found_within_half_of_its_length_and_mostly_within_a_quarter() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for seconds in [1, 2, 8, 30, 60, 120, 3600, 100_000] {
            let length = Duration::from_secs(seconds);
            let found = found_after(length, &mut random);
            let (median, last) = (found[found.len() / 2], found[found.len() - 1]);
            println!("seed {seed}: after {length:?}: {median:?}, at most {last:?}");
            assert!(last <= (length / 2).clamp(FIRST, LONGEST), "{last:?}");
            assert!(median <= (length / 4).max(FIRST / 2), "{median:?}");
        }
    }

    #[test]
    fn a_wait_is_never_so_short_that_it_is_none_but_the_first() {
        let mut outage = Outage::default();
        assert!(!outage.is_on());
        assert_eq!(outage.next_delay(Moment::START, 0.0), Duration::ZERO);
        assert!(outage.is_on());
        assert_eq!(outage.next_delay(Moment::START, 0.0), FIRST / 2);
        let late = Moment::START + Duration::from_secs(3600);
        assert_eq!(outage.next_delay(late, 0.0), LONGEST / 2);
        outage.end();
        assert_eq!(outage.next_delay(late, 1.0), FIRST, "another one");
    }
}
