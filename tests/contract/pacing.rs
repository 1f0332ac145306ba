//! Pacing: what has to wait waits, and holds up nothing else. How accurate it is, is shown in `src/pacing/bucket.rs`
//! without a clock, and measured by `benches/pacing.rs`.

use std::time::Duration;

use serde_json::json;
use spotflow_device::{
    DeviceClient, MethodResponse, Pace, Pacing, Priority, SenderOptions, StreamSender,
};
use spotflow_emulator::PacketKind;

use crate::support::{DEVICE, PATIENCE, Stage, eventually};

/// One goes at once, and the next in years.
fn next_to_nothing() -> Pace {
    Pace::new().messages_per_second(1e-9)
}

fn sender_of(client: &DeviceClient, priority: Priority) -> StreamSender {
    let options = SenderOptions::new().priority(priority);
    client
        .create_stream_sender_with(None, None, options)
        .expect("a sender for the default Stream")
}

fn pings(stage: &Stage) -> usize {
    let packets = stage.platform.packets(DEVICE);
    let pings = packets.iter().filter(|it| it.kind == PacketKind::PingReq);
    pings.count()
}

fn wait_sent(client: &DeviceClient) {
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
}

#[test]
fn a_lane_that_has_to_wait_holds_up_no_other() {
    let stage = Stage::new();
    let pacing = Pacing::new().lane(Priority::High, next_to_nothing());
    let client = stage.device().pacing(pacing).start().unwrap();
    let (high, low) = (
        sender_of(&client, Priority::High),
        sender_of(&client, Priority::Low),
    );
    high.enqueue_messages(["high 0", "high 1", "high 2"])
        .unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    for text in ["low 0", "low 1"] {
        low.send_message_timeout(text, PATIENCE).unwrap();
    }
    sender_of(&client, Priority::Urgent)
        .send_message_timeout("alarm", PATIENCE)
        .unwrap();
    assert_eq!(client.pending_messages_count(), 2);
    client.set_pacing(Pacing::new()).unwrap();
    wait_sent(&client);
    assert_eq!(
        stage.received(),
        ["high 0", "low 0", "low 1", "alarm", "high 1", "high 2"]
    );
}

#[test]
fn the_status_tells_what_is_set_for_all() {
    let stage = Stage::new();
    let pace = Pace::new().messages_per_second(0.5);
    let client = stage.device().pacing(Pacing::new().all(pace));
    let client = client.start().unwrap();
    let limits = || {
        let pacing = client.status().pacing;
        assert_eq!(pacing.throttled_messages_per_second, None);
        (pacing.messages_per_second, pacing.bytes_per_second)
    };
    assert_eq!(limits(), (Some(0.5), None));
    let pace = Pace::new().bytes_per_second(2_000);
    let of_lane = Pace::new().bytes_per_second(1);
    let pacing = Pacing::new().all(pace).lane(Priority::Bulk, of_lane);
    client.set_pacing(pacing).unwrap();
    assert_eq!(limits(), (None, Some(2_000)));
    client.set_pacing(Pacing::new()).unwrap();
    assert_eq!(limits(), (None, None));
}

#[test]
fn while_all_messages_wait_the_rest_goes_at_once() {
    let stage = Stage::new();
    let client = stage
        .device()
        .pacing(Pacing::new().all(next_to_nothing()))
        .keep_alive(Duration::from_secs(5))
        .on_method("ping", |_| Ok(MethodResponse::ok("pong")))
        .start()
        .unwrap();
    let sender = sender_of(&client, Priority::Urgent);
    sender.send_message_timeout("first", PATIENCE).unwrap();
    sender.enqueue_message("held").unwrap();
    // The desired and the reported half of the twin, a method, and the keep-alive.
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({"interval": 5}))
        .unwrap();
    eventually("the Desired Properties arrive", || {
        client.get_desired_properties().unwrap().version() == version
    });
    client
        .update_reported_properties(&json!({"is": "paced"}))
        .unwrap();
    eventually("the Reported Properties are confirmed", || {
        !client.any_pending_reported_properties_updates()
    });
    let answer = stage
        .platform
        .call_method(DEVICE, "ping", "null", PATIENCE)
        .unwrap();
    assert_eq!(answer.payload, br#""pong""#);
    let before = pings(&stage);
    eventually("the connection is kept alive", || pings(&stage) > before);
    assert_eq!(stage.received(), ["first"]);
    client.set_pacing(Pacing::new()).unwrap();
    wait_sent(&client);
    assert_eq!(stage.received(), ["first", "held"]);
}

#[test]
fn an_upload_keeps_to_the_bytes_of_its_lane_and_of_all() {
    for lane in [Some(Priority::Bulk), None] {
        let stage = Stage::new();
        let slow = Pace::new().bytes_per_second(1);
        let pacing = lane.map_or(Pacing::new().all(slow), |lane| {
            Pacing::new().lane(lane, slow)
        });
        let client = stage
            .device()
            .pacing(pacing)
            .keep_alive(Duration::from_secs(5))
            .start()
            .unwrap();
        let content = vec![7; 1_200_000];
        sender_of(&client, Priority::Bulk)
            .enqueue_message(content.clone())
            .unwrap();
        eventually("the upload is under way", || {
            client.status().upload.is_some()
        });
        let other = sender_of(&client, Priority::Normal);
        if lane.is_some() {
            for _ in 0..3 {
                other.send_message_timeout("other", PATIENCE).unwrap();
            }
        }
        // That takes seconds, in which all of it would be up otherwise.
        let before = pings(&stage);
        eventually("the connection is kept alive", || pings(&stage) > before);
        let upload = client.status().upload.unwrap();
        assert_eq!((upload.uploaded_bytes, upload.total_bytes), (0, 1_200_000));
        client.set_pacing(Pacing::new()).unwrap();
        wait_sent(&client);
        let messages = stage.platform.messages();
        let large = messages.last().unwrap();
        assert!(large.is_external() && large.payload == content);
    }
}

#[test]
fn a_client_that_waits_for_its_pace_closes_at_once_and_the_next_goes_on() {
    let stage = Stage::new();
    let slow = Pace::new().messages_per_second(1e-9).bytes_per_second(1);
    let client = stage
        .device()
        .pacing(Pacing::new().all(slow))
        .start()
        .unwrap();
    let sender = sender_of(&client, Priority::Normal);
    sender.enqueue_messages(["0", "1"]).unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    sender.enqueue_message(vec![7; 300_000]).unwrap();
    eventually("the upload is under way", || {
        client.status().upload.is_some()
    });
    client.close();
    let client = stage.start();
    wait_sent(&client);
    let mut texts = stage.received();
    texts.dedup();
    assert_eq!(texts[..2], ["0", "1"]);
    assert_eq!(texts.len(), 3);
}
