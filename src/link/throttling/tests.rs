use super::super::reconnect::{Ended, Reconnect};
use super::*;
use crate::message::Priority;

const START: Moment = Moment::START;

fn at(seconds: f64) -> Moment {
    START + Duration::from_secs_f64(seconds)
}

/// So many are acknowledged within this time, evenly.
fn acknowledge(throttling: &mut Throttling, count: u32, from: f64, to: f64) {
    for i in 1..=count {
        throttling.acknowledged(at(from + (to - from) * f64::from(i) / f64::from(count)));
    }
}

fn pace(throttling: &mut Throttling, seconds: f64) -> Option<f64> {
    throttling.turn(Turn::any(), at(seconds));
    throttling.slow.as_ref().map(|slow| slow.pace)
}

/// It has closed twice, and took 100 a second in between.
fn throttled() -> Throttling {
    let mut throttling = Throttling::new(START);
    acknowledge(&mut throttling, 5000, 0.0, 1.0);
    throttling.closed(at(1.0));
    acknowledge(&mut throttling, 100, 1.5, 2.0);
    throttling.closed(at(2.0));
    throttling
}

#[test]
fn at_the_second_close_the_pace_is_half_of_what_was_taken_since_the_first() {
    let mut throttling = Throttling::new(START);
    assert_eq!(pace(&mut throttling, 0.0), None);
    acknowledge(&mut throttling, 5000, 0.0, 1.0);
    throttling.closed(at(1.0));
    assert_eq!(throttling.take_news(), None);
    assert_eq!(pace(&mut throttling, 1.0), None, "once is no throttle");
    let mut throttling = throttled();
    assert_eq!(throttling.take_news(), Some(News::Slower(50.0)));
    assert_eq!(throttling.take_news(), None, "told once");
    assert_eq!(pace(&mut throttling, 2.0), Some(50.0));
}

#[test]
fn messages_go_at_the_pace() {
    let mut throttling = throttled();
    let mut now = at(2.0);
    let mut sent = 0;
    while now < at(6.9) {
        let mut turn = throttling.turn(Turn::free(now), now);
        if turn.may_send(Priority::Normal) {
            throttling.sent(now);
            sent += 1;
        } else {
            now = turn.held_until().unwrap();
        }
    }
    // 4.9 s at 50 a second, one at once, and the burst.
    assert!((245..=251).contains(&sent), "{sent}");
}

#[test]
fn the_pace_climbs_by_steps_to_what_was_measured_and_beyond_and_ends() {
    let mut throttling = throttled();
    throttling.take_news();
    let paces = [2.0, 6.9, 7.0, 12.0, 17.0, 22.0, 27.0, 32.0].map(|at| pace(&mut throttling, at));
    let wanted = [50.0, 50.0, 62.5, 75.0, 87.5, 100.0, 125.0, 156.25];
    assert_eq!(paces, wanted.map(Some));
    assert!(pace(&mut throttling, 121.9) > Some(5000.0));
    assert_eq!(throttling.take_news(), None);
    assert_eq!(pace(&mut throttling, 122.0), None);
    assert_eq!(throttling.take_news(), Some(News::Free));
}

#[test]
fn a_close_at_a_pace_that_the_hub_had_not_borne_halves_it_again() {
    let mut throttling = throttled();
    assert_eq!(pace(&mut throttling, 30.0), Some(125.0));
    acknowledge(&mut throttling, 1200, 20.0, 30.0);
    throttling.take_news();
    throttling.closed(at(30.0));
    let Some(News::Slower(pace)) = throttling.take_news() else {
        panic!("no news");
    };
    assert!((59.0..62.0).contains(&pace), "{pace}");
}

#[test]
fn where_a_slow_pace_does_not_help_it_is_given_up_and_ever_longer() {
    let mut throttling = Throttling::new(START);
    let (mut slow, mut in_vain) = (0, Vec::new());
    // Every 10 Messages, after half a second.
    let mut now = 0.0;
    while now < 3600.0 {
        acknowledge(&mut throttling, 10, now, now + 0.5);
        now += 0.5;
        throttling.closed(at(now));
        slow += u32::from(pace(&mut throttling, now).is_some());
        if throttling.take_news() == Some(News::InVain) {
            in_vain.push(now);
        }
    }
    assert_eq!(slow as usize, 2 * in_vain.len());
    let pauses: Vec<u32> = in_vain
        .windows(2)
        .map(|pair| ((pair[1] - pair[0]) / 60.0).round() as u32)
        .collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16], "minutes");
}

#[test]
fn a_few_messages_and_closes_far_apart_say_nothing() {
    let mut few = Throttling::new(START);
    acknowledge(&mut few, 9, 0.0, 0.5);
    for i in 0..10 {
        few.closed(at(0.5 + f64::from(i)));
    }
    assert_eq!(few.take_news(), None);
    let mut rare = Throttling::new(START);
    for i in 0..10 {
        let from = f64::from(i) * 61.0;
        acknowledge(&mut rare, 1000, from, from + 5.0);
        rare.closed(at(from + 5.0));
    }
    assert_eq!(rare.take_news(), None);
    let mut slow = Throttling::new(START);
    for i in 0..10 {
        let from = f64::from(i) * 20.0;
        acknowledge(&mut slow, 10, from, from + 20.0);
        slow.closed(at(from + 20.0));
    }
    assert_eq!(slow.take_news(), None, "one a second goes always");
}

#[test]
fn while_it_goes_slowly_one_close_counts_however_long_ago_the_last_was() {
    let mut throttling = throttled();
    throttling.take_news();
    assert!(pace(&mut throttling, 100.0).is_some());
    acknowledge(&mut throttling, 1200, 90.0, 100.0);
    throttling.closed(at(100.0));
    assert!(matches!(throttling.take_news(), Some(News::Slower(_))));
}

#[test]
fn once_it_has_helped_it_is_given_up_for_the_first_time_again() {
    let mut throttling = throttled();
    throttling.ignore_next = IGNORE_MAX;
    assert_eq!(pace(&mut throttling, 122.0), None);
    assert_eq!(throttling.ignore_next, IGNORE_FIRST);
}

#[test]
fn a_hub_that_says_so_is_believed_at_once_and_not_twice_for_the_same() {
    let mut throttling = Throttling::new(START);
    throttling.refused(START);
    assert_eq!(throttling.take_news(), None, "of what?");
    acknowledge(&mut throttling, 400, 0.0, 4.0);
    throttling.refused(at(4.0));
    assert_eq!(throttling.take_news(), Some(News::Slower(50.0)));
    throttling.refused(at(5.0));
    assert_eq!(throttling.take_news(), None);
}

#[test]
fn a_pause_is_not_part_of_what_is_measured() {
    let mut throttling = Throttling::new(START);
    acknowledge(&mut throttling, 5, 0.0, 1.0);
    acknowledge(&mut throttling, 400, 3600.0, 3604.0);
    throttling.refused(at(3604.0));
    let Some(News::Slower(pace)) = throttling.take_news() else {
        panic!("no news");
    };
    assert!((49.0..51.0).contains(&pace), "{pace}");
}

#[test]
fn a_program_that_does_not_want_it_has_no_pace() {
    let mut throttling = throttled();
    let deaf = Turn::any().without_throttling();
    throttling.turn(deaf, at(2.0));
    assert!(throttling.slow.is_none());
}

/// A hub that takes so many a second, and as many at once after a pause.
struct Hub {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: Moment,
}

impl Hub {
    fn takes(&mut self, now: Moment) -> bool {
        let gathered = now.since(self.filled_at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gathered).min(self.burst);
        self.filled_at = now;
        let takes = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(takes));
        takes
    }
}

/// How long a backlog of 20,000 takes on a line that brings 5,000 a second, in seconds.
fn drain(per_second: f64, burst: f64, is_paced: bool) -> f64 {
    let mut hub = Hub {
        per_second,
        burst,
        tokens: burst,
        filled_at: START,
    };
    let mut random = fastrand::Rng::with_seed(17);
    let (mut throttling, mut reconnect) = (Throttling::new(START), Reconnect::new(START));
    let (mut now, mut left) = (START, 20_000);
    loop {
        reconnect.attempt(now);
        now = now + Duration::from_millis(20);
        let (connected_at, left_before) = (now, left);
        loop {
            let mut turn = throttling.turn(Turn::free(now), now);
            if is_paced && !turn.may_send(Priority::Normal) {
                now = turn.held_until().unwrap();
                continue;
            }
            throttling.sent(now);
            now = now + Duration::from_micros(200);
            if !hub.takes(now) {
                break;
            }
            throttling.acknowledged(now);
            left -= 1;
            if left == 0 {
                return now.since(START).as_secs_f64();
            }
        }
        throttling.closed(now);
        let ended = Ended {
            lasted: now.since(connected_at),
            has_acknowledged: left < left_before,
        };
        reconnect.ended(ended, now);
        now = now + reconnect.next_delay(now, random.f64());
    }
}

#[test]
fn a_backlog_drains_sooner_at_a_pace_than_by_running_into_the_throttle() {
    for (per_second, burst) in [
        (20.0, 100.0),
        (100.0, 100.0),
        (500.0, 500.0),
        (1000.0, 1000.0),
        (1000.0, 10.0),
    ] {
        let (paced, running) = (
            drain(per_second, burst, true),
            drain(per_second, burst, false),
        );
        let least = 20_000.0 / per_second;
        println!(
            "the hub takes {per_second} a second, and {burst} at once: {paced:.0} s at a pace, {running:.0} s by \
             running into it; {least:.0} s is the least"
        );
        assert!(paced < running, "{paced} s, {running} s");
    }
}
