use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const NOW_MS: i64 = 1_800_000_000_000;
const DAY_MS: i64 = 24 * 3_600_000;

fn ways(choice: Transport, last: Option<LastWay>) -> Ways {
    Ways::new(choice, last, Moment::START, NOW_MS)
}

fn last(carrier: Carrier, tls_tried_at_ms: i64) -> Option<LastWay> {
    Some(LastWay {
        carrier,
        tls_tried_at_ms,
    })
}

/// The ways of an attempt in which none comes through.
fn attempt(ways: &mut Ways, now: Moment) -> Vec<Carrier> {
    let mut tried = vec![ways.begin(now)];
    tried.extend(std::iter::from_fn(|| ways.go_on()));
    ways.attempt_failed();
    tried
}

/// An attempt in which this way is the first that comes through.
fn arrive(ways: &mut Ways, carrier: Carrier, now: Moment, wall_ms: i64) -> Arrival {
    ways.begin(now);
    while ways.current() != carrier {
        ways.go_on().expect("it is one of the ways");
    }
    ways.arrived(now, wall_ms)
}

#[test]
fn at_first_mqtt_has_its_port_and_then_it_goes_over_websocket() {
    let mut ways = ways(Transport::Automatic, None);
    for _ in 0..3 {
        let tried = attempt(&mut ways, Moment::START);
        assert_eq!(tried, [Carrier::Tls, Carrier::WebSocket]);
    }
}

#[test]
fn what_is_chosen_is_tried_alone_whatever_worked_before_and_without_haste() {
    for (choice, carrier) in [
        (Transport::Mqtt, Carrier::Tls),
        (Transport::WebSocket, Carrier::WebSocket),
    ] {
        let mut ways = ways(choice, last(carrier.other(), 0));
        ways.begin(Moment::START);
        assert_eq!(ways.patience(), None);
        assert_eq!(attempt(&mut ways, Moment::START), [carrier]);
        let arrival = arrive(&mut ways, carrier, Moment::START, NOW_MS);
        assert_eq!(arrival.remember, None);
        assert!(arrival.is_other);
    }
}

#[test]
fn a_way_is_left_when_it_is_silent_only_while_there_is_another() {
    let mut ways = ways(Transport::Automatic, None);
    ways.begin(Moment::START);
    assert_eq!(ways.patience(), Some(PATIENCE));
    ways.go_on();
    assert_eq!(ways.patience(), None, "the last one has all the time");
    ways.attempt_failed();
    ways.begin(Moment::START);
    assert_eq!(ways.patience(), Some(MORE_PATIENCE));
    arrive(&mut ways, Carrier::WebSocket, Moment::START, NOW_MS);
    ways.begin(Moment::START);
    assert_eq!(ways.patience(), Some(PATIENCE));
}

#[test]
fn the_way_that_worked_is_tried_first_in_this_run_and_the_next() {
    let mut first = ways(Transport::Automatic, None);
    let arrival = arrive(&mut first, Carrier::WebSocket, Moment::START, NOW_MS);
    let expected = Arrival {
        carrier: Carrier::WebSocket,
        is_other: true,
        remember: last(Carrier::WebSocket, NOW_MS),
    };
    assert_eq!(arrival, expected);
    let next = ways(Transport::Automatic, arrival.remember);
    for mut ways in [first, next] {
        let tried = attempt(&mut ways, Moment::START);
        assert_eq!(tried, [Carrier::WebSocket, Carrier::Tls]);
        let again = arrive(&mut ways, Carrier::WebSocket, Moment::START, NOW_MS);
        assert!(!again.is_other);
        assert_eq!(again.remember, None, "nothing is written for nothing");
        let back = arrive(&mut ways, Carrier::Tls, Moment::START, NOW_MS + 1);
        assert!(back.is_other);
        assert_eq!(back.remember, last(Carrier::Tls, NOW_MS + 1));
        assert_eq!(ways.begin(Moment::START), Carrier::Tls);
    }
}

#[test]
fn while_websocket_works_mqtts_own_port_is_tried_once_a_day() {
    let mut ways = ways(Transport::Automatic, None);
    arrive(&mut ways, Carrier::WebSocket, Moment::START, NOW_MS);
    let mut now = Moment::START;
    let mut tried = Vec::new();
    for _ in 0..3 * 24 {
        now = now + HOUR;
        if ways.begin(now) == Carrier::Tls {
            tried.push(now.since(Moment::START).as_secs() / 3600);
            ways.go_on();
            let arrival = ways.arrived(now, NOW_MS + 7);
            assert_eq!(arrival.remember, last(Carrier::WebSocket, NOW_MS + 7));
        } else {
            assert_eq!(ways.arrived(now, NOW_MS).remember, None);
        }
    }
    assert_eq!(tried, [24, 48, 72]);
    now = now + DAY;
    let arrival = arrive(&mut ways, Carrier::Tls, now, NOW_MS);
    assert_eq!(arrival.remember, last(Carrier::Tls, NOW_MS));
}

#[test]
fn the_day_goes_on_over_a_restart_and_a_clock_that_jumps_delays_it_by_a_day_at_most() {
    let begins = |tried_at_ms, later| {
        let mut ways = ways(Transport::Automatic, last(Carrier::WebSocket, tried_at_ms));
        ways.begin(Moment::START + later)
    };
    assert_eq!(begins(NOW_MS - DAY_MS, Duration::ZERO), Carrier::Tls);
    assert_eq!(begins(NOW_MS - DAY_MS / 2, 11 * HOUR), Carrier::WebSocket);
    assert_eq!(begins(NOW_MS - DAY_MS / 2, 12 * HOUR), Carrier::Tls);
    for wrong_ms in [NOW_MS + 50 * 365 * DAY_MS, i64::MAX] {
        assert_eq!(begins(wrong_ms, 23 * HOUR), Carrier::WebSocket);
        assert_eq!(begins(wrong_ms, DAY), Carrier::Tls);
    }
    assert_eq!(begins(i64::MIN, Duration::ZERO), Carrier::Tls);
}
