//! The network and the hub refuse, cut, and come back. Where a connection is cut: `cuts.rs`.

use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Error, Pacing};
use spotflow_emulator::{AckMode, CutPoint, PacketKind, Platform, Route};

use crate::proxy::{Ending, Proxy};
use crate::support::{DEVICE, LogCapture, PATIENCE, Stage, eventually, sender};

fn distinct(stage: &Stage) -> Vec<String> {
    let messages = stage.platform.distinct_messages();
    messages.iter().map(|message| message.text()).collect()
}

fn wait_connected(stage: &Stage) {
    let connected = stage.platform.wait_for_connected(DEVICE, true, PATIENCE);
    connected.unwrap();
}

/// Lets this much time pass on a device that has nothing else to wait for, and counts CONNECTs.
fn connects_within(stage: &Stage, time: Duration) -> usize {
    let before = stage.platform.connection_count();
    let more_than_ever = usize::MAX;
    let waited = stage.platform.wait_for_connections(more_than_ever, time);
    assert!(waited.is_err());
    stage.platform.connection_count() - before
}

#[test]
fn after_a_cut_the_next_attempt_comes_within_about_a_second() {
    let stage = Stage::new();
    let proxy = Proxy::to(&stage.platform.hub_host_name());
    stage.platform.announce_hub(Some(&proxy.host()));
    let client = stage.start();
    let sender = sender(&client);
    let mut times = Vec::new();
    for round in 0..10 {
        sender.send_message(round.to_string()).unwrap();
        let count = proxy.traffic().len();
        let begun = Instant::now();
        proxy.cut_now(if round % 2 == 0 {
            Ending::Fin
        } else {
            Ending::Reset
        });
        proxy.wait_for_more_than(count);
        times.push(begun.elapsed());
    }
    times.sort();
    println!("{times:?}");
    // Half a second on average; with room for a busy machine.
    assert!(
        times[times.len() / 2] < Duration::from_millis(1500),
        "{times:?}"
    );
}

#[test]
fn a_hub_that_refuses_every_login_is_asked_ever_more_rarely_and_so_is_the_api() {
    std::thread::scope(|scope| {
        for (code, renews) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
            scope.spawn(move || {
                let stage = Stage::new();
                stage.platform.refuse_connects(code, None);
                let client = stage.start();
                sender(&client).enqueue_message("kept").unwrap();
                stage.platform.wait_for_connections(1, PATIENCE).unwrap();
                // At most a second, two, four, eight, ...: on average half of that each.
                let connects = connects_within(&stage, Duration::from_secs(20));
                assert!(connects <= 15, "code {code}: {connects} attempts");
                let registrations = stage.platform.http_request_count(Route::Register);
                if renews {
                    assert!(
                        registrations <= connects + 3,
                        "code {code}: {registrations}"
                    );
                } else {
                    assert_eq!(registrations, 1, "code {code}");
                }
                let error = client.status().last_error;
                assert!(
                    matches!(error, Some(Error::ConnectionRefused { .. })),
                    "{error:?}"
                );
                stage.platform.refuse_connects(0, None);
                client
                    .wait_enqueued_messages_sent_timeout(2 * PATIENCE)
                    .unwrap();
                assert_eq!(stage.received(), ["kept"]);
            });
        }
    });
}

#[test]
fn a_hub_that_closes_after_each_acknowledgement_gets_all_in_order_and_not_one_login_a_second() {
    let stage = Stage::new();
    let client = stage.start();
    let count = 40;
    let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let sender = sender(&client);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            // One Message at a time, each on a connection of its own.
            for number in &numbers[..25] {
                stage.platform.cut_after_messages(1, CutPoint::AfterAck);
                sender.send_message(number.as_str()).unwrap();
            }
        });
        // While the first twenty start the back-off over, this is a burst; then it is once in half a minute.
        connects_within(&stage, Duration::from_secs(75))
    });
    assert!(done <= 20 + 25, "{done} logins");
    let rest = numbers[25..].iter().map(String::as_str);
    sender.enqueue_messages(rest).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(4 * PATIENCE)
        .unwrap();
    assert_eq!(distinct(&stage), numbers);
}

#[test]
fn a_hub_that_takes_connections_and_says_nothing_is_tried_again_before_long() {
    let stage = Stage::new();
    let proxy = Proxy::to(&stage.platform.hub_host_name());
    stage.platform.announce_hub(Some(&proxy.host()));
    let client = stage.start();
    let sender = sender(&client);
    sender.send_message("0").unwrap();
    proxy.stall_to_device_after(Some(0));
    let before = proxy.traffic().len();
    proxy.cut_now(Ending::Fin);
    sender.enqueue_message("1").unwrap();
    // Each was once given half a minute.
    proxy.wait_for_more_than(before + 4);
    proxy.stall_to_device_after(None);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(distinct(&stage), ["0", "1"]);
}

/// Two clients of one device.
fn rivals(stage: &Stage, other_directory: &std::path::Path) -> [DeviceClient; 2] {
    let other = stage.device_on(&other_directory.join("other.db"));
    [stage.start(), other.start().unwrap()]
}

#[test]
fn two_programs_with_one_identity_are_told_so_once_a_minute_at_most() {
    let name = "network::two_programs_with_one_identity_are_told_so_once_a_minute_at_most";
    crate::support::in_a_process_of_its_own(name, || {
        let log = LogCapture::install();
        let stage = Stage::new();
        let other_directory = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let clients = rivals(&stage, other_directory.path());
        let is_named =
            |text: &str| text.contains("another client connects with the same Device ID");
        eventually("both say what is the matter", || {
            clients.iter().all(|client| {
                let error = client.status().last_error;
                error.is_some_and(|error| is_named(&error.chain().to_string()))
            })
        });
        // Each takes the connection from the other a few times more.
        connects_within(&stage, Duration::from_secs(10));
        let lines = log.lines();
        let warned = lines
            .iter()
            .filter(|line| line.level == log::Level::Warn && is_named(&line.text))
            .count();
        let minutes = usize::try_from(begun.elapsed().as_secs() / 60).unwrap();
        assert!((1..=2 * (1 + minutes)).contains(&warned), "{warned}");
    });
}

#[test]
fn two_programs_with_one_identity_do_not_fight_once_a_second() {
    let stage = Stage::new();
    let other_directory = tempfile::tempdir().unwrap();
    let clients = rivals(&stage, other_directory.path());
    // Without Messages each only takes the connection from the other.
    let connects = connects_within(&stage, Duration::from_secs(40));
    println!("{connects} logins of both in 40 s");
    assert!(connects <= 24, "{connects}");
    // Both have something to say, and say it.
    for (client, text) in clients.iter().zip(["a", "b"]) {
        sender(client).enqueue_message(text).unwrap();
    }
    for client in &clients {
        client
            .wait_enqueued_messages_sent_timeout(4 * PATIENCE)
            .unwrap();
    }
    let mut texts = distinct(&stage);
    texts.sort();
    assert_eq!(texts, ["a", "b"]);
}

#[test]
fn a_hub_that_forgot_the_session_gets_the_subscriptions_and_what_it_did_not_acknowledge() {
    let stage = Stage::new();
    let client = stage.device().cloud_messages(true).start().unwrap();
    wait_connected(&stage);
    stage
        .platform
        .wait_for_subscriptions(DEVICE, 3, PATIENCE)
        .unwrap();
    stage.platform.acknowledge(AckMode::Withhold);
    sender(&client).enqueue_message("0").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    stage.platform.forget_sessions();
    // In this order: the acknowledgement held back must not get out.
    stage.platform.close_connections();
    stage.platform.acknowledge(AckMode::Immediately);
    sender(&client).enqueue_message("1").unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(distinct(&stage), ["0", "1"]);
    let messages = stage.platform.messages();
    let last = stage.platform.connections().pop().unwrap();
    assert!(!last.session_present);
    // To a hub without the session a repeat is a new publish.
    assert!(messages.iter().all(|message| !message.dup), "{messages:?}");
    stage
        .platform
        .wait_for_subscriptions(DEVICE, 3, PATIENCE)
        .unwrap();
    stage
        .platform
        .send_cloud_message(DEVICE, "to you", &[])
        .unwrap();
    let message = client.receive_cloud_message(PATIENCE).unwrap().unwrap();
    assert_eq!(message.payload(), b"to you");
}

#[test]
fn a_hub_that_kept_the_session_gets_repeats_marked_and_under_their_packet_id() {
    let stage = Stage::new();
    let client = stage.start();
    wait_connected(&stage);
    stage.platform.cut_after_messages(1, CutPoint::BeforeAck);
    sender(&client).send_message("twice").unwrap();
    let messages = stage.platform.messages();
    let [first, second] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!((first.dup, second.dup, second.repeat), (false, true, true));
    assert_eq!(first.packet_id, second.packet_id);
}

#[test]
fn an_idle_connection_that_the_server_or_the_network_ends_is_replaced() {
    std::thread::scope(|scope| {
        for ending in [Ending::Fin, Ending::Reset] {
            scope.spawn(move || {
                let stage = Stage::new();
                let proxy = Proxy::to(&stage.platform.hub_host_name());
                stage.platform.announce_hub(Some(&proxy.host()));
                let client = stage.device().cloud_messages(true).start().unwrap();
                stage
                    .platform
                    .wait_for_subscriptions(DEVICE, 3, PATIENCE)
                    .unwrap();
                for round in 0..3 {
                    let before = client.status().reconnects;
                    proxy.cut_now(ending);
                    eventually("it is connected again", || {
                        client.status().reconnects > before && client.status().is_connected
                    });
                    // What was set meanwhile is read.
                    let value = serde_json::json!({"round": round});
                    let version = stage.platform.set_desired(DEVICE, &value).unwrap();
                    eventually("the Desired Properties arrive", || {
                        client.get_desired_properties().unwrap().version() == version
                    });
                }
                let error = client.status().last_error;
                assert!(matches!(error, Some(Error::Network { .. })), "{error:?}");
            });
        }
    });
}

#[test]
fn a_hub_that_throttles_by_closing_is_asked_ever_more_rarely_and_gets_all_in_the_end() {
    let stage = Stage::new();
    let client = stage
        .device()
        .keep_alive(Duration::from_secs(5))
        .start()
        .unwrap();
    let sender = sender(&client);
    sender.send_message("0").unwrap();
    // It takes the login and nothing more.
    stage.platform.close_after_connack(true);
    stage.platform.close_connections();
    for text in ["1", "2", "3"] {
        sender.enqueue_message(text).unwrap();
    }
    let connects = connects_within(&stage, Duration::from_secs(20));
    assert!(connects <= 15, "{connects}");
    let subscribed = |stage: &Stage| {
        let packets = stage.platform.packets(DEVICE);
        packets
            .iter()
            .filter(|it| it.kind == PacketKind::Subscribe)
            .count()
    };
    assert!(subscribed(&stage) <= connects + 1);
    stage.platform.close_after_connack(false);
    client
        .wait_enqueued_messages_sent_timeout(2 * PATIENCE)
        .unwrap();
    assert_eq!(distinct(&stage), ["0", "1", "2", "3"]);
    assert_eq!(client.status().set_aside_messages, 0);
}

#[test]
fn a_hub_that_throttles_amid_messages_gets_all_in_order_and_more_slowly_unless_that_is_not_wanted()
{
    let name = "network::a_hub_that_throttles_amid_messages_gets_all_in_order_and_more_slowly_unless_that_is_not_wanted";
    crate::support::in_a_process_of_its_own(name, || {
        let log = LogCapture::install();
        for (is_wanted, count) in [(false, 200), (true, 400)] {
            let stage = Stage::new();
            stage.platform.throttle_messages(100.0, 50);
            let pacing = Pacing::new().slow_down_when_throttled(is_wanted);
            let client = stage.device().pacing(pacing).start().unwrap();
            let texts: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            sender(&client).enqueue_messages(texts.clone()).unwrap();
            let throttled = || client.status().pacing.throttled_messages_per_second;
            if is_wanted {
                eventually("the status tells", || throttled().is_some());
            }
            client
                .wait_enqueued_messages_sent_timeout(4 * PATIENCE)
                .unwrap();
            assert_eq!(stage.received(), texts);
            assert_eq!(throttled().is_some(), is_wanted);
            let told = log.lines().into_iter().any(|line| {
                line.level == log::Level::Warn && line.text.starts_with("the hub throttles")
            });
            assert_eq!(told, is_wanted);
        }
    });
}

#[test]
fn a_network_that_refuses_is_told_of_once() {
    let name = "network::a_network_that_refuses_is_told_of_once";
    crate::support::in_a_process_of_its_own(name, || {
        let log = LogCapture::install();
        let stage = Stage::with(Platform::builder().own_hub_port(true));
        let client = stage.start();
        sender(&client).send_message("0").unwrap();
        stage.platform.accept_hub_connections(false).unwrap();
        stage.platform.close_connections();
        let of = |level: Option<log::Level>| {
            let lines = log.lines();
            let lines = lines.iter().filter(|line| line.text.contains("refused"));
            lines
                .filter(|line| level.is_none_or(|it| it == line.level))
                .count()
        };
        eventually("several attempts are refused", || of(None) >= 3);
        assert_eq!(of(Some(log::Level::Warn)), 1);
        sender(&client).enqueue_message("1").unwrap();
        stage.platform.accept_hub_connections(true).unwrap();
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .unwrap();
        assert_eq!(stage.received(), ["0", "1"]);
    });
}
