use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const NOW_MS: i64 = 1_800_000_000_000;
const DAY_MS: i64 = 24 * 3_600_000;

fn ways(choice: Transport, last: Option<LastWay>) -> Ways {
    Ways::new(choice, last, Moment::START, NOW_MS)
}

const MINUTE_MS: i64 = 60_000;

/// As what stands in a database of an earlier version, too.
fn last(carrier: Carrier, tls_tried_at_ms: i64) -> Option<LastWay> {
    put_off(carrier, tls_tried_at_ms, DAY_MS)
}

fn put_off(carrier: Carrier, tls_tried_at_ms: i64, tls_again_ms: i64) -> Option<LastWay> {
    Some(LastWay {
        carrier,
        tls_tried_at_ms,
        tls_again_ms,
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
        remember: put_off(Carrier::WebSocket, NOW_MS, 5 * MINUTE_MS),
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
        assert_eq!(back.remember, put_off(Carrier::Tls, NOW_MS + 1, 0));
        assert_eq!(ways.begin(Moment::START), Carrier::Tls);
    }
}

#[test]
fn while_websocket_works_mqtts_own_port_is_tried_ever_more_rarely_down_to_once_a_day() {
    let mut ways = ways(Transport::Automatic, None);
    arrive(&mut ways, Carrier::WebSocket, Moment::START, NOW_MS);
    let mut now = Moment::START;
    let mut tried_after_minutes = Vec::new();
    let mut put_off_ms = 5 * MINUTE_MS;
    for _ in 0..5 * 24 * 60 {
        now = now + MINUTE;
        if ways.begin(now) == Carrier::Tls {
            tried_after_minutes.push(now.since(Moment::START).as_secs() / 60);
            ways.go_on();
            put_off_ms = (put_off_ms * 2).min(DAY_MS);
            let arrival = ways.arrived(now, NOW_MS + 7);
            let expected = put_off(Carrier::WebSocket, NOW_MS + 7, put_off_ms);
            assert_eq!(arrival.remember, expected);
        } else {
            assert_eq!(ways.arrived(now, NOW_MS).remember, None);
        }
    }
    let day = 24 * 60;
    let doubling = [5, 15, 35, 75, 155, 315, 635, 1275, 2555];
    let daily = [2555 + day, 2555 + 2 * day, 2555 + 3 * day];
    assert_eq!(tried_after_minutes, [&doubling[..], &daily].concat());
    now = now + DAY;
    let arrival = arrive(&mut ways, Carrier::Tls, now, NOW_MS);
    assert_eq!(arrival.remember, put_off(Carrier::Tls, NOW_MS, 0));
    let arrival = arrive(&mut ways, Carrier::WebSocket, now, NOW_MS);
    let anew = put_off(Carrier::WebSocket, NOW_MS, 5 * MINUTE_MS);
    assert_eq!(arrival.remember, anew, "after it worked it counts anew");
}

#[test]
fn an_outage_that_ended_on_websocket_leaves_nobody_there_for_long() {
    let at = |minutes: u32| Moment::START + MINUTE * minutes;
    let mut first = ways(Transport::Automatic, None);
    arrive(&mut first, Carrier::Tls, at(0), NOW_MS);
    // All is silent, and it ends when it is WebSocket's turn.
    attempt(&mut first, at(1));
    let arrival = arrive(&mut first, Carrier::WebSocket, at(2), NOW_MS);
    assert_eq!(first.begin(at(6)), Carrier::WebSocket);
    first.arrived(at(6), NOW_MS);
    // Later connections, in this run and the next.
    let later_ms = NOW_MS + 5 * MINUTE_MS;
    let mut next = Ways::new(Transport::Automatic, arrival.remember, at(0), later_ms);
    assert_eq!(next.begin(at(0)), Carrier::Tls);
    assert_eq!(first.begin(at(7)), Carrier::Tls);
    assert!(first.arrived(at(7), NOW_MS).is_other);
    assert_eq!(first.begin(at(8)), Carrier::Tls);
}

#[test]
fn what_was_put_off_stays_so_over_a_restart() {
    let stored = put_off(Carrier::WebSocket, NOW_MS - 30 * MINUTE_MS, 40 * MINUTE_MS);
    let mut ways = ways(Transport::Automatic, stored);
    let at = |minutes: u32| Moment::START + MINUTE * minutes;
    assert_eq!(ways.begin(at(9)), Carrier::WebSocket);
    assert_eq!(ways.begin(at(10)), Carrier::Tls);
    ways.go_on();
    let arrival = ways.arrived(at(10), NOW_MS);
    let expected = put_off(Carrier::WebSocket, NOW_MS, 80 * MINUTE_MS);
    assert_eq!(arrival.remember, expected);
    // No value makes it more often, or more rarely, than it is in any run.
    for (again_ms, expected) in [
        (i64::MIN, TLS_AGAIN_FIRST),
        (0, TLS_AGAIN_FIRST),
        (i64::MAX, DAY),
    ] {
        let stored = put_off(Carrier::WebSocket, NOW_MS, again_ms);
        let mut ways = Ways::new(Transport::Automatic, stored, Moment::START, NOW_MS);
        let second = Duration::from_secs(1);
        assert_eq!(
            ways.begin(Moment::START + expected - second),
            Carrier::WebSocket
        );
        assert_eq!(ways.begin(Moment::START + expected), Carrier::Tls);
    }
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
