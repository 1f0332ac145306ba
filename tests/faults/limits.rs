//! The outbox has limits, and a policy for what does not fit.

use std::time::Duration;

use spotflow_device::{DeviceClient, Error, OutboxLimit, OutboxLimits, WhenFull};
use spotflow_emulator::AckMode;

use crate::support::{LogCapture, PATIENCE, Stage, eventually, in_a_process_of_its_own, sender};

fn dropping(messages: u64) -> OutboxLimits {
    OutboxLimits::new()
        .messages(messages)
        .when_full(WhenFull::DropOldest)
}

fn start(stage: &Stage, window: usize, limits: OutboxLimits) -> DeviceClient {
    stage
        .device()
        .in_flight_window(window)
        .outbox_limits(limits)
        .start()
        .unwrap()
}

fn texts(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// Offline, also in the device's eyes: what it takes for in flight is never dropped.
fn cut_off(stage: &Stage, client: &DeviceClient) {
    // Otherwise it may learn of the connection when that has ended already, and take a Message for it.
    eventually("the device is connected", || client.status().is_connected);
    stage.cut_off();
    eventually("the device knows", || !client.status().is_connected);
}

fn drain(stage: &Stage, client: &DeviceClient) {
    stage.platform.accept_connections(true).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
}

#[test]
fn a_full_outbox_rejects_with_the_limit_and_has_room_again_after_sending() {
    let stage = Stage::new();
    let limits = OutboxLimits::new().messages(3).bytes(100);
    let client = start(&stage, 1, limits);
    cut_off(&stage, &client);
    let sender = sender(&client);
    sender.enqueue_messages(["0", "1"]).unwrap();
    let full = sender.enqueue_messages(["x", "y"]).unwrap_err();
    assert!(
        matches!(
            full,
            Error::OutboxFull {
                limit: OutboxLimit::Messages(3),
                ..
            }
        ),
        "{full}"
    );
    assert!(full.is_retryable());
    assert_eq!(
        full.to_string(),
        "the outbox has reached its limit of 3 Messages"
    );
    let full = sender.enqueue_message("z".repeat(99)).unwrap_err();
    assert!(matches!(
        full,
        Error::OutboxFull {
            limit: OutboxLimit::Bytes(100),
            ..
        }
    ));
    sender.enqueue_batch_completion("b").unwrap();
    assert!(
        sender.enqueue_batch_completion("c").is_err(),
        "it counts, too"
    );
    for never in [
        sender.enqueue_messages(texts(0..4)),
        sender.enqueue_message("z".repeat(101)),
    ] {
        let error = never.unwrap_err();
        assert!(matches!(
            error,
            Error::InvalidArgument {
                argument: "messages",
                ..
            }
        ));
    }
    assert_eq!(client.status().dropped_messages, 0);
    drain(&stage, &client);
    sender.send_message_timeout("2", PATIENCE).unwrap();
    let mut received = stage.received();
    received.retain(|text| !text.is_empty());
    assert_eq!(received, texts(0..3));
}

#[test]
fn offline_the_newest_are_kept_in_order_also_over_a_restart() {
    for window in [1, 16] {
        let stage = Stage::new();
        let client = start(&stage, window, dropping(10));
        cut_off(&stage, &client);
        let before = sender(&client);
        texts(0..500)
            .into_iter()
            .for_each(|text| before.enqueue_message(text).unwrap());
        let status = client.status();
        assert_eq!(
            (status.pending_messages, status.dropped_messages),
            (10, 490)
        );
        assert_eq!(status.dropped_bytes, 10 + 90 * 2 + 390 * 3);
        client.close();

        let client = start(&stage, window, dropping(10));
        assert_eq!(client.status().dropped_messages, 0);
        sender(&client).enqueue_messages(texts(500..504)).unwrap();
        assert_eq!(client.status().dropped_messages, 4);
        drain(&stage, &client);
        assert_eq!(stage.received(), texts(494..504), "window {window}");
    }
}

#[test]
fn a_backlog_above_lowered_limits_stays_until_something_is_stored() {
    let stage = Stage::new();
    let client = stage.start();
    cut_off(&stage, &client);
    sender(&client).enqueue_messages(texts(0..1000)).unwrap();
    client.close();
    let client = start(&stage, 1, OutboxLimits::new().messages(5));
    assert_eq!(client.pending_messages_count(), 1000);
    let full = sender(&client).enqueue_message("1000").unwrap_err();
    assert!(matches!(full, Error::OutboxFull { .. }));
    assert_eq!(client.pending_messages_count(), 1000);
    client.close();
    let client = start(&stage, 1, dropping(5));
    assert_eq!(client.pending_messages_count(), 1000);
    sender(&client).enqueue_message("1000").unwrap();
    assert_eq!(client.pending_messages_count(), 5);
    drain(&stage, &client);
    assert_eq!(stage.received(), texts(996..1001));
}

#[test]
fn messages_in_flight_are_never_dropped() {
    for window in [1, 16] {
        let stage = Stage::new();
        stage.platform.acknowledge(AckMode::Withhold);
        let client = start(&stage, window, dropping(20));
        let sender = sender(&client);
        sender.enqueue_messages(texts(0..20)).unwrap();
        let in_flight = window as u32;
        eventually("they are in flight", || stage.received().len() == window);
        sender.enqueue_messages(texts(20..40 - in_flight)).unwrap();
        let none = sender.enqueue_messages(texts(0..21 - in_flight));
        assert!(
            matches!(none, Err(Error::OutboxFull { .. })),
            "nothing else can go"
        );
        assert_eq!(client.status().dropped_messages, 20 - u64::from(in_flight));
        // In this order: the acknowledgement held back must not get out.
        stage.platform.close_connections();
        stage.platform.acknowledge(AckMode::Immediately);
        drain(&stage, &client);
        let mut received = stage.received();
        received.drain(..window);
        let mut expected = texts(0..in_flight);
        expected.extend(texts(20..40 - in_flight));
        assert_eq!(received, expected, "window {window}: after the repeats");
    }
}

#[test]
fn who_waits_for_a_dropped_message_is_told() {
    let stage = Stage::new();
    let client = start(&stage, 1, dropping(2));
    cut_off(&stage, &client);
    let sender = sender(&client);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| sender.send_message("0"));
        eventually("it is stored", || client.pending_messages_count() == 1);
        sender.enqueue_messages(["1", "2"]).unwrap();
        let error = sending.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Dropped), "offline, at once: {error}");
        assert!(!error.is_retryable());
        drain(&stage, &client);
    });
    assert_eq!(stage.received(), ["1", "2"]);
}

#[test]
fn a_large_message_that_is_dropped_before_its_upload_is_not_published() {
    let stage = Stage::new();
    let client = start(&stage, 1, dropping(1));
    cut_off(&stage, &client);
    let sender = sender(&client);
    sender.enqueue_message(vec![7; 300_000]).unwrap();
    sender.enqueue_message("after it").unwrap();
    assert_eq!(client.status().dropped_bytes, 300_000);
    drain(&stage, &client);
    assert_eq!(stage.received(), ["after it"]);
}

#[test]
fn with_drops_under_load_what_arrives_is_in_order_and_everything_is_accounted_for() {
    for window in [1, 16] {
        let stage = Stage::new();
        let client = start(&stage, window, dropping(30));
        let sender = sender(&client);
        const EACH: u32 = 60;
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for number in 0..EACH {
                        sender
                            .enqueue_message(format!("{thread} {number}"))
                            .unwrap();
                    }
                });
            }
        });
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .unwrap();
        let received = stage.received();
        let dropped = client.status().dropped_messages;
        assert_eq!(received.len() as u64 + dropped, 16 * u64::from(EACH));
        let mut last = [None; 16];
        for text in &received {
            let (thread, number) = text.split_once(' ').unwrap();
            let (thread, number): (usize, u32) = (thread.parse().unwrap(), number.parse().unwrap());
            assert!(last[thread] < Some(number), "{text}");
            last[thread] = Some(number);
        }
    }
}

#[test]
fn the_log_tells_every_dropped_message_in_few_lines() {
    in_a_process_of_its_own(
        "limits::the_log_tells_every_dropped_message_in_few_lines",
        || {
            let log = LogCapture::install();
            let stage = Stage::new();
            let client = start(&stage, 1, dropping(10));
            cut_off(&stage, &client);
            let sender = sender(&client);
            texts(0..1010)
                .into_iter()
                .for_each(|text| sender.enqueue_message(text).unwrap());
            client.close();
            let lines = log.lines();
            let told: Vec<&str> = lines
                .iter()
                .filter(|line| line.level == log::Level::Error && line.text.contains("dropped"))
                .map(|line| line.text.as_str())
                .collect();
            assert!((2..20).contains(&told.len()), "{told:#?}");
            let mut next = 1;
            for line in told {
                let rest = line
                    .strip_prefix(&format!("dropped Messages {next} to "))
                    .unwrap();
                let (last, rest) = rest.split_once(", ").unwrap();
                let last: u64 = last.parse().unwrap();
                assert!(
                    rest.starts_with(&format!("{} in all", last + 1 - next)),
                    "{line}"
                );
                assert!(rest.ends_with("as the outbox has reached its limit of 10 Messages"));
                next = last + 1;
            }
            assert_eq!(next, 1001);
        },
    );
}

#[test]
fn limits_of_nothing_are_refused() {
    let stage = Stage::new();
    for limits in [
        OutboxLimits::new().messages(0),
        OutboxLimits::new().bytes(0),
        OutboxLimits::new().free_disk_bytes(0),
    ] {
        let error = stage.device().outbox_limits(limits).start().unwrap_err();
        assert!(error.to_string().ends_with("must be at least 1"), "{error}");
    }
}

#[test]
fn below_the_free_space_on_the_disk_a_device_stores_nothing_more() {
    let stage = Stage::new();
    let limits = OutboxLimits::new().free_disk_bytes(u64::MAX);
    let client = start(&stage, 1, limits);
    let error = sender(&client)
        .send_message_timeout("x", Duration::ZERO)
        .unwrap_err();
    let Error::OutboxFull { limit, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*limit, OutboxLimit::FreeDiskBytes(u64::MAX));
    assert_eq!(client.pending_messages_count(), 0);
}
