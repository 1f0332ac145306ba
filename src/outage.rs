//! How long to wait before something that cannot be reached is tried again, and how long for an answer: pure, on the
//! monotonic clock.

use std::time::Duration;

use crate::clock::Moment;

/// The first attempt after an outage began comes within this time.
pub(crate) const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// A peer that says nothing is waited for at least so long, and no longer than leaves a rest of the longest wait.
const PATIENCE_MIN: Duration = Duration::from_millis(500);
const PATIENCE_MAX: Duration = Duration::from_secs(20);

/// What is reckoned with as long as there may be no outage at all.
const UNKNOWN: Duration = Duration::from_secs(20);

/// How long a peer that has taken a connection, and has said nothing on it yet, is waited for when the outage has
/// lasted so long: a third of it. So that its end is noticed soon although the attempt began in silence, and a link on
/// which answers take longer gets its connection all the same.
pub(crate) fn patience(lasted: Duration) -> Duration {
    (lasted / 3).clamp(PATIENCE_MIN, PATIENCE_MAX)
}

/// Waits that follow how long the outage has lasted: none but the first is longer than two fifths of it. So whatever
/// its length was, it is noticed to be over before half as much time has passed again, with some of that left to connect,
/// and mostly before a quarter.
///
/// The first wait is drawn evenly from zero on ("full jitter",
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>): it spreads devices whose hub restarts.
/// The others are drawn from the upper half of what they may be, which keeps them apart with fewer attempts. What the
/// attempt before took, in silence, is part of the wait; of which so much is left that devices stay apart.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Moment>,
    /// When the last attempt began.
    attempt_at: Option<Moment>,
}

impl Outage {
    /// An attempt begins.
    pub fn attempt(&mut self, now: Moment) {
        self.attempt_at = Some(now);
    }

    /// For how long it cannot be reached. Before the first failure that is not known: then who is reached has time.
    pub fn lasted(&self, now: Moment) -> Duration {
        self.since.map_or(UNKNOWN, |since| now.since(since))
    }

    /// It cannot be reached (any more): the delay before the next attempt. `random` is even in `0.0..1.0`.
    pub fn next_delay(&mut self, now: Moment, random: f64) -> Duration {
        let random = random.clamp(0.0, 1.0);
        let attempt_at = self.attempt_at.take().unwrap_or(now);
        let Some(since) = self.since else {
            self.since = Some(attempt_at);
            return FIRST.mul_f64(random);
        };
        let longest = (attempt_at.since(since) * 2 / 5).clamp(FIRST, LONGEST);
        let wait = longest.mul_f64((1.0 + random) / 2.0);
        let rest = (longest / 4).mul_f64(random);
        wait.saturating_sub(now.since(attempt_at)).max(rest)
    }

    /// Whether the last attempt failed.
    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// It was reached.
    pub fn end(&mut self) {
        *self = Outage::default();
    }
}

/// How often news of the network may end a wait: where it comes and goes all the time, as on a machine that starts
/// containers, the waits go on as without.
#[derive(Debug)]
pub(crate) struct Hurries {
    left: u32,
    given_back_at: Moment,
}

/// So many at once, and one more in this time.
const HURRIES_MAX: u32 = 3;
pub(crate) const HURRY_EVERY: Duration = Duration::from_secs(10);

impl Hurries {
    pub fn new(now: Moment) -> Hurries {
        Hurries {
            left: HURRIES_MAX,
            given_back_at: now,
        }
    }

    /// Takes one, if there is one left.
    pub fn take(&mut self, now: Moment) -> bool {
        while self.left < HURRIES_MAX && now.since(self.given_back_at) >= HURRY_EVERY {
            self.left += 1;
            self.given_back_at = self.given_back_at + HURRY_EVERY;
        }
        if self.left == HURRIES_MAX {
            self.given_back_at = now;
        }
        let is_left = self.left > 0;
        self.left -= u32::from(is_left);
        is_left
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
        let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
        for seconds in [1, 2, 8, 30, 60, 120, 3600, 100_000] {
            let length = Duration::from_secs(seconds);
            let found = found_after(length, &mut random);
            let (median, last) = (found[found.len() / 2], found[found.len() - 1]);
            println!("after {length:?}: {median:?}, at most {last:?}");
            assert!(last <= (length * 9 / 20).clamp(FIRST, LONGEST), "{last:?}");
            assert!(median <= (length / 5).max(FIRST / 2), "{median:?}");
        }
    }

    /// The same where each attempt is met by silence for as long as that is borne.
    fn found_in_silence_after(length: Duration, random: &mut fastrand::Rng) -> Vec<Duration> {
        let mut found: Vec<Duration> = (0..10_000)
            .map(|_| {
                let (mut outage, mut now) = (Outage::default(), Moment::START);
                now = now + outage.next_delay(now, random.f64());
                while now < Moment::START + length {
                    outage.attempt(now);
                    now = now + patience(outage.lasted(now));
                    now = now + outage.next_delay(now, random.f64());
                }
                now.since(Moment::START + length)
            })
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn in_silence_too_its_end_is_found_within_half_of_its_length_and_mostly_within_a_quarter() {
        let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
        for seconds in [2, 8, 30, 60, 120, 3600, 100_000] {
            let length = Duration::from_secs(seconds);
            let found = found_in_silence_after(length, &mut random);
            let (median, last) = (found[found.len() / 2], found[found.len() - 1]);
            println!("after {length:?}: {median:?}, at most {last:?}");
            assert!(last <= (length * 9 / 20).clamp(FIRST, LONGEST), "{last:?}");
            assert!(median <= (length / 5).max(FIRST / 2), "{median:?}");
        }
    }

    #[test]
    fn an_outage_begins_with_the_attempt_that_found_it_and_what_that_took_is_waited_already() {
        let at = |seconds| Moment::START + Duration::from_secs(seconds);
        let mut outage = Outage::default();
        outage.attempt(at(10));
        assert_eq!(outage.lasted(at(20)), UNKNOWN, "it may succeed");
        outage.next_delay(at(20), 0.0);
        assert_eq!(outage.lasted(at(30)), Duration::from_secs(20));
        outage.attempt(at(30));
        let delay = outage.next_delay(at(34), 1.0);
        assert_eq!(delay, Duration::from_secs(8 - 4), "two fifths of 20 s");
        outage.attempt(at(50));
        assert_eq!(outage.next_delay(at(80), 0.5), Duration::from_millis(2000));
    }

    #[test]
    fn only_so_many_waits_are_ended_early() {
        let at = |seconds| Moment::START + Duration::from_secs(seconds);
        let mut hurries = Hurries::new(at(0));
        let mut taken = |seconds| hurries.take(at(seconds));
        let at_once = [100, 100, 100, 100, 109].map(&mut taken);
        assert_eq!(at_once, [true, true, true, false, false]);
        assert_eq!([110, 119, 120].map(&mut taken), [true, false, true]);
        let much_later = [1000; 4].map(&mut taken);
        assert_eq!(much_later, [true, true, true, false]);
    }

    #[test]
    fn patience_grows_with_the_outage() {
        let grown = [0, 3, 8, 30, 90, 3600].map(|lasted| {
            let lasted = Duration::from_secs(lasted);
            patience(lasted).as_millis()
        });
        assert_eq!(grown, [500, 1000, 2666, 10_000, 20_000, 20_000]);
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
