//! Large content goes by file upload: whole, in order, and without stalling anything else.

use std::time::Duration;

use spotflow_device::Compression;
use spotflow_emulator::{AckMode, Direction, PacketKind, Platform, Route};

use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

mod interrupted;

const INLINE_MAX: usize = 250_000;

/// Bytes that no codec makes smaller, different for each seed.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| random.u8(..)).collect()
}

fn payloads(platform: &Platform) -> Vec<Vec<u8>> {
    let messages = platform.messages();
    for message in &messages {
        assert_eq!(message.payload_error, None, "{:?}", message.properties);
    }
    messages
        .into_iter()
        .map(|message| message.payload)
        .collect()
}

/// Payloads in a failure's text would fill the screen.
fn assert_arrived(platform: &Platform, expected: &[&[u8]]) {
    let arrived = payloads(platform);
    let lengths: Vec<usize> = arrived.iter().map(Vec::len).collect();
    let same = arrived
        .iter()
        .map(Vec::as_slice)
        .eq(expected.iter().copied());
    assert!(same, "arrived: Messages of {lengths:?} bytes");
}

fn pings(platform: &Platform) -> usize {
    let packets = platform.packets(DEVICE);
    packets
        .iter()
        .filter(|packet| packet.kind == PacketKind::PingReq)
        .count()
}

#[test]
fn content_up_to_250_000_bytes_goes_inline_and_more_by_upload() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let (fits, exceeds) = (noise(INLINE_MAX, 1), noise(INLINE_MAX + 1, 2));
    sender.enqueue_message(fits.clone()).unwrap();
    sender.enqueue_message(exceeds.clone()).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(&stage.platform, &[&fits, &exceeds]);
    let external: Vec<bool> = stage
        .platform
        .messages()
        .iter()
        .map(|m| m.is_external())
        .collect();
    assert_eq!(external, [false, true]);
    let uploads = stage.platform.uploads();
    assert_eq!(uploads.len(), 1);
    assert_eq!(uploads[0].success, Some(true));
}

#[test]
fn several_large_ones_arrive_whole_and_in_order_among_small_ones() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let sizes = [10, 300_000, 20, 30, 1_000_000, 260_000, 40, 400_000];
    let contents: Vec<_> = (0..)
        .zip(sizes)
        .map(|(seed, size)| noise(size, seed))
        .collect();
    for content in &contents {
        sender.enqueue_message(content.clone()).unwrap();
    }
    client.wait_enqueued_messages_sent().unwrap();
    let expected: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    assert_arrived(&stage.platform, &expected);
    assert_eq!(client.pending_messages_count(), 0);
    assert_eq!(client.status().pending_bytes, 0);
}

#[test]
fn compression_decides_before_the_size_does() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = client
        .create_stream_sender(None, None, Compression::Fastest)
        .unwrap();
    let shrinks_below = vec![b'a'; 1_000_000];
    let mut stays_above = noise(300_000, 1);
    stays_above.extend(vec![b'a'; 300_000]);
    let does_not_shrink = noise(300_000, 2);
    for content in [&shrinks_below, &stays_above, &does_not_shrink] {
        sender.enqueue_message(content.clone()).unwrap();
    }
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(
        &stage.platform,
        &[&shrinks_below, &stays_above, &does_not_shrink],
    );
    let messages = stage.platform.messages();
    let went: Vec<_> = messages
        .iter()
        .map(|m| (m.is_external(), m.content_encoding.as_deref()))
        .collect();
    assert_eq!(
        went,
        [(false, Some("br")), (true, Some("br")), (true, None)]
    );
    let uploads = stage.platform.uploads();
    assert!(
        uploads[0].bytes.is_some_and(|bytes| bytes < 400_000),
        "uploaded as compressed"
    );
}

#[test]
fn an_upload_that_hangs_delays_only_what_is_behind_it() {
    let stage = Stage::new();
    stage.platform.http_hang(Route::BlobPut, true);
    let client = stage
        .device()
        .keep_alive(Duration::from_secs(5))
        .start()
        .unwrap();
    let sender = sender(&client);
    let large = noise(300_000, 1);
    sender.enqueue_messages(["before 1", "before 2"]).unwrap();
    sender.enqueue_message(large.clone()).unwrap();
    sender.enqueue_message("behind").unwrap();
    stage
        .platform
        .wait_for_request(Route::BlobPut, 1, PATIENCE)
        .unwrap();
    stage.platform.wait_for_messages(2, PATIENCE).unwrap();
    eventually("those before it are acknowledged", || {
        client.pending_messages_count() == 2
    });

    // The link lives on meanwhile: properties both ways, and keep-alive.
    let version = stage
        .platform
        .set_desired(DEVICE, &serde_json::json!({"a": 1}))
        .unwrap();
    eventually("the update arrives", || {
        client
            .get_desired_properties_if_newer(version - 1)
            .is_some()
    });
    client
        .update_reported_properties(&serde_json::json!({"b": 2}))
        .unwrap();
    eventually("the report is confirmed", || {
        !client.any_pending_reported_properties_updates()
    });
    let pings_before = pings(&stage.platform);
    eventually("the keep-alive is kept", || {
        pings(&stage.platform) > pings_before
    });
    assert_eq!(
        stage.received(),
        ["before 1", "before 2"],
        "what is behind it waits"
    );
    assert_eq!(stage.platform.connection_count(), 1);

    stage.platform.http_hang(Route::BlobPut, false);
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(
        &stage.platform,
        &[b"before 1", b"before 2", &large, b"behind"],
    );
    assert_eq!(stage.platform.connection_count(), 1);
}

#[test]
fn content_is_uploaded_ahead_of_its_turn() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    let sender = sender(&client);
    let large = noise(300_000, 1);
    sender.enqueue_message("small").unwrap();
    sender.enqueue_message(large.clone()).unwrap();
    eventually("the content is up", || {
        stage
            .platform
            .uploads()
            .iter()
            .any(|upload| upload.success == Some(true))
    });
    assert_eq!(client.pending_messages_count(), 2);
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    assert_eq!(stage.received(), ["small"]);
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(&stage.platform, &[b"small", &large]);
    assert_eq!(stage.platform.uploads().len(), 1);
}

#[test]
fn a_renewal_of_the_credentials_does_not_wait_for_an_upload() {
    let stage = Stage::new();
    stage.platform.http_hang(Route::BlobPut, true);
    let client = stage.start();
    let sender = sender(&client);
    let large = noise(300_000, 1);
    sender.enqueue_message("before").unwrap();
    sender.enqueue_message(large.clone()).unwrap();
    stage
        .platform
        .wait_for_request(Route::BlobPut, 1, PATIENCE)
        .unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();

    let registered = stage.platform.http_request_count(Route::Register);
    stage.platform.expire_sas(DEVICE).unwrap();
    stage
        .platform
        .wait_for_request(Route::Register, registered + 1, PATIENCE)
        .unwrap();
    let accepted = || {
        stage
            .platform
            .connections()
            .iter()
            .filter(|c| c.code == 0)
            .count()
    };
    eventually("connected with the new ones", || {
        accepted() == 2 && client.status().is_connected
    });

    stage.platform.http_hang(Route::BlobPut, false);
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(&stage.platform, &[b"before", &large]);
}

#[test]
fn a_message_behind_a_large_one_leaves_only_after_it() {
    let stage = Stage::new();
    stage
        .platform
        .http_delay(Route::BlobPut, Duration::from_millis(500));
    let client = stage.device().in_flight_window(16).start().unwrap();
    let sender = sender(&client);
    let large = noise(300_000, 1);
    sender.enqueue_message(large.clone()).unwrap();
    sender.enqueue_messages(["1", "2", "3"]).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(&stage.platform, &[&large, b"1", b"2", b"3"]);
}

#[test]
fn publishes_of_uploaded_content_are_small() {
    let stage = Stage::new();
    let client = stage.start();
    sender(&client).send_message(noise(300_000, 1)).unwrap();
    let packets = stage.platform.packets(DEVICE);
    let publishes = packets.iter().filter(|packet| {
        packet.kind == PacketKind::Publish && packet.direction == Direction::FromDevice
    });
    assert!(
        publishes
            .into_iter()
            .all(|packet| packet.payload_bytes < 100)
    );
    let message = &stage.platform.messages()[0];
    let link: serde_json::Value = serde_json::from_slice(&message.raw_payload).unwrap();
    assert_eq!(link["link"], stage.platform.uploads()[0].blob_name);
}
