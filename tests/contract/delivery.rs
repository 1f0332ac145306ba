//! Stored means stored, deleted means acknowledged, in order.

use std::sync::Arc;

use spotflow_emulator::{AckMode, CutPoint, Platform};

use crate::support::{PATIENCE, Stage, sender};

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

#[test]
fn messages_arrive_in_the_order_in_which_they_were_stored() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    for text in numbers(500) {
        sender.enqueue_message(text).unwrap();
    }
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), numbers(500));
}

#[test]
fn a_backlog_larger_than_memory_keeps_its_order() {
    let stage = Stage::with(Platform::builder().own_hub_port(true));
    stage.platform.accept_hub_connections(false).unwrap();
    let client = stage.start();
    let sender = sender(&client);
    sender.enqueue_messages(numbers(3000)).unwrap();
    assert_eq!(client.pending_messages_count(), 3000);
    stage.platform.accept_hub_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), numbers(3000));
    assert_eq!(client.pending_messages_count(), 0);
}

#[test]
fn a_message_is_forgotten_only_when_it_is_acknowledged() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    sender(&client).enqueue_message("kept").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    assert_eq!(client.pending_messages_count(), 1);
    client.close();

    stage.platform.acknowledge(AckMode::Immediately);
    let client = stage.start();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(client.pending_messages_count(), 0);
    let messages = stage.platform.messages();
    assert_eq!(stage.received(), ["kept", "kept"]);
    assert!(messages[1].repeat, "the Platform drops it");
}

#[test]
fn with_one_in_flight_a_cut_connection_repeats_only_directly_after_the_original() {
    for point in [CutPoint::BeforeAck, CutPoint::AfterAck] {
        let stage = Stage::new();
        let client = stage.start();
        let sender = sender(&client);
        for round in 0..5 {
            stage.platform.cut_after_messages(3, point);
            sender
                .enqueue_messages((0..10).map(|i| (round * 10 + i).to_string()))
                .unwrap();
            client.wait_enqueued_messages_sent().unwrap();
        }
        let distinct: Vec<_> = stage.platform.distinct_messages();
        let texts: Vec<_> = distinct
            .iter()
            .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
            .collect();
        assert_eq!(texts, numbers(50), "cut {point:?}");
    }
}

#[test]
fn a_window_keeps_the_order_and_repeats_at_most_itself() {
    let stage = Stage::new();
    let client = stage.device().in_flight_window(16).start().unwrap();
    let sender = sender(&client);
    stage.platform.cut_after_messages(40, CutPoint::BeforeAck);
    sender.enqueue_messages(numbers(100)).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    let received: Vec<usize> = stage
        .received()
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let mut next = 0;
    for number in received {
        assert!(number <= next, "{number} came before {next}");
        assert!(next - number <= 16, "{number} was repeated after {next}");
        next = next.max(number + 1);
    }
    assert_eq!(next, 100);
}

#[test]
fn threads_share_a_sender_and_each_keeps_its_order() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = Arc::new(sender(&client));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let sender = Arc::clone(&sender);
            scope.spawn(move || {
                for i in 0..50 {
                    sender.enqueue_message(format!("{thread} {i}")).unwrap();
                }
            });
        }
    });
    client.wait_enqueued_messages_sent().unwrap();
    let received = stage.received();
    assert_eq!(received.len(), 400);
    for thread in 0..8 {
        let own = |text: &&String| text.starts_with(&format!("{thread} "));
        let of_thread: Vec<_> = received.iter().filter(own).cloned().collect();
        let expected: Vec<_> = (0..50).map(|i| format!("{thread} {i}")).collect();
        assert_eq!(of_thread, expected);
    }
}

#[test]
fn stray_acknowledgements_forget_nothing() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.device().in_flight_window(2).start().unwrap();
    let device = client.device_id();
    sender(&client).enqueue_messages(numbers(2)).unwrap();
    stage.platform.wait_for_messages(2, PATIENCE).unwrap();
    let in_flight: Vec<u16> = stage
        .platform
        .messages()
        .iter()
        .filter_map(|m| m.packet_id)
        .collect();
    for packet_id in 1..200 {
        if !in_flight.contains(&packet_id) {
            let packet_id = packet_id.try_into().unwrap();
            stage
                .platform
                .acknowledge_packet(&device, packet_id)
                .unwrap();
        }
    }
    // The answer to a later request shows that the device has read all of them.
    let version = stage
        .platform
        .set_desired(&device, &serde_json::json!({"a": 1}))
        .unwrap();
    crate::support::eventually("the update arrives", || {
        client
            .get_desired_properties_if_newer(version - 1)
            .is_some()
    });
    assert_eq!(client.pending_messages_count(), 2);
    stage.platform.release_acknowledgements();
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), numbers(2));
}

#[test]
fn a_hub_that_forgot_the_session_gets_what_is_unacknowledged_again() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    sender(&client).enqueue_message("again").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    stage.platform.forget_sessions();
    // In this order: the acknowledgement held back must not get out.
    stage.platform.close_connections();
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    let messages = stage.platform.messages();
    assert_eq!(stage.received(), ["again", "again"]);
    assert!(!messages[1].dup, "to a new session it is a new publish");
}

#[test]
fn a_hub_that_kept_the_session_gets_the_same_packet_id_marked_as_repeat() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    sender(&client).enqueue_message("again").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    // In this order: the acknowledgement held back must not get out.
    stage.platform.close_connections();
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    let messages = stage.platform.messages();
    assert_eq!(messages.len(), 2);
    assert!(messages[1].dup);
    assert_eq!(messages[1].packet_id, messages[0].packet_id);
}
