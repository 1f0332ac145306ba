//! The device twin: gaps, unknown versions, throttling, malformed documents; and what else the hub may
//! publish that is not as it should be. The link goes on, and the last state is right.

use std::num::NonZeroU16;

use serde_json::{Value, json};
use spotflow_device::DeviceClient;
use spotflow_emulator::{Direction, PacketKind};

use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

/// A document that no parser should take for one.
fn deep() -> String {
    "{\"a\":".repeat(50_000)
}

fn values(client: &DeviceClient) -> Value {
    Value::Object(client.get_desired_properties().unwrap().values().clone())
}

/// The twin works in both directions, and Messages arrive.
fn assert_works(stage: &Stage, client: &DeviceClient, round: usize) {
    let wanted = json!({ "round": round, "deep": {"a": [1, {"b": "ä"}]} });
    stage.platform.set_desired(DEVICE, &wanted).unwrap();
    eventually("the Desired Properties arrive", || values(client) == wanted);
    client.update_reported_properties(&wanted).unwrap();
    stage
        .platform
        .wait_for_reported(DEVICE, |reported| *reported == wanted, PATIENCE)
        .unwrap();
    eventually("the Reported Properties are confirmed", || {
        !client.any_pending_reported_properties_updates()
    });
    sender(client).send_message(round.to_string()).unwrap();
}

/// How many requests the device made of its twin.
fn twin_requests(stage: &Stage) -> usize {
    let packets = stage.platform.packets(DEVICE);
    let requests = packets.iter().filter(|packet| {
        packet.direction == Direction::FromDevice
            && packet.kind == PacketKind::Publish
            && packet.packet_id.is_none()
    });
    requests.count()
}

/// Publishes to the device with either QoS; the hub's packet id is one that the device uses, too.
fn publish(stage: &Stage, topic: &str, payload: impl Into<Vec<u8>> + Clone) {
    for packet_id in [None, NonZeroU16::new(1)] {
        stage
            .platform
            .publish_to_device(DEVICE, topic, packet_id, payload.clone())
            .unwrap();
    }
}

#[test]
fn an_answer_that_is_no_twin_is_asked_for_again_after_a_pause() {
    let answers: [Vec<u8>; 10] = [
        b"".to_vec(),
        b"{\"desired\": {\"$ver".to_vec(),
        b"\xff\xfe".to_vec(),
        b"[]".to_vec(),
        b"{\"desired\": {\"$version\": 1}}".to_vec(),
        b"{\"desired\": [], \"reported\": {\"$version\": 1}}".to_vec(),
        b"{\"desired\": {\"a\": 1}, \"reported\": {\"$version\": 1}}".to_vec(),
        b"{\"desired\": {\"$version\": \"1\"}, \"reported\": {\"$version\": 1}}".to_vec(),
        b"{\"desired\": {\"$version\": 1e300}, \"reported\": {\"$version\": 1}}".to_vec(),
        deep().into_bytes(),
    ];
    std::thread::scope(|scope| {
        for (round, answer) in answers.into_iter().enumerate() {
            scope.spawn(move || {
                let stage = Stage::new();
                stage
                    .platform
                    .answer_twin_reads_with([answer.clone(), answer]);
                let client = stage.start();
                sender(&client).send_message("meanwhile").unwrap();
                assert_eq!(client.get_desired_properties().unwrap().version(), 1);
                assert_works(&stage, &client, round);
                assert_eq!(stage.platform.connection_count(), 1);
                let requests = twin_requests(&stage);
                assert_eq!(requests, 4, "two in vain, one for the twin, and one patch");
            });
        }
    });
}

#[test]
fn patches_that_are_none_are_followed_by_a_read_and_change_nothing() {
    let stage = Stage::new();
    let client = stage.start();
    assert_works(&stage, &client, 0);
    let patches = [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[1]".to_owned(),
        "{\"a\": 1}".to_owned(),
        "{\"a\": 1, \"$version\": null}".to_owned(),
        "{\"a\": 1, \"$version\": -7}".to_owned(),
        "{\"a\": 1, \"$version\": \"3\"}".to_owned(),
        "{\"a\": 1, \"$version\": 1e99}".to_owned(),
        format!("{{\"a\": 1, \"$version\": {}}}", u64::MAX),
        deep(),
        format!("{{\"a\": \"{}\"}}", "x".repeat(200_000)),
    ];
    for (round, patch) in patches.into_iter().enumerate() {
        let (before, requests) = (values(&client), twin_requests(&stage));
        publish(
            &stage,
            "$iothub/twin/PATCH/properties/desired/?$version=3",
            patch.clone(),
        );
        eventually("the twin is read", || twin_requests(&stage) > requests);
        assert_eq!(values(&client), before, "{}", &patch[..patch.len().min(60)]);
        assert_works(&stage, &client, round + 1);
    }
    assert_eq!(stage.platform.connection_count(), 1);
}

#[test]
fn answers_to_nothing_and_topics_that_are_none_are_ignored() {
    let stage = Stage::new();
    let client = stage.start();
    assert_works(&stage, &client, 0);
    let requests = twin_requests(&stage);
    let document =
        "{\"desired\": {\"$version\": 77, \"false\": 1}, \"reported\": {\"$version\": 9}}";
    for topic in [
        "$iothub/twin/res/200/?$rid=1",
        "$iothub/twin/res/200/?$rid=4000000000",
        "$iothub/twin/res/200/?$rid=-1",
        "$iothub/twin/res/200/?$rid=",
        "$iothub/twin/res/200/",
        "$iothub/twin/res/",
        "$iothub/twin/res/99999/?$rid=1",
        "$iothub/twin/res/200/?$rid=1&$version=99999999999999999999",
        "$iothub/twin/PATCH/properties/",
        "$iothub/methods/POST/a/b/c/?$rid=1",
        "$iothub/methods/POST/!remote-access/?$rid=",
        "$iothub/methods/POST//?$rid=zz",
        "$iothub/methods/POST/name",
        "devices/somebody:else/messages/devicebound/a=b",
        "/",
    ] {
        publish(&stage, topic, document);
    }
    assert_works(&stage, &client, 1);
    assert_eq!(twin_requests(&stage), requests + 1, "one patch");
    assert_eq!(stage.platform.connection_count(), 1);
}

#[test]
fn cloud_messages_with_odd_property_bags_are_stored_and_acknowledged() {
    let stage = Stage::new();
    let client = stage.device().cloud_messages(true).start().unwrap();
    stage
        .platform
        .wait_for_subscriptions(DEVICE, 3, PATIENCE)
        .unwrap();
    let topic = format!(
        "devices/{}:{DEVICE}/messages/devicebound/",
        client.workspace_id()
    );
    let bags = [
        "",
        "&",
        "&&&",
        "=",
        "a",
        "a=",
        "=b",
        "a=b=c",
        "a=%",
        "a=%zz&b=%e2%82",
        "%00=%ff",
        "a=b&a=c",
        "$.mid=1&$.to=%2Fdevices",
    ];
    for (bag, id) in bags.iter().zip(100..) {
        stage
            .platform
            .publish_to_device(DEVICE, &format!("{topic}{bag}"), NonZeroU16::new(id), *bag)
            .unwrap();
    }
    for (bag, id) in bags.iter().zip(100..) {
        let message = client.receive_cloud_message(PATIENCE).unwrap();
        let message = message.expect("it is stored");
        assert_eq!(message.payload(), bag.as_bytes());
        // Whatever they are, they are read without a panic.
        assert!(message.properties().len() <= bag.len() + 1);
        message.complete().unwrap();
        let is_acknowledged = |packets: &[spotflow_emulator::PacketSeen]| {
            packets.iter().any(|packet| {
                packet.direction == Direction::FromDevice
                    && packet.kind == PacketKind::PubAck
                    && packet.packet_id == Some(id)
            })
        };
        stage
            .platform
            .wait_for_packets(DEVICE, is_acknowledged, PATIENCE)
            .unwrap();
    }
    assert_works(&stage, &client, 0);
    assert_eq!(stage.platform.connection_count(), 1);
}

#[test]
fn a_read_that_fails_is_made_again_after_a_pause_whatever_the_status() {
    std::thread::scope(|scope| {
        for status in [400, 404, 429, 500, 503] {
            scope.spawn(move || {
                let stage = Stage::new();
                stage.platform.twin_status(status, 2);
                let client = stage.start();
                sender(&client).send_message("meanwhile").unwrap();
                assert_eq!(client.get_desired_properties().unwrap().version(), 1);
                assert_eq!(twin_requests(&stage), 3, "{status}");
                assert_works(&stage, &client, 0);
                assert_eq!(stage.platform.connection_count(), 1);
            });
        }
    });
}

#[test]
fn a_patch_that_is_throttled_is_repeated_and_a_refused_one_is_dropped() {
    std::thread::scope(|scope| {
        for (status, is_repeated) in [
            (429, true),
            (500, true),
            (503, true),
            (400, false),
            (404, false),
        ] {
            scope.spawn(move || {
                let stage = Stage::new();
                let client = stage.start();
                client.get_desired_properties().unwrap();
                stage.platform.twin_status(status, 2);
                client.update_reported_properties(&json!({"a": 1})).unwrap();
                eventually("it is decided", || {
                    !client.any_pending_reported_properties_updates()
                });
                let (reported, _) = stage.platform.reported(DEVICE).unwrap();
                let expected = if is_repeated {
                    json!({"a": 1})
                } else {
                    json!({})
                };
                assert_eq!(reported, expected, "{status}");
                stage.platform.twin_status(0, 0);
                assert_works(&stage, &client, 0);
            });
        }
    });
}

#[test]
fn a_connection_cut_between_a_patch_and_its_answer_leaves_the_last_statement() {
    for round in 0..3 {
        let stage = Stage::new();
        let client = stage.start();
        client.get_desired_properties().unwrap();
        // The patch has its effect, and no answer; what is stated afterwards differs or goes back.
        stage.platform.withhold_twin_answers(true);
        client
            .update_reported_properties(&json!({"a": 1, "b": {"c": 1}}))
            .unwrap();
        stage
            .platform
            .wait_for_reported(DEVICE, |reported| reported["a"] == 1, PATIENCE)
            .unwrap();
        let last = [json!({"a": 1, "b": {"c": 1}}), json!({}), json!({"b": 2})][round].clone();
        client
            .update_reported_properties(&json!({"overtaken": true}))
            .unwrap();
        client.update_reported_properties(&last).unwrap();
        assert!(client.any_pending_reported_properties_updates());
        stage.platform.withhold_twin_answers(false);
        if round == 1 {
            stage.platform.forget_sessions();
        }
        stage.platform.close_connections();
        stage
            .platform
            .wait_for_reported(DEVICE, |reported| *reported == last, PATIENCE)
            .unwrap();
        eventually("it is confirmed", || {
            !client.any_pending_reported_properties_updates()
        });
        let patches = stage.platform.reported_patches(DEVICE).unwrap();
        assert!(!patches.iter().any(|patch| patch.get("overtaken").is_some()));
        assert_works(&stage, &client, round);
    }
}

#[test]
fn a_hub_that_fails_over_to_an_older_twin_is_believed_and_told_again() {
    let stage = Stage::new();
    let client = stage.start();
    for round in 0..3 {
        assert_works(&stage, &client, round);
    }
    let reported = json!({"kept": true});
    client.update_reported_properties(&reported).unwrap();
    eventually("it is confirmed", || {
        !client.any_pending_reported_properties_updates()
    });
    stage.platform.reset_twin(DEVICE).unwrap();
    stage.platform.close_connections();
    eventually("the lower version is believed", || {
        client.get_desired_properties().unwrap().version() == 1
    });
    assert_eq!(values(&client), json!({}));
    stage
        .platform
        .wait_for_reported(DEVICE, |now| *now == reported, PATIENCE)
        .unwrap();
    assert_works(&stage, &client, 4);
}
