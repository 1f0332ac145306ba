//! Device-to-cloud Messages: recorded as they came, acknowledged in order.

mod support;

use std::time::Duration;

use rumqttc::mqttbytes::v4::Packet;
use spotflow_emulator::Platform;
use support::{Client, DEADLINE, device};

#[test]
fn a_message_is_recorded_decoded_and_acknowledged() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut client, session_present) = Client::connect(&platform, &credentials);
    assert!(!session_present);

    let topic = credentials.events("stream-group-name=g%20g&stream-name=s&batch-id=b&message-id=m");
    client.deliver(&topic, 7, b"hello");

    let messages = platform.wait_for_messages(1, DEADLINE).unwrap();
    let message = &messages[0];
    assert_eq!(
        (
            message.device_id.as_str(),
            message.connection,
            message.sequence
        ),
        ("dev-1", 1, 1)
    );
    assert_eq!(message.stream_group.as_deref(), Some("g g"));
    assert_eq!(message.batch_id.as_deref(), Some("b"));
    assert_eq!(message.text(), "hello");
    assert_eq!(
        (message.packet_id, message.dup, message.repeat),
        (Some(7), false, false)
    );
    assert!(message.acknowledged_at.is_some());
    assert_eq!(message.topic, topic);
}

#[test]
fn only_a_message_directly_after_its_like_is_a_repeat() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    let topic = credentials.events("batch-id=b");
    for (packet_id, payload) in [(1, b"a"), (2, b"a"), (3, b"b"), (4, b"a")] {
        client.deliver(&topic, packet_id, payload);
    }
    client.deliver(&credentials.events("batch-id=c"), 5, b"a");
    let repeats: Vec<bool> = platform
        .messages()
        .iter()
        .map(|message| message.repeat)
        .collect();
    assert_eq!(repeats, [false, true, false, false, false]);
    assert_eq!(platform.distinct_messages().len(), 4);
    assert_eq!(
        (platform.received_count(), platform.distinct_count()),
        (5, 4)
    );

    platform.clear_messages();
    platform.record_payloads(false);
    client.deliver(&credentials.events("batch-id=d"), 6, b"not kept");
    let messages = platform.messages();
    assert_eq!((messages.len(), messages[0].sequence), (1, 6));
    assert_eq!(messages[0].batch_id.as_deref(), Some("d"));
    assert!(messages[0].payload.is_empty());
    assert!(messages[0].acknowledged_at.is_some());
}

#[test]
fn messages_are_told_apart_by_device_and_connection() {
    let platform = Platform::start().unwrap();
    let one = device(&platform, "dev-1");
    let two = device(&platform, "dev-2");
    let (mut first, _) = Client::connect(&platform, &one);
    let (mut second, _) = Client::connect(&platform, &two);
    first.deliver(&one.events(""), 1, b"from one");
    second.deliver(&two.events(""), 1, b"from two");
    first.send(&Packet::Disconnect);
    platform
        .wait_for_connected("dev-1", false, DEADLINE)
        .unwrap();
    let (mut first, _) = Client::connect(&platform, &one);
    first.deliver(&one.events(""), 2, b"one again");

    let of_one = platform.messages_of("dev-1");
    let seen: Vec<_> = of_one.iter().map(|m| (m.connection, m.text())).collect();
    assert_eq!(
        seen,
        [(1, "from one".to_owned()), (3, "one again".to_owned())]
    );
    assert_eq!(platform.messages_of(&two.hub_id).len(), 1);
    assert_eq!(platform.messages_of("nobody").len(), 0);
    assert_eq!(platform.connections()[0].end.as_deref(), Some("DISCONNECT"));
}

#[test]
fn completions_and_compressed_content_are_understood() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    let plain = "temperature ".repeat(100);
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut plain.as_bytes(), &mut packed, &Default::default()).unwrap();
    client.deliver(
        &credentials.events("batch-id=b&content-encoding=br"),
        1,
        &packed,
    );
    client.deliver(
        &credentials.events("batch-id=b&complete-batch=true&ignore-payload=true"),
        2,
        b"",
    );
    client.deliver(
        &credentials.events("batch-id=b&message-id=m&complete-message=true&ignore-payload=true"),
        3,
        b"",
    );
    client.deliver(&credentials.events("content-encoding=br"), 4, b"no brotli");

    let messages = platform.messages();
    assert_eq!(
        (messages[0].text(), &messages[0].raw_payload),
        (plain, &packed)
    );
    assert!(messages[1].completes_batch() && !messages[1].completes_message());
    assert!(messages[2].completes_message() && !messages[2].completes_batch());
    assert!(messages[3].payload_error.is_some());
}

#[test]
fn waiting_ends_with_the_time() {
    let platform = Platform::start().unwrap();
    let error = platform
        .wait_for_messages(1, Duration::from_millis(1))
        .unwrap_err();
    assert!(
        error.to_string().contains("1 Messages; there were 0"),
        "{error}"
    );
    assert!(platform.wait_for_operation(Duration::ZERO).is_err());
    assert!(
        platform
            .wait_for_connected("dev-1", true, Duration::ZERO)
            .is_err()
    );
}
