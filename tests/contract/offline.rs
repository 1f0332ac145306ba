//! Offline is normal: starts without a network, stores meanwhile, comes back by itself.

use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Error};
use spotflow_emulator::{AckMode, CutPoint, Platform, Route};

use crate::support::{DEVICE, PATIENCE, Stage, eventually, registration, sender};

/// Far below the ten seconds that a silent Platform is given, far above what a busy machine takes.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A Platform whose hub can be unreachable by itself, and a device that it knows.
fn registered(stage: &Stage) {
    stage.start().close();
}

fn with_hub_of_its_own() -> Stage {
    Stage::with(Platform::builder().own_hub_port(true))
}

fn distinct(stage: &Stage) -> Vec<String> {
    stage
        .platform
        .distinct_messages()
        .iter()
        .map(|message| message.text())
        .collect()
}

fn last_error(client: &DeviceClient) -> Option<Error> {
    client.status().last_error
}

#[test]
fn with_a_stored_registration_it_starts_at_once_when_the_network_refuses() {
    let stage = Stage::new();
    registered(&stage);
    stage.platform.accept_connections(false).unwrap();
    let begun = Instant::now();
    let client = stage.start();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(client.device_id(), DEVICE);
    assert_eq!(client.workspace_id(), stage.platform.workspace_id());
    assert!(!client.status().is_connected);
    assert!(matches!(last_error(&client), Some(Error::Network { .. })));

    let sender = sender(&client);
    let begun = Instant::now();
    for text in ["1", "2", "3"] {
        sender.enqueue_message(text).unwrap();
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(client.pending_messages_count(), 3);
    client.close();

    // Another start without a network finds them, and they go out when there is one.
    let client = stage.start();
    assert_eq!(client.pending_messages_count(), 3);
    self::sender(&client).enqueue_message("4").unwrap();
    stage.platform.accept_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["1", "2", "3", "4"]);
}

#[test]
fn with_a_stored_registration_it_starts_within_ten_seconds_of_silence() {
    let stage = Stage::new();
    registered(&stage);
    stage.platform.http_hang(Route::Register, true);
    let begun = Instant::now();
    let client = stage.start();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    sender(&client).enqueue_message("stored").unwrap();
    stage.platform.http_hang(Route::Register, false);
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["stored"]);
}

#[test]
fn with_a_stored_registration_it_starts_when_the_platform_is_out_of_order() {
    std::thread::scope(|scope| {
        for status in [423, 429, 500, 503] {
            scope.spawn(move || {
                let stage = Stage::new();
                registered(&stage);
                stage.platform.http_status(Route::Register, status, None, 1);
                let begun = Instant::now();
                let client = stage.start();
                assert!(begun.elapsed() < AT_ONCE, "{status}: {:?}", begun.elapsed());
                sender(&client).enqueue_message("stored").unwrap();
                client.wait_enqueued_messages_sent().unwrap();
                assert_eq!(stage.received(), ["stored"]);
            });
        }
    });
}

#[test]
fn a_start_does_not_wait_for_the_hub() {
    let stage = with_hub_of_its_own();
    stage.platform.accept_hub_connections(false).unwrap();
    let begun = Instant::now();
    let client = stage.start();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    sender(&client).enqueue_message("stored").unwrap();
    eventually("the failure is told", || {
        matches!(last_error(&client), Some(Error::Network { .. }))
    });
    stage.platform.accept_hub_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["stored"]);
}

#[test]
fn storing_does_not_wait_for_a_hub_that_went_silent_or_away() {
    let stage = with_hub_of_its_own();
    let client = stage.start();
    let sender = sender(&client);
    sender.send_message("0").unwrap();
    stage.platform.go_silent(true);
    let begun = Instant::now();
    sender.enqueue_message("1").unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    stage.platform.accept_hub_connections(false).unwrap();
    stage.platform.close_connections();
    let begun = Instant::now();
    sender.enqueue_message("2").unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    eventually("the loss is noticed", || !client.status().is_connected);
    stage.platform.go_silent(false);
    stage.platform.accept_hub_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(distinct(&stage), ["0", "1", "2"]);
    assert!(client.status().reconnects >= 1);
}

#[test]
fn a_refused_connection_is_tried_again_with_fresh_credentials_where_they_may_help() {
    std::thread::scope(|scope| {
        for (code, registers_again) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
            scope.spawn(move || {
                let stage = Stage::new();
                stage.platform.refuse_connects(code, Some(2));
                let client = stage.start();
                sender(&client).send_message("through").unwrap();
                let codes: Vec<u8> = stage
                    .platform
                    .connections()
                    .iter()
                    .map(|c| c.code)
                    .collect();
                assert_eq!(codes, [code, code, 0]);
                let error = last_error(&client);
                assert!(
                    matches!(error, Some(Error::ConnectionRefused { .. })),
                    "{error:?}"
                );
                let registrations = stage.platform.http_request_count(Route::Register);
                assert_eq!(
                    registrations > 1,
                    registers_again,
                    "code {code}: {registrations} calls"
                );
                assert!(registrations <= 3, "code {code}: {registrations} calls");
            });
        }
    });
}

#[test]
fn a_hub_that_closes_right_after_accepting_is_tried_again_ever_more_slowly() {
    let stage = Stage::new();
    stage.platform.close_after_connack(true);
    let client = stage.start();
    sender(&client).enqueue_message("kept").unwrap();
    stage.platform.wait_for_connections(4, PATIENCE).unwrap();
    assert_eq!(client.pending_messages_count(), 1);
    stage.platform.close_after_connack(false);
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(distinct(&stage), ["kept"]);
    // Without a pause it would be hundreds.
    assert!(
        stage.platform.connection_count() < 20,
        "{}",
        stage.platform.connection_count()
    );
}

#[test]
fn without_trust_in_the_certificate_it_starts_and_says_why_it_is_offline() {
    let stage = Stage::new();
    registered(&stage);
    let begun = Instant::now();
    let client = DeviceClient::builder(stage.platform.provisioning_token(), stage.database())
        .instance(stage.platform.instance())
        .device_id(DEVICE)
        .start()
        .unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(
        matches!(last_error(&client), Some(Error::Tls { .. })),
        "{:?}",
        last_error(&client)
    );
    sender(&client).enqueue_message("stored").unwrap();
    client.close();

    let client = stage.start();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["stored"]);
}

#[test]
fn a_hub_with_a_foreign_certificate_gets_nothing() {
    let stage = Stage::new();
    let foreign = Platform::start().unwrap();
    let hub_device = format!("{}:{DEVICE}", stage.platform.workspace_id());
    let answer = registration(
        &foreign.hub_host_name(),
        &hub_device,
        Duration::from_secs(4),
    );
    stage.platform.http_body(Route::Register, answer, 1);
    let client = stage.start();
    sender(&client)
        .enqueue_message("for the right one")
        .unwrap();
    eventually("it is told", || {
        matches!(last_error(&client), Some(Error::Tls { .. }))
    });
    // At half of the password's life the device registers again, and learns of the right hub.
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["for the right one"]);
    assert_eq!(foreign.connection_count(), 0);
}

#[test]
fn a_hub_whose_name_does_not_resolve_is_tried_again() {
    let stage = Stage::new();
    let hub_device = format!("{}:{DEVICE}", stage.platform.workspace_id());
    let answer = registration("no-such-hub.invalid", &hub_device, Duration::from_secs(4));
    stage.platform.http_body(Route::Register, answer, 1);
    let client = stage.start();
    sender(&client).enqueue_message("later").unwrap();
    eventually("it is told", || {
        last_error(&client).is_some_and(|error| error.to_string().contains("name"))
    });
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["later"]);
}

#[test]
fn an_instance_whose_name_does_not_resolve_is_retried_until_interrupted() {
    let stage = Stage::new();
    let begun = Instant::now();
    let result = stage
        .device()
        .instance("no-such-instance.invalid")
        .interrupt_check(move || begun.elapsed() > Duration::from_millis(500))
        .start();
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    // The file is free again.
    stage.start();
}

#[test]
fn garbage_from_the_hub_costs_a_connection_and_no_message() {
    let garbage: [&[u8]; 12] = [
        b"\x00\x00",
        b"\xff\xff\xff\xff\xff\xff",
        // A remaining length without an end; one beyond the hub's limit.
        b"\x30\x80\x80\x80\x80\x01",
        b"\x30\xff\xff\xff\x7f",
        // PUBLISH: shorter than its topic, topic not UTF-8, QoS 3, QoS 1 without a packet id.
        b"\x30\x02\x00\x10",
        b"\x30\x04\x00\x02\xff\xfe",
        b"\x36\x05\x00\x01a\x00\x01",
        b"\x32\x03\x00\x01a",
        // PUBACK without and with half of a packet id; a second CONNACK; a client's packet.
        b"\x40\x00",
        b"\x40\x01\x00",
        b"\x20\x02\x00\x00",
        b"\x10\x02\x00\x00",
    ];
    std::thread::scope(|scope| {
        for bytes in garbage {
            scope.spawn(move || {
                let stage = Stage::new();
                stage.platform.acknowledge(AckMode::Withhold);
                let client = stage.start();
                let sender = sender(&client);
                sender.enqueue_messages(["1", "2"]).unwrap();
                stage.platform.wait_for_messages(1, PATIENCE).unwrap();
                stage.platform.inject_bytes(DEVICE, bytes).unwrap();
                let reconnected = stage.platform.wait_for_connections(2, PATIENCE);
                assert!(reconnected.is_ok(), "{bytes:x?} did not end the connection");
                stage.platform.acknowledge(AckMode::Immediately);
                client.wait_enqueued_messages_sent().unwrap();
                assert_eq!(distinct(&stage), ["1", "2"], "{bytes:x?}");
                assert!(
                    matches!(last_error(&client), Some(Error::Protocol { .. })),
                    "{bytes:x?}: {:?}",
                    last_error(&client)
                );
            });
        }
    });
}

#[test]
fn connections_cut_at_every_message_lose_none_and_keep_the_order() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let mut enqueued = Vec::new();
    for (cut, point) in (1..).zip([CutPoint::BeforeAck, CutPoint::AfterAck].repeat(3)) {
        stage.platform.cut_after_messages(1, point);
        let texts = [0, 1].map(|i| format!("{cut} {i} {}", "x".repeat(20_000)));
        sender.enqueue_messages(texts.clone()).unwrap();
        enqueued.extend(texts);
        stage
            .platform
            .wait_for_connections(1 + cut, PATIENCE)
            .unwrap();
    }
    stage.platform.cut_after_messages(0, CutPoint::BeforeAck);
    client.wait_enqueued_messages_sent().unwrap();
    assert!(distinct(&stage) == enqueued);
}

#[test]
fn a_lost_connection_is_made_again_promptly() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let mut took = Vec::new();
    for round in 1..=9 {
        sender.send_message(format!("{round}")).unwrap();
        let begun = Instant::now();
        stage.platform.close_connections();
        stage
            .platform
            .wait_for_connections(round + 1, PATIENCE)
            .unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    assert!(took[4] < Duration::from_secs(1), "the median of {took:?}");
}
