//! Time to live: what is too old when its turn comes is not sent, counted, and told to those who wait.

use std::time::Duration;

use spotflow_device::{DeviceClient, Error, SenderOptions, StreamSender};
use spotflow_emulator::AckMode;

use crate::support::{PATIENCE, Stage, eventually, sender};

const SHORT: Duration = Duration::from_millis(50);

fn short_lived(client: &DeviceClient, time_to_live: Duration) -> StreamSender {
    let options = SenderOptions::new().time_to_live(time_to_live);
    client
        .create_stream_sender_with(None, None, options)
        .expect("a sender for the default Stream")
}

fn wait_until_older(client: &DeviceClient, than: Duration) {
    eventually("they are too old", || {
        client.status().oldest_pending_age > Some(than)
    });
}

#[test]
fn what_is_too_old_when_the_network_is_back_is_not_sent_and_counted() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    let stale = (0..700).map(|i| format!("stale {i}"));
    short_lived(&client, SHORT).enqueue_messages(stale).unwrap();
    sender(&client).enqueue_message("kept").unwrap();
    short_lived(&client, Duration::MAX)
        .enqueue_message("never too old")
        .unwrap();
    wait_until_older(&client, 2 * SHORT);
    let pending = client.status().pending_bytes;
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| client.wait_enqueued_messages_sent_timeout(PATIENCE));
        stage.platform.accept_connections(true).unwrap();
        let waited = waits.join().unwrap();
        assert!(matches!(waited, Err(Error::Expired)), "{waited:?}");
    });
    assert_eq!(stage.received(), ["kept", "never too old"]);
    let status = client.status();
    assert_eq!((status.expired_messages, status.pending_messages), (700, 0));
    assert!(pending > 0 && status.pending_bytes == 0);
    assert_eq!((status.dropped_messages, status.set_aside_messages), (0, 0));
    // All is well again.
    let fresh = short_lived(&client, Duration::from_secs(3600));
    fresh.send_message_timeout("fresh", PATIENCE).unwrap();
}

#[test]
fn what_an_earlier_run_stored_expires_too_and_who_sends_is_told() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    short_lived(&client, SHORT)
        .enqueue_message("stale")
        .unwrap();
    sender(&client).enqueue_message("kept").unwrap();
    client.close();

    let client = stage.start();
    wait_until_older(&client, 2 * SHORT);
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| {
            let sender = short_lived(&client, Duration::from_millis(1));
            sender.send_message_timeout("too old at once", PATIENCE)
        });
        eventually("it waits", || client.pending_messages_count() == 3);
        wait_until_older(&client, 4 * SHORT);
        stage.platform.accept_connections(true).unwrap();
        let sent = sends.join().unwrap();
        assert!(matches!(sent, Err(Error::Expired)), "{sent:?}");
    });
    assert_eq!(stage.received(), ["kept"]);
    assert_eq!(client.status().expired_messages, 2);
}

#[test]
fn what_is_in_flight_never_expires() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    short_lived(&client, Duration::from_secs(1))
        .enqueue_message("in flight")
        .unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    wait_until_older(&client, Duration::from_secs(1));
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(client.status().expired_messages, 0);
}

#[test]
fn the_time_to_live_does_not_go_on_the_wire() {
    let stage = Stage::new();
    let client = stage.start();
    for options in [
        SenderOptions::new(),
        SenderOptions::new().time_to_live(Duration::from_secs(600)),
    ] {
        let sender = client.create_stream_sender_with("group", "stream", options);
        sender.unwrap().send_message("text").unwrap();
    }
    let messages = stage.platform.messages();
    assert_eq!(messages[0].properties, messages[1].properties);
}
