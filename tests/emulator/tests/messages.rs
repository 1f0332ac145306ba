//! Device-to-cloud Messages: recorded as they came, acknowledged in order.

mod support;

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
