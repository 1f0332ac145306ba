//! The limits of one client, for those who send: the link and the uploader.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::bucket::Bucket;
use super::options::{Pace, Pacing};
use crate::clock::Moment;
use crate::message::lanes::Lanes;
use crate::message::priority::Priority;
use crate::sync::Mutex;

/// Whoever waits looks again after this time at the latest.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// The limits, and what is used of them.
pub(crate) struct Pacer {
    /// Without limits there is nothing to reckon for each Message.
    is_limited: AtomicBool,
    heeds_throttling: AtomicBool,
    state: Mutex<State>,
}

struct State {
    all_as_set: Pace,
    all: Limit,
    lanes: Lanes<Limit>,
}

/// One [`Pace`].
#[derive(Clone, Copy)]
struct Limit {
    messages: Bucket,
    bytes: Bucket,
}

impl Limit {
    fn new(pace: &Pace, now: Moment) -> Limit {
        let (messages, bytes, burst) = pace.limits();
        Limit {
            messages: Bucket::new(messages, burst, now),
            bytes: Bucket::new(bytes, burst, now),
        }
    }

    fn change(&mut self, pace: &Pace, now: Moment) {
        let (messages, bytes, burst) = pace.limits();
        self.messages.change(messages, burst, now);
        self.bytes.change(bytes, burst, now);
    }

    fn next_at(&self, now: Moment) -> Moment {
        self.messages.next_at(now).max(self.bytes.next_at(now))
    }

    fn charge_message(&mut self, bytes: u64, now: Moment) {
        self.messages.charge(1, now);
        self.bytes.charge(bytes, now);
    }
}

impl Pacer {
    pub fn new(pacing: Pacing, now: Moment) -> Pacer {
        Pacer {
            is_limited: AtomicBool::new(pacing.is_limited()),
            heeds_throttling: AtomicBool::new(pacing.heeds_throttling()),
            state: Mutex::new(State {
                all_as_set: *pacing.of_all(),
                all: Limit::new(pacing.of_all(), now),
                lanes: Lanes::each(|priority| Limit::new(pacing.of_lane(priority), now)),
            }),
        }
    }

    /// These hold from now on. Whoever waits has to be told.
    pub fn change(&self, pacing: Pacing, now: Moment) {
        let mut state = self.state.lock();
        state.all_as_set = *pacing.of_all();
        state.all.change(pacing.of_all(), now);
        for (priority, limit) in state.lanes.iter_mut() {
            limit.change(pacing.of_lane(priority), now);
        }
        let order = Ordering::SeqCst;
        self.is_limited.store(pacing.is_limited(), order);
        self.heeds_throttling
            .store(pacing.heeds_throttling(), order);
    }

    /// What is set for all.
    pub fn of_all(&self) -> Pace {
        self.state.lock().all_as_set
    }

    /// Whether the link goes more slowly when the hub throttles.
    pub fn heeds_throttling(&self) -> bool {
        self.heeds_throttling.load(Ordering::Relaxed)
    }

    /// What may be sent now.
    pub fn turn(&self, now: Moment) -> Turn {
        let mut turn = Turn::free(now);
        turn.heeds_throttling = self.heeds_throttling();
        if self.is_limited.load(Ordering::Relaxed) {
            let state = self.state.lock();
            turn.all = state.all.next_at(now);
            turn.lanes = state.lanes.map(|limit| limit.next_at(now));
        }
        turn
    }

    /// A Message of this lane goes, as a packet of so many bytes.
    pub fn sent(&self, lane: Priority, bytes: u64, now: Moment) {
        if self.is_limited.load(Ordering::Relaxed) {
            let mut state = self.state.lock();
            state.all.charge_message(bytes, now);
            state.lanes[lane].charge_message(bytes, now);
        }
    }

    /// What a part of an upload in this lane may be, and counts it as sent; or how long to wait. No part is longer than
    /// what goes in `part_time`, so that others have their turn.
    pub fn send_part(
        &self,
        lane: Priority,
        bytes: usize,
        part_time: Duration,
        now: Moment,
    ) -> Result<usize, Duration> {
        let mut state = self.state.lock();
        let State { all, lanes, .. } = &mut *state;
        let mut buckets = [&mut all.bytes, &mut lanes[lane].bytes];
        let mut part = bytes as u64;
        for bucket in &buckets {
            let next_at = bucket.next_at(now);
            if next_at > now {
                return Err(next_at.since(now));
            }
            if let Some(per_second) = bucket.per_second() {
                part = part.min((per_second * part_time.as_secs_f64()) as u64);
            }
        }
        let part = part.max(PART_BYTES_MIN).min(bytes as u64);
        for bucket in &mut buckets {
            bucket.charge(part, now);
        }
        Ok(usize::try_from(part).unwrap_or(bytes))
    }
}

/// Smaller ones would be more TLS than content.
const PART_BYTES_MIN: u64 = 512;

/// What may be sent at one moment. Asked only about what there is to send, it knows until when that is held back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    now: Moment,
    all: Moment,
    lanes: Lanes<Moment>,
    heeds_throttling: bool,
    held_until: Option<Moment>,
}

impl Turn {
    /// Everything may be sent.
    pub fn free(now: Moment) -> Turn {
        Turn {
            now,
            all: now,
            lanes: Lanes::each(|_| now),
            heeds_throttling: true,
            held_until: None,
        }
    }

    /// Whether the program wants it to go more slowly when the hub throttles.
    pub fn heeds_throttling(&self) -> bool {
        self.heeds_throttling
    }

    /// Nothing before that.
    pub fn not_before(&mut self, moment: Moment) {
        self.all = self.all.max(moment);
    }

    /// Whether a Message of this lane may be sent.
    pub fn may_send(&mut self, lane: Priority) -> bool {
        self.passes(self.all.max(self.lanes[lane]))
    }

    /// Whether one may be sent that the hub may have already. It waits only for the pace of all: while it is not sent
    /// again, no other lane goes.
    pub fn may_repeat(&mut self) -> bool {
        self.passes(self.all)
    }

    fn passes(&mut self, at: Moment) -> bool {
        let passes = at <= self.now;
        if !passes {
            let at = at.min(self.now + WAIT_MAX);
            self.held_until = Some(self.held_until.map_or(at, |until| until.min(at)));
        }
        passes
    }

    /// When something that was held back may be sent.
    pub fn held_until(&self) -> Option<Moment> {
        self.held_until
    }
}

#[cfg(test)]
impl Turn {
    /// Whatever there is.
    pub fn any() -> Turn {
        Turn::free(Moment::START)
    }

    /// All lanes but some.
    pub fn holding(is_held: impl Fn(Priority) -> bool) -> Turn {
        let (now, later) = (Moment::START, Moment::START + WAIT_MAX);
        Turn {
            lanes: Lanes::each(|lane| if is_held(lane) { later } else { now }),
            ..Turn::free(now)
        }
    }

    /// The same for a program that wants nothing of throttling.
    pub fn without_throttling(self) -> Turn {
        Turn {
            heeds_throttling: false,
            ..self
        }
    }

    /// Nothing at all.
    pub fn none() -> Turn {
        let mut turn = Turn::any();
        turn.not_before(Moment::START + WAIT_MAX);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::START;
    const PART_TIME: Duration = Duration::from_millis(100);

    fn after_ms(ms: u64) -> Moment {
        NOW + Duration::from_millis(ms)
    }

    fn one_a_second() -> Pace {
        Pace::new().messages_per_second(1.0)
    }

    #[test]
    fn without_limits_nothing_is_held() {
        let pacer = Pacer::new(Pacing::new(), NOW);
        for _ in 0..1000 {
            pacer.sent(Priority::Normal, u64::MAX, NOW);
            let mut turn = pacer.turn(NOW);
            assert!(turn.may_send(Priority::Normal) && turn.may_repeat());
            assert_eq!(turn.held_until(), None);
        }
        let all = pacer.send_part(Priority::Low, 1 << 20, PART_TIME, NOW);
        assert_eq!(all, Ok(1 << 20));
    }

    #[test]
    fn a_lane_that_has_to_wait_holds_up_no_other() {
        let pacing = Pacing::new().lane(Priority::Bulk, one_a_second());
        let pacer = Pacer::new(pacing, NOW);
        pacer.sent(Priority::Bulk, 200, NOW);
        let mut turn = pacer.turn(NOW);
        assert!(turn.may_send(Priority::Urgent) && turn.may_send(Priority::Normal));
        assert_eq!(turn.held_until(), None, "nobody asked for it");
        assert!(!turn.may_send(Priority::Bulk));
        assert_eq!(turn.held_until(), Some(after_ms(900)));
        assert!(turn.may_repeat(), "a repeat would hold up others");
        assert!(pacer.turn(after_ms(900)).may_send(Priority::Bulk));
    }

    #[test]
    fn all_share_the_pace_of_all() {
        let pacer = Pacer::new(Pacing::new().all(one_a_second()), NOW);
        pacer.sent(Priority::Bulk, 200, NOW);
        let mut turn = pacer.turn(NOW);
        assert!(Priority::ALL.iter().all(|lane| !turn.may_send(*lane)));
        assert!(!turn.may_repeat());
        assert_eq!(turn.held_until(), Some(after_ms(900)));
    }

    #[test]
    fn bytes_are_a_limit_beside_messages() {
        let pace = one_a_second().bytes_per_second(100);
        let pacer = Pacer::new(Pacing::new().all(pace), NOW);
        pacer.sent(Priority::Normal, 50, NOW);
        let mut turn = pacer.turn(NOW);
        assert!(!turn.may_send(Priority::Normal));
        assert_eq!(turn.held_until(), Some(after_ms(900)), "by Messages");
        pacer.sent(Priority::Normal, 250, after_ms(1000));
        let mut turn = pacer.turn(after_ms(1000));
        assert!(!turn.may_send(Priority::Normal));
        assert_eq!(turn.held_until(), Some(after_ms(3400)), "by bytes");
    }

    #[test]
    fn the_soonest_of_what_is_held_is_waited_for_and_no_longer_than_a_day() {
        let pacing = Pacing::new()
            .lane(Priority::Low, one_a_second())
            .lane(Priority::Bulk, Pace::new().messages_per_second(1e-9));
        let pacer = Pacer::new(pacing, NOW);
        pacer.sent(Priority::Low, 1, NOW);
        pacer.sent(Priority::Bulk, 1, NOW);
        let mut turn = pacer.turn(NOW);
        assert!(!turn.may_send(Priority::Bulk));
        assert_eq!(turn.held_until(), Some(NOW + WAIT_MAX));
        assert!(!turn.may_send(Priority::Low));
        assert_eq!(turn.held_until(), Some(after_ms(900)));
    }

    #[test]
    fn a_change_holds_at_once() {
        let pacer = Pacer::new(Pacing::new(), NOW);
        assert!(pacer.heeds_throttling());
        let slow = Pacing::new().all(one_a_second());
        pacer.change(slow.slow_down_when_throttled(false), NOW);
        assert!(!pacer.heeds_throttling());
        pacer.sent(Priority::Normal, 200, NOW);
        assert!(!pacer.turn(NOW).may_send(Priority::Normal));
        pacer.change(Pacing::new(), NOW);
        assert!(pacer.turn(NOW).may_send(Priority::Normal));
    }

    #[test]
    fn uploads_and_messages_share_the_bytes_and_parts_are_small() {
        let pacing = Pacing::new().all(Pace::new().bytes_per_second(20_000));
        let pacer = Pacer::new(pacing, NOW);
        let part = |now| pacer.send_part(Priority::Low, 1 << 20, PART_TIME, now);
        assert_eq!(part(NOW), Ok(2000));
        assert_eq!(part(NOW), Ok(2000), "the burst");
        assert_eq!(part(NOW), Err(PART_TIME));
        assert!(!pacer.turn(NOW).may_send(Priority::Urgent));
        assert!(pacer.turn(after_ms(100)).may_send(Priority::Urgent));
        pacer.sent(Priority::Urgent, 2000, after_ms(100));
        assert_eq!(part(after_ms(100)), Err(PART_TIME));
        assert_eq!(part(after_ms(200)), Ok(2000));
    }

    #[test]
    fn an_upload_waits_for_its_lane_and_counts_no_messages() {
        let slow = one_a_second().bytes_per_second(1000);
        let pacer = Pacer::new(Pacing::new().lane(Priority::Low, slow), NOW);
        let part = |lane, now| pacer.send_part(lane, 600, PART_TIME, now);
        assert_eq!(part(Priority::Low, NOW), Ok(512), "no smaller than that");
        assert_eq!(part(Priority::Low, NOW), Err(Duration::from_millis(412)));
        assert_eq!(part(Priority::Normal, NOW), Ok(600));
        assert!(!pacer.turn(after_ms(411)).may_send(Priority::Low));
        assert!(pacer.turn(after_ms(412)).may_send(Priority::Low));
    }

    #[test]
    fn over_ten_seconds_an_upload_takes_what_it_may() {
        let pacing = Pacing::new().all(Pace::new().bytes_per_second(64_000));
        let pacer = Pacer::new(pacing, NOW);
        let (mut now, mut sent) = (NOW, 0);
        while now < after_ms(10_000) {
            match pacer.send_part(Priority::Low, 16 << 10, PART_TIME, now) {
                Ok(part) => sent += part,
                Err(wait) => now = now + wait,
            }
        }
        assert!((sent as f64 / 640_000.0 - 1.0).abs() < 0.05, "{sent}");
    }
}
