//! Whose upload is tried, and when: content that failed holds up its own lane alone, a hub that gives no place for it
//! all of them. Pure, on the monotonic clock.

use std::time::Duration;

use super::waits::{Failed, REST, Waits};
use crate::clock::Moment;
use crate::message::lanes::Lanes;
use crate::store::rows::lane;

/// Who waits for how long.
pub(super) struct Turns {
    /// For a place.
    hub: Turn,
    lanes: Lanes<Turn>,
    /// The network is back, or may be, since the attempt began that is under way.
    is_hurried: bool,
}

/// When something is tried again.
struct Turn {
    waits: Waits,
    waiting: Option<Waiting>,
}

/// What failed last, and until when it waits.
struct Waiting {
    id: i64,
    until: Moment,
    /// Not before that, whatever the news.
    rests_until: Moment,
}

impl Turn {
    fn new() -> Turn {
        Turn {
            waits: Waits::new(),
            waiting: None,
        }
    }

    fn succeeded(&mut self) {
        self.waits.succeeded();
        self.waiting = None;
    }

    fn until(&self) -> Option<Moment> {
        self.waiting.as_ref().map(|waiting| waiting.until)
    }

    fn hurry(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.until = waiting.until.min(waiting.rests_until);
        }
    }
}

impl Turns {
    pub fn new() -> Turns {
        Turns {
            hub: Turn::new(),
            lanes: Lanes::each(|_| Turn::new()),
            is_hurried: false,
        }
    }

    /// Whether this content may be tried: it does not wait, nor does everything.
    pub fn may_go(&self, id: i64, now: Moment) -> bool {
        let of_lane = self.lanes[lane::priority(id)].waiting.as_ref();
        let of_lane = of_lane.filter(|waiting| waiting.id == id);
        let is_over = |until: Moment| until <= now;
        self.hub.until().is_none_or(is_over) && of_lane.is_none_or(|it| is_over(it.until))
    }

    /// The time until somebody has waited enough; zero if nobody waits.
    pub fn next_in(&self, now: Moment) -> Duration {
        let is_to_come = |until: &Moment| *until > now;
        let of_lanes = self.lanes.iter().filter_map(|(_, turn)| turn.until());
        let next = self.hub.until().filter(is_to_come);
        let next = next.or_else(|| of_lanes.filter(is_to_come).min());
        next.map_or(Duration::ZERO, |until| until.since(now))
    }

    /// An attempt begins. What it meets is newer than any news.
    pub fn attempt(&mut self, now: Moment) {
        self.is_hurried = false;
        self.hub.waits.attempt(now);
    }

    /// This content is up, or set aside.
    pub fn succeeded(&mut self, id: i64) {
        self.hub.succeeded();
        self.lanes[lane::priority(id)].succeeded();
    }

    /// The attempt failed; `random` is even in `0.0..1.0`.
    pub fn failed(&mut self, id: i64, failed: &Failed, now: Moment, random: f64) {
        let turn = if failed.had_place {
            self.hub.succeeded();
            &mut self.lanes[lane::priority(id)]
        } else {
            &mut self.hub
        };
        let delay = turn.waits.failed(failed, now, random);
        // News of the network ends no other wait.
        let rest = if failed.is_of_network {
            delay.min(REST)
        } else {
            delay
        };
        turn.waiting = Some(Waiting {
            id,
            until: now + delay,
            rests_until: now + rest,
        });
        if self.is_hurried {
            turn.hurry();
        }
    }

    /// The network is back, or may be: what waits for it need not wait longer, nor what is being tried and fails.
    pub fn hurry(&mut self) {
        self.is_hurried = true;
        self.hub.hurry();
        self.lanes.iter_mut().for_each(|(_, turn)| turn.hurry());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::priority::Priority;

    const REFUSED: Failed = Failed {
        is_of_network: false,
        had_place: true,
        has_moved: false,
    };
    const CUT: Failed = Failed {
        is_of_network: true,
        ..REFUSED
    };
    const NO_PLACE: Failed = Failed {
        had_place: false,
        ..REFUSED
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn id(priority: Priority, number: i64) -> i64 {
        lane::id(priority, number)
    }

    fn fail(turns: &mut Turns, id: i64, failed: &Failed, now: Moment) {
        turns.attempt(now);
        turns.failed(id, failed, now, 1.0);
    }

    #[test]
    fn content_that_failed_holds_up_its_own_lane_alone() {
        let (high, low) = (id(Priority::High, 1), id(Priority::Low, 2));
        let (mut turns, now) = (Turns::new(), Moment::START);
        assert!(turns.may_go(high, now) && turns.next_in(now).is_zero());
        fail(&mut turns, high, &REFUSED, now);
        assert!(!turns.may_go(high, now) && turns.may_go(low, now));
        turns.succeeded(low);
        fail(&mut turns, low, &REFUSED, now + SECOND / 2);
        assert_eq!(
            turns.next_in(now + SECOND / 2),
            SECOND / 2,
            "the first of both"
        );
        assert!(turns.may_go(high, now + SECOND) && !turns.may_go(low, now + SECOND));
        fail(&mut turns, high, &REFUSED, now + SECOND);
        assert!(!turns.may_go(high, now + 2 * SECOND), "it doubles");
        assert!(turns.may_go(high, now + 3 * SECOND));
    }

    #[test]
    fn what_comes_in_the_place_of_content_that_failed_does_not_wait() {
        let mut turns = Turns::new();
        fail(&mut turns, 1, &REFUSED, Moment::START);
        assert!(turns.may_go(2, Moment::START));
    }

    #[test]
    fn a_hub_that_gives_no_place_holds_up_all() {
        let (high, low) = (id(Priority::High, 1), id(Priority::Low, 2));
        let (mut turns, now) = (Turns::new(), Moment::START);
        fail(&mut turns, high, &NO_PLACE, now);
        assert!(!turns.may_go(high, now) && !turns.may_go(low, now));
        assert_eq!(turns.next_in(now), SECOND);
        assert!(turns.may_go(high, now + SECOND) && turns.may_go(low, now + SECOND));
        // One place, and that is over.
        fail(&mut turns, high, &REFUSED, now + SECOND);
        assert!(turns.may_go(low, now + SECOND));
    }

    #[test]
    fn news_of_the_network_ends_waits_for_it_behind_a_rest() {
        let mut turns = Turns::new();
        for failed in [&CUT, &CUT, &CUT] {
            fail(&mut turns, 1, failed, Moment::START);
        }
        let low = id(Priority::Low, 2);
        for failed in [&REFUSED, &REFUSED] {
            fail(&mut turns, low, failed, Moment::START);
        }
        assert!(!turns.may_go(1, Moment::START + REST));
        turns.hurry();
        assert!(!turns.may_go(1, Moment::START));
        assert!(turns.may_go(1, Moment::START + REST));
        assert!(
            !turns.may_go(low, Moment::START + REST),
            "it has another reason"
        );
        // Also for the attempt that is under way.
        turns.attempt(Moment::START + REST);
        turns.hurry();
        turns.failed(1, &CUT, Moment::START + REST, 1.0);
        assert!(turns.may_go(1, Moment::START + 2 * REST));
    }
}
