//! Lanes: a higher one goes first, each keeps its order, and a repeat comes only directly behind its original.

use spotflow_device::{DeviceClient, Priority, SenderOptions, StreamSender};
use spotflow_emulator::{AckMode, CutPoint, Platform, Route};

use crate::support::{PATIENCE, Stage, sender};

fn sender_of(client: &DeviceClient, priority: Priority) -> StreamSender {
    let options = SenderOptions::new().priority(priority);
    client
        .create_stream_sender_with(None, None, options)
        .expect("a sender for the default Stream")
}

fn texts(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{of} {i}")).collect()
}

#[test]
fn a_higher_lane_goes_first_and_each_keeps_its_order_in_a_backlog_larger_than_memory() {
    const LANES: [(Priority, &str, usize); 5] = [
        (Priority::Urgent, "alarm", 300),
        (Priority::High, "state", 3),
        (Priority::Normal, "reading", 700),
        (Priority::Low, "image", 1),
        (Priority::Bulk, "log", 1000),
    ];
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    for (priority, of, count) in LANES.iter().rev() {
        let sender = sender_of(&client, *priority);
        sender.enqueue_messages(texts(of, *count)).unwrap();
    }
    client.close();
    stage.platform.accept_connections(true).unwrap();

    let client = stage.start();
    client.wait_enqueued_messages_sent().unwrap();
    let lanes = LANES.iter().map(|(_, of, count)| texts(of, *count));
    let mut expected: Vec<String> = lanes.flatten().collect();
    // It could have been in flight when the run before ended.
    let first = expected.iter().position(|text| text == "reading 0");
    let first = expected.remove(first.unwrap());
    expected.insert(0, first);
    assert_eq!(stage.received(), expected);
}

#[test]
fn a_sender_without_a_priority_has_the_usual_one() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    let normal = sender_of(&client, Priority::Normal);
    sender(&client).enqueue_message("1").unwrap();
    normal.enqueue_message("2").unwrap();
    sender(&client).enqueue_message("3").unwrap();
    stage.platform.accept_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["1", "2", "3"]);
}

#[test]
fn an_alarm_waits_only_for_what_is_in_flight() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    let log = sender_of(&client, Priority::Bulk);
    log.enqueue_messages(texts("log", 600)).unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    sender_of(&client, Priority::Urgent)
        .enqueue_message("alarm")
        .unwrap();
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    let received = stage.received();
    assert_eq!(received[..3], ["log 0", "alarm", "log 1"]);
    assert_eq!(received.len(), 601);
}

#[test]
fn who_sends_an_alarm_does_not_wait_for_the_lanes_below() {
    let stage = Stage::new();
    stage.platform.http_hang(Route::BlobPut, true);
    let client = stage.start();
    let camera = sender_of(&client, Priority::Normal);
    camera.enqueue_message(vec![7; 300_000]).unwrap();
    stage
        .platform
        .wait_for_request(Route::BlobPut, 1, PATIENCE)
        .unwrap();
    let alarms = sender_of(&client, Priority::Urgent);
    alarms.send_message_timeout("alarm", PATIENCE).unwrap();
    let logs = sender_of(&client, Priority::Low);
    logs.send_message_timeout("log", PATIENCE).unwrap();
    assert_eq!(client.pending_messages_count(), 1);
    assert_eq!(
        stage.received(),
        ["alarm", "log"],
        "the upload holds up its lane"
    );
    stage.platform.http_hang(Route::BlobPut, false);
    client.wait_enqueued_messages_sent().unwrap();
}

#[test]
fn behind_a_restart_a_repeat_comes_directly_behind_its_original_whatever_is_in_higher_lanes() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    let log = sender_of(&client, Priority::Bulk);
    log.enqueue_messages(texts("log", 3)).unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    sender_of(&client, Priority::Urgent)
        .enqueue_message("alarm")
        .unwrap();
    client.close();
    stage.platform.acknowledge(AckMode::Immediately);

    let client = stage.start();
    client.wait_enqueued_messages_sent().unwrap();
    let expected = ["log 0", "log 0", "alarm", "log 1", "log 2"];
    assert_eq!(stage.received(), expected);
    assert!(stage.platform.messages()[1].repeat, "the Platform drops it");
}

#[test]
fn with_lanes_mixed_a_cut_connection_repeats_only_directly_after_the_original() {
    const ALL: [Priority; 3] = [Priority::Urgent, Priority::Normal, Priority::Low];
    for point in [CutPoint::BeforeAck, CutPoint::AfterAck] {
        let stage = Stage::with(Platform::builder());
        let client = stage.start();
        let senders = ALL.map(|priority| sender_of(&client, priority));
        for round in 0..6 {
            stage.platform.cut_after_messages(4, point);
            std::thread::scope(|scope| {
                for (lane, sender) in senders.iter().enumerate() {
                    scope.spawn(move || {
                        for i in 0..6 {
                            let text = format!("{lane} {:03}", 6 * round + i);
                            sender.enqueue_message(text).expect("it is stored");
                        }
                    });
                }
            });
            client.wait_enqueued_messages_sent().unwrap();
        }
        let distinct = stage.platform.distinct_messages();
        let texts = distinct.iter().map(|message| message.text());
        let texts: Vec<String> = texts.collect();
        assert_eq!(texts.len(), 3 * 36, "repeats were dropped, cut {point:?}");
        for lane in 0..ALL.len() {
            let of_lane = |text: &&String| text.starts_with(&lane.to_string());
            let of_lane: Vec<&String> = texts.iter().filter(of_lane).collect();
            assert!(of_lane.is_sorted(), "lane {lane}, cut {point:?}");
        }
    }
}

#[test]
fn what_is_set_aside_and_put_back_keeps_its_lane() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    sender_of(&client, Priority::Urgent)
        .enqueue_message("alarm of device 1")
        .unwrap();
    client.close();
    stage.platform.accept_connections(true).unwrap();
    let other = || stage.device().device_id("another");
    other().start().unwrap().close();

    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    let log = sender_of(&client, Priority::Low);
    log.enqueue_messages(texts("log", 2)).unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    let set_aside = client.set_aside_messages().unwrap();
    let ids: Vec<i64> = set_aside.iter().map(|message| message.id).collect();
    assert_eq!(client.retry_set_aside_messages(&ids).unwrap(), 1);
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["log 0", "alarm of device 1", "log 1"]);
}
