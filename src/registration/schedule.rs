//! When to register and to refresh: pure, on the monotonic clock.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::outage::{Hurries, Outage};

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_secs(60);
/// After a refusal: tokens are un-revoked, and a technician can change his mind.
const ASK_AGAIN: Duration = Duration::from_secs(3600);
/// However short a life the Platform states: not more often than this.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

/// The next registration and the next refresh of the Registration Token.
#[derive(Debug)]
pub(super) struct Schedule {
    register_at: Option<Moment>,
    refresh_at: Option<Moment>,
    /// While the Platform cannot be reached.
    outage: Outage,
    hurries: Hurries,
    /// While it answers, but not as wanted.
    register_backoff: Backoff,
    refresh_backoff: Backoff,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub register: bool,
    pub refresh: bool,
}

impl Schedule {
    pub fn register_at_once(now: Moment) -> Schedule {
        Schedule {
            register_at: Some(now),
            refresh_at: None,
            outage: Outage::default(),
            hurries: Hurries::new(now),
            register_backoff: Backoff::new(RETRY_FIRST, RETRY_CAP),
            refresh_backoff: Backoff::new(RETRY_FIRST, RETRY_CAP),
        }
    }

    pub fn next_due(&self) -> Option<Moment> {
        [self.register_at, self.refresh_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes what is due; it is not due any more.
    pub fn take_due(&mut self, now: Moment) -> Due {
        let is_due = |at: &mut Option<Moment>| at.take_if(|at| now >= *at).is_some();
        let due = Due {
            register: is_due(&mut self.register_at),
            refresh: is_due(&mut self.refresh_at),
        };
        if due.register {
            self.outage.attempt(now);
        }
        due
    }

    /// For how long the Platform cannot be reached, as far as is known.
    pub fn outage(&self, now: Moment) -> Duration {
        self.outage.lasted(now)
    }

    /// The network says that it is back: whoever waits for it registers at once.
    pub fn network_is_back(&mut self, now: Moment) {
        let waits = self.outage.is_on() && self.register_at.is_some_and(|at| now < at);
        if waits && self.hurries.take(now) {
            self.register_at = Some(now);
        }
    }

    /// Registers as soon as possible, unless a registration is planned: that one may be waiting for
    /// its back-off.
    pub fn register_soon(&mut self, now: Moment) {
        let in_backoff = self.register_backoff.is_waiting() || self.outage.is_on();
        if !in_backoff || self.register_at.is_none() {
            self.register_at = Some(now);
        }
    }

    /// The device is registered: again at half of the SAS's life, and the token refreshed at half of
    /// its own. Half a life is also more than 10 minutes before the end of one over 25 minutes.
    pub fn registered(&mut self, now: Moment, sas: Option<Duration>, token: Option<Duration>) {
        self.outage.end();
        self.register_backoff.reset();
        self.register_at = sas.and_then(|life| half_of(now, life));
        // A planned refresh stays: half of what is left, again and again, would never be reached.
        let refresh_at = token.and_then(|life| half_of(now, life));
        self.refresh_at = self.refresh_at.into_iter().chain(refresh_at).min();
    }

    /// The Platform did not register the device this time, or could not be reached; returns the delay until the
    /// next attempt.
    pub fn registration_failed(
        &mut self,
        was_answered: bool,
        now: Moment,
        random: f64,
    ) -> Duration {
        let delay = if was_answered {
            self.outage.end();
            self.register_backoff.next_delay(random)
        } else {
            self.outage.next_delay(now, random)
        };
        self.register_at = Some(now + delay);
        delay
    }

    /// The Platform itself refused, for a reason that time alone does not change.
    pub fn registration_refused(&mut self, now: Moment) {
        self.register_at = Some(now + ASK_AGAIN);
    }

    pub fn refreshed(&mut self, now: Moment, token: Option<Duration>) {
        self.refresh_backoff.reset();
        self.refresh_at = token.and_then(|life| half_of(now, life));
    }

    pub fn refresh_failed(&mut self, now: Moment, random: f64) {
        self.refresh_at = Some(now + self.refresh_backoff.next_delay(random));
    }

    pub fn refresh_refused(&mut self, now: Moment) {
        self.refresh_at = Some(now + ASK_AGAIN);
    }
}

/// Half of a life; none for one that is over, whose end the Platform tells by a refusal.
fn half_of(now: Moment, life: Duration) -> Option<Moment> {
    (!life.is_zero()).then(|| now + (life / 2).max(RENEWAL_MIN))
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn registered(sas: Duration, token: Duration) -> Schedule {
        let mut schedule = Schedule::register_at_once(Moment::START);
        assert!(schedule.take_due(Moment::START).register);
        schedule.registered(Moment::START, Some(sas), Some(token));
        schedule
    }

    #[test]
    fn credentials_and_token_are_renewed_at_half_of_their_lives() {
        let mut schedule = registered(HOUR, 10 * HOUR);
        assert_eq!(schedule.next_due(), Some(Moment::START + HOUR / 2));
        let due = schedule.take_due(Moment::START + HOUR / 2);
        assert_eq!(
            due,
            Due {
                register: true,
                refresh: false
            }
        );
        assert_eq!(schedule.next_due(), Some(Moment::START + 5 * HOUR));
    }

    #[test]
    fn renewals_of_the_credentials_do_not_put_the_refresh_off() {
        let mut schedule = registered(HOUR, 10 * HOUR);
        for half_hours in 1..10 {
            let now = Moment::START + half_hours * HOUR / 2;
            let due = schedule.take_due(now);
            assert!(
                due.register && !due.refresh,
                "after {half_hours} half hours"
            );
            schedule.registered(now, Some(HOUR), Some(10 * HOUR - half_hours * HOUR / 2));
        }
        assert!(schedule.take_due(Moment::START + 5 * HOUR).refresh);
    }

    #[test]
    fn a_life_without_end_is_not_renewed() {
        let mut schedule = Schedule::register_at_once(Moment::START);
        schedule.take_due(Moment::START);
        schedule.registered(Moment::START, None, None);
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_life_that_is_over_or_tiny_does_not_make_a_busy_loop() {
        let schedule = registered(Duration::ZERO, Duration::from_millis(1));
        assert_eq!(schedule.next_due(), Some(Moment::START + RENEWAL_MIN));
    }

    #[test]
    fn a_failed_registration_backs_off_and_a_refusal_does_not_cut_that_short() {
        let mut schedule = registered(HOUR, HOUR);
        schedule.take_due(Moment::START + HOUR);
        for _ in 0..3 {
            schedule.registration_failed(true, Moment::START + HOUR, 1.0);
        }
        let planned = schedule.next_due();
        assert_eq!(planned, Some(Moment::START + HOUR + Duration::from_secs(4)));
        schedule.register_soon(Moment::START + HOUR);
        assert_eq!(schedule.next_due(), planned);
    }

    #[test]
    fn what_the_platform_refuses_is_asked_again_in_an_hour() {
        let mut schedule = registered(HOUR, 10 * HOUR);
        let now = Moment::START + 5 * HOUR;
        schedule.take_due(now);
        schedule.registration_refused(now);
        schedule.refresh_refused(now);
        assert_eq!(schedule.next_due(), Some(now + HOUR));
        let due = schedule.take_due(now + HOUR);
        assert!(due.register && due.refresh);
    }

    #[test]
    fn a_platform_that_cannot_be_reached_is_tried_as_its_outage_lasts_and_a_refusal_does_not_cut_that_short()
     {
        let mut schedule = registered(HOUR, HOUR);
        let mut now = Moment::START + HOUR;
        schedule.take_due(now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = schedule.registration_failed(false, now, 1.0);
            schedule.register_soon(now);
            assert_eq!(schedule.next_due(), Some(now + wait));
            waits.push(wait.as_secs());
            now = now + wait;
            assert!(schedule.take_due(now).register);
        }
        assert_eq!(waits, [1, 1, 1, 1, 1, 2, 3, 4, 6, 9, 12, 17]);
        schedule.registered(now, Some(HOUR), Some(HOUR));
        assert_eq!(schedule.registration_failed(false, now, 1.0).as_secs(), 1);
    }

    #[test]
    fn a_network_that_is_back_ends_the_wait_for_it_and_no_other() {
        let mut schedule = registered(HOUR, HOUR);
        let now = Moment::START + HOUR;
        let planned = schedule.next_due();
        schedule.network_is_back(Moment::START);
        assert_eq!(schedule.next_due(), planned, "nothing waits for it");

        schedule.take_due(now);
        schedule.registration_failed(true, now, 1.0);
        let planned = schedule.next_due();
        schedule.network_is_back(now);
        assert_eq!(schedule.next_due(), planned, "the Platform has answered");

        let now = now + HOUR;
        schedule.take_due(now);
        schedule.registration_failed(false, now, 1.0);
        schedule.network_is_back(now);
        assert_eq!(schedule.next_due(), Some(now));
    }

    #[test]
    fn a_refusal_of_the_credentials_registers_at_once() {
        let mut schedule = registered(HOUR, HOUR);
        let now = Moment::START + Duration::from_secs(5);
        schedule.register_soon(now);
        assert_eq!(schedule.next_due(), Some(now));
    }
}
