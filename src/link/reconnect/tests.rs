use super::*;

mod simulation;

const SHORT: Ended = Ended {
    lasted: Duration::from_millis(50),
    has_acknowledged: true,
};
const FRUITLESS: Ended = Ended {
    lasted: Duration::from_millis(50),
    has_acknowledged: false,
};
const LONG: Ended = Ended {
    lasted: STABLE_AFTER,
    has_acknowledged: false,
};

/// The longest waits after so many connections of no use.
fn fruitless(reconnect: &mut Reconnect, count: usize) -> Vec<u64> {
    (0..count)
        .map(|_| {
            reconnect.ended(FRUITLESS, Moment::START);
            reconnect.next_delay(Moment::START, 1.0).as_secs()
        })
        .collect()
}

#[test]
fn attempts_at_a_hub_that_closes_each_connection_come_ever_later_up_to_the_cap() {
    let mut reconnect = Reconnect::new(Moment::START);
    assert_eq!(fruitless(&mut reconnect, 8), [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn attempts_at_a_hub_that_is_away_follow_how_long_it_has_been() {
    let mut reconnect = Reconnect::new(Moment::START);
    fruitless(&mut reconnect, 8);
    let mut now = Moment::START;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let wait = reconnect.next_delay(now, 1.0);
        waits.push(wait.as_secs());
        now = now + wait;
    }
    assert_eq!(waits, [1, 1, 1, 1, 1, 2, 3, 4, 6, 9, 12, 17]);
    reconnect.ended(LONG, now);
    assert_eq!(reconnect.next_delay(now, 1.0), FIRST);
}

#[test]
fn what_lasted_or_was_of_use_starts_over_and_nothing_else() {
    for (ended, starts_over) in [(LONG, true), (SHORT, true), (FRUITLESS, false)] {
        let mut reconnect = Reconnect::new(Moment::START);
        fruitless(&mut reconnect, 5);
        reconnect.ended(ended, Moment::START);
        let delay = reconnect.next_delay(Moment::START, 1.0);
        assert_eq!(delay == FIRST, starts_over, "{ended:?}");
        // What was of use has the count of the others begin anew, too.
        let next = fruitless(&mut reconnect, 1);
        assert_eq!(next == [1], starts_over, "{ended:?}");
    }
}

#[test]
fn short_connections_start_over_only_so_often_in_a_row() {
    let mut reconnect = Reconnect::new(Moment::START);
    let mut now = Moment::START;
    let mut start_over = |now: Moment| {
        reconnect.next_delay(now, 1.0);
        reconnect.ended(SHORT, now);
        !reconnect.was_fruitless
    };
    for _ in 0..SHORT_MAX {
        now = now + Duration::from_millis(100);
        assert!(start_over(now));
    }
    assert!(!start_over(now));
    now = now + STABLE_AFTER;
    assert!(start_over(now), "one is given back");
    assert!(!start_over(now), "but not two");
    now = now + STABLE_AFTER * SHORT_MAX * 2;
    for _ in 0..SHORT_MAX {
        assert!(start_over(now));
    }
    assert!(!start_over(now), "no more than at first are given back");
}
