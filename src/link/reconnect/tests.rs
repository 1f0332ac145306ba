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

fn after_failures(count: usize) -> Reconnect {
    let mut reconnect = Reconnect::new(Moment::START);
    for _ in 0..count {
        reconnect.next_delay(1.0);
    }
    reconnect
}

#[test]
fn attempts_come_ever_later_up_to_the_cap() {
    let mut reconnect = Reconnect::new(Moment::START);
    let latest: Vec<u64> = (0..8)
        .map(|_| reconnect.next_delay(1.0).as_secs())
        .collect();
    assert_eq!(latest, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn what_lasted_or_was_of_use_starts_over_and_nothing_else() {
    for (ended, starts_over) in [(LONG, true), (SHORT, true), (FRUITLESS, false)] {
        let mut reconnect = after_failures(5);
        reconnect.ended(ended, Moment::START);
        assert_eq!(reconnect.next_delay(1.0) == FIRST, starts_over, "{ended:?}");
    }
}

#[test]
fn short_connections_start_over_only_so_often_in_a_row() {
    let mut reconnect = Reconnect::new(Moment::START);
    let mut now = Moment::START;
    let mut start_over = |now: Moment| {
        reconnect.next_delay(1.0);
        reconnect.ended(SHORT, now);
        reconnect.backoff.ceiling() == FIRST
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
