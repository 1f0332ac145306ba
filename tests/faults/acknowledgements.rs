//! Deleted means acknowledged, whatever else is acknowledged, and in whatever order. Every order of the
//! pure session is in `src/link/session/acknowledgements.rs`, with the outbox in `src/link/ledger.rs`.

use std::num::NonZeroU16;

use serde_json::json;
use spotflow_device::DeviceClient;
use spotflow_emulator::{AckMode, CutPoint, Direction, PacketKind};

use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

/// The packet ids under which the hub has Messages that it did not acknowledge.
fn in_flight(stage: &Stage) -> Vec<u16> {
    let messages = stage.platform.messages();
    let unacknowledged = messages.iter().filter(|it| it.acknowledged_at.is_none());
    unacknowledged.filter_map(|it| it.packet_id).collect()
}

/// Returns when the device has read everything that the hub sent before.
fn wait_until_read(stage: &Stage, client: &DeviceClient) {
    let before = client.get_desired_properties().unwrap().version();
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({ "read": before }))
        .unwrap();
    eventually("what the hub sent last arrives", || {
        client.get_desired_properties().unwrap().version() == version
    });
}

fn wait_confirmed(client: &DeviceClient) {
    eventually("the Reported Properties are confirmed", || {
        !client.any_pending_reported_properties_updates()
    });
}

/// What the published SDK loses a Message by: see tests/published_wheel/test_acknowledgements.py.
#[test]
fn what_a_property_update_is_acknowledged_for_is_not_a_message() {
    let stage = Stage::new();
    let client = stage.start();
    let device = sender(&client);
    device.send_message("settled").unwrap();
    client
        .update_reported_properties(&json!({"state": 0}))
        .unwrap();
    wait_confirmed(&client);
    stage.platform.go_silent(true);
    client
        .update_reported_properties(&json!({"state": 1}))
        .unwrap();
    device.enqueue_messages(["first", "second"]).unwrap();
    // The connection ends after the update was answered and before a Message arrives.
    stage.platform.close_on_message(|_| true);
    stage.platform.go_silent(false);
    let is_there = |reported: &serde_json::Value| *reported == json!({"state": 1});
    stage
        .platform
        .wait_for_reported(DEVICE, is_there, PATIENCE)
        .unwrap();
    stage.platform.wait_for_connections(2, PATIENCE).unwrap();
    assert_eq!(client.pending_messages_count(), 2);
    client.close();
    stage.platform.accept_all_messages();

    let client = stage.start();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["settled", "first", "second"]);
}

#[test]
fn acknowledgements_of_all_else_forget_no_message() {
    for window in [1, 16] {
        let stage = Stage::new();
        stage.platform.acknowledge(AckMode::Withhold);
        let device = stage.device().in_flight_window(window).cloud_messages(true);
        let client = device.start().unwrap();
        sender(&client).enqueue_messages(texts(20)).unwrap();
        stage.platform.wait_for_messages(window, PATIENCE).unwrap();
        let ids = in_flight(&stage);
        for round in 0..5 {
            client
                .update_reported_properties(&json!({ "round": round }))
                .unwrap();
            wait_confirmed(&client);
            stage
                .platform
                .send_cloud_message(DEVICE, "command", &[])
                .unwrap();
            stage
                .platform
                .wait_for_cloud_messages(DEVICE, 0, PATIENCE)
                .unwrap();
            // The hub's own packet ids may be the same as ours.
            for id in ids.iter().filter_map(|id| NonZeroU16::new(*id)) {
                let topic = format!("$iothub/twin/res/204/?$rid={id}&$version=9");
                let methods = format!("$iothub/methods/POST/a/b/?$rid={id}");
                for topic in [topic, methods] {
                    stage
                        .platform
                        .publish_to_device(DEVICE, &topic, Some(id), "{}")
                        .unwrap();
                }
                let [high, low] = id.get().to_be_bytes();
                // SUBACK and UNSUBACK.
                for bytes in [&[0x90, 3, high, low, 1][..], &[0xb0, 2, high, low]] {
                    stage.platform.inject_bytes(DEVICE, bytes).unwrap();
                }
            }
            wait_until_read(&stage, &client);
            assert_eq!(client.pending_messages_count(), 20, "window {window}");
        }
        stage.platform.acknowledge(AckMode::Immediately);
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .unwrap();
        assert_eq!(stage.received(), texts(20));
        assert_eq!(stage.platform.connection_count(), 1);
    }
}

#[test]
fn acknowledgements_in_the_wrong_order_forget_each_its_own_message() {
    const WINDOW: usize = 4;
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.device().in_flight_window(WINDOW).start().unwrap();
    sender(&client).enqueue_messages(texts(WINDOW)).unwrap();
    stage.platform.wait_for_messages(WINDOW, PATIENCE).unwrap();
    let ids = in_flight(&stage);
    for id in [ids[3], ids[1]] {
        // Each comes twice.
        for _ in 0..2 {
            let id = NonZeroU16::new(id).unwrap();
            stage.platform.acknowledge_packet(DEVICE, id).unwrap();
        }
    }
    eventually("two are forgotten", || client.pending_messages_count() == 2);
    wait_until_read(&stage, &client);
    assert_eq!(client.pending_messages_count(), 2);
    client.close();

    stage.platform.acknowledge(AckMode::Immediately);
    let client = stage.start();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received()[WINDOW..], ["0", "2"]);
}

#[test]
fn after_a_restart_acknowledgements_of_other_packet_ids_forget_nothing() {
    let stage = Stage::new();
    let client = stage.start();
    client.get_desired_properties().unwrap();
    stage.platform.acknowledge(AckMode::Withhold);
    sender(&client).enqueue_message("kept").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    client.close();
    let client = stage.start();
    stage.platform.wait_for_messages(2, PATIENCE).unwrap();
    let again = in_flight(&stage);
    for stray in (1..100).filter_map(NonZeroU16::new) {
        if !again[1..].contains(&stray.get()) {
            stage.platform.acknowledge_packet(DEVICE, stray).unwrap();
        }
    }
    wait_until_read(&stage, &client);
    assert_eq!(client.pending_messages_count(), 1);
    stage.platform.acknowledge(AckMode::Immediately);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
}

#[test]
fn an_acknowledgement_with_the_connections_end_right_behind_it_counts() {
    const CUTS: usize = 10;
    for window in [1, 16] {
        let stage = Stage::new();
        let client = stage.device().in_flight_window(window).start().unwrap();
        let sender = sender(&client);
        for cut in 0..CUTS {
            stage.platform.cut_after_messages(1, CutPoint::AfterAck);
            sender.send_message(cut.to_string()).unwrap();
        }
        assert_eq!(stage.received(), texts(CUTS), "nothing is sent again");
        eventually("it comes back after the last cut", || {
            stage.platform.connection_count() > CUTS
        });
    }
}

#[test]
fn an_acknowledgement_with_a_protocol_error_in_the_same_segment_counts() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    sender(&client).enqueue_message("one").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    let [high, low] = in_flight(&stage)[0].to_be_bytes();
    // PUBACK, and a packet of a type that there is not.
    let bytes = [0x40, 2, high, low, 0xf0, 0];
    stage.platform.inject_bytes(DEVICE, &bytes).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    stage.platform.wait_for_connections(2, PATIENCE).unwrap();
    assert_eq!(stage.received(), ["one"]);
}

#[test]
fn twin_requests_use_no_packet_id_at_all() {
    let stage = Stage::new();
    let client = stage.start();
    client.update_reported_properties(&json!({"a": 1})).unwrap();
    wait_confirmed(&client);
    sender(&client).send_message("one").unwrap();
    let packets = stage.platform.packets(DEVICE);
    let with_id = packets.iter().filter(|packet| {
        packet.direction == Direction::FromDevice
            && packet.kind == PacketKind::Publish
            && packet.packet_id.is_some()
    });
    assert_eq!(with_id.count(), 1, "only the Message's publish has one");
}
