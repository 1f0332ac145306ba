//! Keep latest: of what is not sent yet only the newest stays, replaced in the commit that stores it.

use std::time::Duration;

use spotflow_device::{
    Compression, DeviceClient, Error, Message, Priority, SenderOptions, StreamSender,
};
use spotflow_emulator::{AckMode, Route};

use crate::support::{PATIENCE, Stage, eventually, sender};

fn newest_of(client: &DeviceClient, stream: Option<&str>) -> StreamSender {
    client
        .create_stream_sender_with(None, stream, SenderOptions::new().keep_latest())
        .expect("a sender")
}

#[test]
fn after_an_outage_only_the_newest_of_each_stream_and_key_is_sent() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    let senders = [None, Some("other")].map(|stream| newest_of(&client, stream));
    for round in 0..3 {
        for sender in &senders {
            sender.enqueue_message(format!("of all {round}")).unwrap();
            for key in ["a", "b"] {
                let message = Message::new(format!("of {key} {round}")).latest_key(key);
                sender.enqueue_message(message).unwrap();
            }
        }
        sender(&client)
            .enqueue_message(format!("kept {round}"))
            .unwrap();
    }
    let status = client.status();
    assert_eq!((status.pending_messages, status.replaced_messages), (9, 12));
    stage.platform.accept_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    let each = ["of all 2", "of a 2", "of b 2"];
    let expected = [&["kept 0", "kept 1"][..], &each, &each, &["kept 2"]].concat();
    assert_eq!(stage.received(), expected);
    let status = client.status();
    assert_eq!((status.pending_bytes, status.dropped_messages), (0, 0));
    assert_eq!((status.expired_messages, status.replaced_messages), (0, 12));
}

#[test]
fn what_is_in_flight_is_not_replaced_also_when_it_has_to_be_sent_again() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    let newest = newest_of(&client, None);
    newest.enqueue_message("in flight").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    newest.enqueue_message("replaced").unwrap();
    stage.cut_off();
    newest.enqueue_message("newest").unwrap();
    assert_eq!(client.pending_messages_count(), 2);
    stage.platform.acknowledge(AckMode::Immediately);
    stage.platform.accept_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["in flight", "in flight", "newest"]);
    assert!(stage.platform.messages()[1].repeat, "the Platform drops it");
}

#[test]
fn what_an_earlier_run_left_is_replaced_whatever_its_priority() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    newest_of(&client, None).enqueue_message("earlier").unwrap();
    sender(&client).enqueue_message("kept").unwrap();
    client.close();

    let client = stage.start();
    let urgent = SenderOptions::new()
        .keep_latest()
        .priority(Priority::Urgent)
        .time_to_live(Duration::from_secs(3600));
    let urgent = client
        .create_stream_sender_with(None, None, urgent)
        .unwrap();
    urgent.enqueue_message("urgent").unwrap();
    newest_of(&client, None).enqueue_message("newest").unwrap();
    let status = client.status();
    assert_eq!((status.pending_messages, status.replaced_messages), (2, 2));
    stage.platform.accept_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["kept", "newest"]);
}

#[test]
fn of_several_in_one_call_the_last_of_each_key_is_stored() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    let newest = newest_of(&client, None);
    newest.enqueue_message("before").unwrap();
    let keyed = |key: &str, text: &str| Message::new(text).latest_key(key);
    let messages = [
        keyed("a", "a 1"),
        Message::new("1"),
        keyed("b", "b 1"),
        keyed("a", "a 2"),
        Message::new("2"),
    ];
    newest.enqueue_messages(messages).unwrap();
    let status = client.status();
    assert_eq!((status.pending_messages, status.replaced_messages), (3, 3));
    assert_eq!(status.pending_bytes, "b 1a 22".len() as u64);
    stage.platform.accept_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["b 1", "a 2", "2"]);
}

#[test]
fn who_sends_a_message_that_is_replaced_is_told_at_once() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    sender(&client).enqueue_message("in flight").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    let newest = newest_of(&client, None);
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| newest.send_message_timeout("replaced", PATIENCE));
        eventually("it waits", || client.pending_messages_count() == 2);
        newest.enqueue_message("newest").unwrap();
        let sent = sends.join().unwrap();
        assert!(matches!(sent, Err(Error::Replaced)), "{sent:?}");
    });
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    newest.send_message_timeout("last", PATIENCE).unwrap();
    assert_eq!(stage.received(), ["in flight", "newest", "last"]);
}

#[test]
fn content_whose_upload_has_begun_arrives_and_what_waits_behind_it_is_replaced() {
    let stage = Stage::new();
    stage.platform.http_hang(Route::BlobPut, true);
    let client = stage.start();
    let camera = newest_of(&client, Some("camera"));
    let image = |of: u8| vec![of; 300_000];
    camera.enqueue_message(image(1)).unwrap();
    stage
        .platform
        .wait_for_request(Route::BlobPut, 1, PATIENCE)
        .unwrap();
    camera.enqueue_message(image(2)).unwrap();
    camera.enqueue_message(image(3)).unwrap();
    let status = client.status();
    assert_eq!((status.pending_messages, status.replaced_messages), (2, 1));
    stage.platform.http_hang(Route::BlobPut, false);
    client.wait_enqueued_messages_sent().unwrap();
    let messages = stage.platform.messages();
    let images: Vec<u8> = messages.iter().map(|message| message.payload[0]).collect();
    assert_eq!(images, [1, 3]);
    assert!(
        messages
            .iter()
            .all(|message| message.payload.len() == 300_000)
    );
}

#[test]
fn nothing_of_it_goes_on_the_wire_and_completions_are_kept() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    let plain = client.create_stream_sender("group", "stream", Compression::Uncompressed);
    let newest = SenderOptions::new().keep_latest();
    let newest = client.create_stream_sender_with("group", "stream", newest);
    let (plain, newest) = (plain.unwrap(), newest.unwrap());
    let message = || Message::new("text").batch_id("b").message_id("m");
    plain.enqueue_message(message()).unwrap();
    newest.enqueue_batch_completion("first").unwrap();
    newest.enqueue_message_completion("b", "first").unwrap();
    newest.enqueue_message(message()).unwrap();
    newest.enqueue_batch_completion("last").unwrap();
    assert_eq!(client.status().replaced_messages, 0);
    stage.platform.accept_connections(true).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    let messages = stage.platform.messages();
    assert_eq!(messages.len(), 5);
    assert_eq!(messages[0].properties, messages[3].properties);
}

#[test]
fn a_key_is_for_a_sender_that_keeps_the_latest_and_a_chunk_is_not() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    let newest = newest_of(&client, None);
    let with_key = |key: &str| Message::new("text").latest_key(key);
    for (sender, message, argument) in [
        (&sender(&client), with_key("a"), "latest_key"),
        (&newest, with_key(""), "latest_key"),
        (&newest, with_key(&"a".repeat(1025)), "latest_key"),
        (&newest, Message::new("text").chunk_id("c"), "chunk_id"),
    ] {
        match sender.enqueue_message(message).unwrap_err() {
            Error::InvalidArgument {
                argument: found, ..
            } => assert_eq!(found, argument),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.pending_messages_count(), 0);
    newest.enqueue_message(with_key(&"a".repeat(1024))).unwrap();
}
