//! Cloud-to-device messages: only on request, stored before acknowledged, kept until processed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use spotflow_device::{CloudMessage, DeviceClient, Error};

use crate::support::{DEVICE, PATIENCE, Stage, sender};

fn listening(stage: &Stage) -> DeviceClient {
    stage.device().cloud_messages(true).start().unwrap()
}

fn text(message: &CloudMessage) -> String {
    String::from_utf8(message.payload().to_vec()).unwrap()
}

fn receive(client: &DeviceClient) -> CloudMessage {
    client
        .receive_cloud_message(PATIENCE)
        .unwrap()
        .expect("a message comes")
}

fn receive_texts(client: &DeviceClient, count: usize) -> Vec<String> {
    (0..count).map(|_| text(&receive(client))).collect()
}

fn send(stage: &Stage, text: impl std::fmt::Display) {
    stage
        .platform
        .send_cloud_message(DEVICE, text.to_string(), &[])
        .unwrap();
}

/// Waits until the hub has all acknowledgements.
fn wait_acknowledged(stage: &Stage) {
    stage
        .platform
        .wait_for_cloud_messages(DEVICE, 0, PATIENCE)
        .unwrap();
}

/// Returns when the device has read what the hub sent last, and so all before it.
fn wait_for_update(stage: &Stage, client: &DeviceClient) {
    let version = stage
        .platform
        .set_desired(DEVICE, &serde_json::json!({"a": 1}))
        .unwrap();
    crate::support::eventually("what the hub sent last arrives", || {
        client.get_desired_properties().unwrap().version() == version
    });
}

fn is_subscribed(stage: &Stage) -> bool {
    let filters = stage.platform.subscriptions(DEVICE);
    filters.iter().any(|filter| filter.contains("devicebound"))
}

#[test]
fn messages_come_in_order_with_their_properties() {
    let stage = Stage::new();
    let client = listening(&stage);
    let odd = "a b&c=d%20ä/+#";
    stage
        .platform
        .send_cloud_message(
            DEVICE,
            b"\x00\xff".to_vec(),
            &[("command", odd), ("empty", "")],
        )
        .unwrap();
    for i in 0..20 {
        send(&stage, i);
    }
    let first = receive(&client);
    assert_eq!(first.payload(), b"\x00\xff");
    assert_eq!(first.property("command").as_deref(), Some(odd));
    assert_eq!(first.property("empty").as_deref(), Some(""));
    assert_eq!(first.property("absent"), None);
    let expected: Vec<_> = (0..20).map(|i| i.to_string()).collect();
    assert_eq!(receive_texts(&client, 20), expected);
}

#[test]
fn without_the_wish_they_stay_in_the_hub() {
    let stage = Stage::new();
    let client = stage.start();
    sender(&client).send_message("connected").unwrap();
    send(&stage, "not wanted");
    wait_for_update(&stage, &client);
    assert!(!is_subscribed(&stage));
    assert_eq!(stage.platform.cloud_messages_waiting(DEVICE), 1);
    let error = client.receive_cloud_message(Duration::ZERO).unwrap_err();
    assert!(
        matches!(
            error,
            Error::InvalidArgument {
                argument: "cloud_messages",
                ..
            }
        ),
        "{error:?}"
    );
    client.close();
    let client = listening(&stage);
    assert_eq!(text(&receive(&client)), "not wanted");
}

#[test]
fn a_run_without_the_wish_ends_an_earlier_subscription() {
    let stage = Stage::new();
    let client = listening(&stage);
    stage
        .platform
        .wait_for_subscriptions(DEVICE, 3, PATIENCE)
        .unwrap();
    client.close();
    send(&stage, "waits");
    let client = stage.start();
    crate::support::eventually("the subscription ends", || !is_subscribed(&stage));
    sender(&client).send_message("works").unwrap();
    assert_eq!(stage.platform.cloud_messages_waiting(DEVICE), 1);
    client.close();
    assert_eq!(text(&receive(&listening(&stage))), "waits");
}

#[test]
fn a_message_is_stored_before_it_is_acknowledged() {
    let stage = Stage::new();
    let client = listening(&stage);
    for i in 0..10 {
        send(&stage, i);
    }
    wait_acknowledged(&stage);
    client.close();
    // Nothing comes from the hub any more: this is what was stored.
    stage.platform.accept_connections(false).unwrap();
    let client = listening(&stage);
    let expected: Vec<_> = (0..10).map(|i| i.to_string()).collect();
    assert_eq!(receive_texts(&client, 10), expected);
}

#[test]
fn what_was_not_acknowledged_is_delivered_again_and_nothing_is_skipped() {
    let stage = Stage::new();
    let client = listening(&stage);
    stage
        .platform
        .wait_for_subscriptions(DEVICE, 3, PATIENCE)
        .unwrap();
    for i in 0..30 {
        send(&stage, i);
        if i % 7 == 0 {
            stage.platform.close_connections();
        }
    }
    wait_acknowledged(&stage);
    let mut distinct = BTreeSet::new();
    while let Some(message) = client.receive_cloud_message(Duration::ZERO).unwrap() {
        distinct.insert(text(&message).parse::<u32>().unwrap());
        message.complete().unwrap();
    }
    assert_eq!(distinct, (0..30).collect());
}

#[test]
fn a_message_is_handed_out_again_by_each_run_until_it_is_completed() {
    let stage = Stage::new();
    let client = listening(&stage);
    for i in 0..3 {
        send(&stage, i);
    }
    assert_eq!(text(&receive(&client)), "0");
    receive(&client).complete().unwrap();
    assert_eq!(text(&receive(&client)), "2");
    // In one run each is handed out once.
    assert!(
        client
            .receive_cloud_message(Duration::ZERO)
            .unwrap()
            .is_none()
    );
    wait_acknowledged(&stage);
    client.close();

    let client = listening(&stage);
    for expected in ["0", "2"] {
        let message = receive(&client);
        assert_eq!(text(&message), expected);
        message.complete().unwrap();
    }
    client.close();
    let client = listening(&stage);
    send(&stage, "3");
    assert_eq!(text(&receive(&client)), "3");
}

#[test]
fn the_wait_has_its_limit_and_ends_with_close() {
    let stage = Stage::new();
    let client = listening(&stage);
    let limit = Duration::from_millis(50);
    let began = Instant::now();
    assert!(client.receive_cloud_message(limit).unwrap().is_none());
    assert!(began.elapsed() >= limit);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.receive_cloud_message(Duration::MAX).map(drop));
        stage
            .platform
            .wait_for_connected(DEVICE, true, PATIENCE)
            .unwrap();
        client.close();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
    });
}

#[test]
fn a_message_cannot_be_completed_after_close_and_so_comes_again() {
    let stage = Stage::new();
    let client = listening(&stage);
    send(&stage, "again");
    let message = receive(&client);
    wait_acknowledged(&stage);
    client.close();
    assert!(matches!(message.complete(), Err(Error::Closed)));
    assert_eq!(text(&receive(&listening(&stage))), "again");
}

#[test]
fn threads_that_receive_share_the_messages() {
    const COUNT: usize = 40;
    let stage = Stage::new();
    let client = listening(&stage);
    let received = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while received.lock().len() < COUNT {
                    let limit = Duration::from_millis(20);
                    if let Some(message) = client.receive_cloud_message(limit).unwrap() {
                        received
                            .lock()
                            .push(text(&message).parse::<usize>().unwrap());
                        message.complete().unwrap();
                    }
                }
            });
        }
        for i in 0..COUNT {
            send(&stage, i);
        }
    });
    let mut received = received.into_inner();
    received.sort_unstable();
    assert_eq!(received, (0..COUNT).collect::<Vec<_>>(), "each once");
}

#[test]
fn more_than_the_hub_keeps_is_taken_and_handed_out_in_order() {
    let stage = Stage::new();
    let client = listening(&stage);
    for round in 0..4 {
        for i in 0..50 {
            send(&stage, round * 50 + i);
        }
        wait_acknowledged(&stage);
    }
    let expected: Vec<_> = (0..200).map(|i| i.to_string()).collect();
    assert_eq!(receive_texts(&client, 200), expected);
}

#[test]
fn what_exceeds_the_bound_waits_in_the_hub_until_there_is_room() {
    // 16 MiB are taken; the 68th of these begins below that, and two are left.
    const BYTES: usize = 250_000;
    let stage = Stage::new();
    let client = listening(&stage);
    for i in 0..70_u8 {
        let left = if i < 68 { 0 } else { usize::from(i) - 67 };
        stage
            .platform
            .send_cloud_message(DEVICE, vec![i; BYTES], &[])
            .unwrap();
        // One after the other, as the hub keeps no more than 50.
        stage
            .platform
            .wait_for_cloud_messages(DEVICE, left, PATIENCE)
            .unwrap();
    }
    // It has read the two; and what it stored before this Message is acknowledged before it.
    wait_for_update(&stage, &client);
    sender(&client).send_message("stored behind them").unwrap();
    assert_eq!(stage.platform.cloud_messages_waiting(DEVICE), 2);
    for i in 0..70_u8 {
        let message = receive(&client);
        assert!(message.payload().iter().all(|byte| *byte == i), "{i}");
        message.complete().unwrap();
    }
    wait_acknowledged(&stage);
}
