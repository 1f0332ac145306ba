//! MQTT over WebSocket: the same hub, in frames.

mod support;

use std::num::NonZeroUsize;

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Subscribe};
use spotflow_emulator::{Platform, Route, Transport};
use support::socket::{BINARY, CLOSE, CONTINUE, PING, PONG, Socket, TEXT};
use support::{Client, Credentials, DEADLINE, device, publish};

const PATH: &str = "$iothub/websocket?iothub-no-client-cert=true";
const MQTT: [(&str, &str); 1] = [("sec-websocket-protocol", "mqtt")];

fn uri(platform: &Platform) -> String {
    format!("wss://{}/{PATH}", platform.hub_host_name())
}

fn bytes(packets: &[Packet]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for packet in packets {
        packet.write(&mut bytes, 1024 * 1024).unwrap();
    }
    bytes.to_vec()
}

/// A connected device.
fn connected(platform: &Platform) -> (Socket, Credentials) {
    let credentials = device(platform, "dev-1");
    let mut socket = Socket::open(platform, &uri(platform), &MQTT).unwrap();
    socket.send(BINARY, &bytes(&[Packet::Connect(credentials.connect())]));
    let (opcode, connack) = socket.receive();
    assert_eq!(
        (opcode, &connack[..2], connack[3]),
        (BINARY, &[0x20, 2][..], 0)
    );
    (socket, credentials)
}

fn puback(packet_id: u8) -> Vec<u8> {
    vec![0x40, 2, 0, packet_id]
}

#[test]
fn a_message_arrives_and_the_connection_tells_what_it_came_over() {
    let platform = Platform::start().unwrap();
    let (mut socket, credentials) = connected(&platform);
    let message = Packet::Publish(publish(&credentials.events("batch-id=b"), 1, b"hello"));
    socket.send(BINARY, &bytes(&[message]));
    assert_eq!(socket.receive(), (BINARY, puback(1)));
    let [message] = platform.messages().try_into().unwrap();
    assert_eq!(
        (message.text().as_str(), message.batch_id.as_deref()),
        ("hello", Some("b"))
    );
    let (_plain, session_present) = Client::connect(&platform, &credentials);
    assert!(session_present, "it is the same session");
    assert!(socket.next().is_err(), "one connection per device");
    let transports: Vec<_> = platform.connections().iter().map(|c| c.transport).collect();
    assert_eq!(transports, [Transport::WebSocket, Transport::Mqtt]);
    assert_eq!(platform.http_request_count(Route::HubWebSocket), 1);
}

#[test]
fn packets_span_frames_and_frames_hold_packets() {
    let platform = Platform::start().unwrap();
    let (mut socket, credentials) = connected(&platform);
    let message = |id: u16| Packet::Publish(publish(&credentials.events(""), id, &[id as u8; 300]));
    let all = bytes(&[message(1), message(2), Packet::PingReq]);
    for piece in all.chunks(7) {
        socket.send(BINARY, piece);
    }
    let expected = [puback(1), puback(2), vec![0xd0, 0]].concat();
    assert_eq!(socket.receive_content(expected.len()), expected);
    let (first, rest) = all.split_at(100);
    socket.send_piece(BINARY, first, false);
    socket.send_piece(CONTINUE, rest, true);
    assert_eq!(socket.receive_content(expected.len()), expected);
    socket.send(BINARY, &all);
    assert_eq!(socket.receive(), (BINARY, expected.clone()), "one frame");

    platform.websocket_frame_bytes(NonZeroUsize::new(3));
    socket.send(BINARY, &all);
    let frames = [3, 3, 3, 1].map(|_| socket.receive().1.len());
    assert_eq!(frames, [3, 3, 3, 1]);
}

#[test]
fn pings_of_both_kinds_are_answered() {
    let platform = Platform::start().unwrap();
    let (mut socket, _) = connected(&platform);
    socket.send(PING, b"alive?");
    assert_eq!(socket.receive(), (PONG, b"alive?".to_vec()));
    socket.send(BINARY, &[0xc0, 0]);
    assert_eq!(socket.receive(), (BINARY, vec![0xd0, 0]));
}

#[test]
fn the_upgrade_has_to_be_right() {
    let platform = Platform::start().unwrap();
    let open = |path: &str, headers: &[(&str, &str)]| {
        let uri = format!("wss://{}/{path}", platform.hub_host_name());
        Socket::open(&platform, &uri, headers).err()
    };
    assert_eq!(open(PATH, &[]), Some(400));
    assert_eq!(open(PATH, &[("sec-websocket-protocol", "amqp")]), Some(400));
    assert_eq!(open("$iothub/elsewhere", &MQTT), Some(404));
    assert_eq!(open("$iothub/websocket", &MQTT), None);
    assert_eq!(open(PATH, &MQTT), None);
    let queries: Vec<_> = platform
        .http_requests()
        .into_iter()
        .map(|r| r.query)
        .collect();
    assert_eq!(
        queries[queries.len() - 2..],
        [None, Some("iothub-no-client-cert=true".to_owned())]
    );
    let url = uri(&platform).replace("wss:", "https:");
    assert_eq!(
        support::call(&platform, "GET", &url, &MQTT, b"").status,
        426
    );
}

#[test]
fn the_hubs_manners_hold() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let mut socket = Socket::open(&platform, &uri(&platform), &MQTT).unwrap();
    let mut connect = credentials.connect();
    connect.set_login("nobody", "nothing");
    socket.send(BINARY, &bytes(&[Packet::Connect(connect)]));
    assert_eq!(socket.receive(), (BINARY, vec![0x20, 2, 0, 4]));
    assert!(socket.next().is_err());

    let (mut socket, _) = connected(&platform);
    socket.send(
        BINARY,
        &bytes(&[Packet::Publish(publish("elsewhere", 1, b""))]),
    );
    assert!(socket.next().is_err());
    let (mut socket, _) = connected(&platform);
    socket.send(TEXT, b"text");
    assert_eq!(socket.receive(), (CLOSE, vec![]));
    let (mut socket, _) = connected(&platform);
    socket.send(CLOSE, &1000u16.to_be_bytes());
    assert_eq!(socket.receive(), (CLOSE, vec![]));
    assert!(socket.next().is_err());
    platform
        .wait_for_connected("dev-1", false, DEADLINE)
        .unwrap();
}

#[test]
fn a_device_that_does_not_read_is_closed_all_the_same() {
    let platform = Platform::start().unwrap();
    let (mut socket, _) = connected(&platform);
    let mut subscribe = Subscribe::new("$iothub/twin/res/#", QoS::AtMostOnce);
    subscribe.pkid = 1;
    socket.send(BINARY, &bytes(&[Packet::Subscribe(subscribe)]));
    assert_eq!(socket.receive().0, BINARY);
    let big: std::collections::BTreeMap<_, _> =
        (0..7).map(|i| (i.to_string(), "x".repeat(4000))).collect();
    let big = serde_json::json!(big);
    platform.set_desired("dev-1", &big).unwrap();
    // Requests whose answers are far more than the sockets' buffers hold.
    let reads: Vec<Packet> = (0..1000)
        .map(|_| Packet::Publish(publish("$iothub/twin/GET/?$rid=1", 1, b"")))
        .collect();
    socket.send(BINARY, &bytes(&reads));
    platform.close_connections();
    platform
        .wait_for_connected("dev-1", false, DEADLINE)
        .unwrap();
    while socket.next().is_ok() {}
}

#[test]
fn the_hubs_faults_reach_it() {
    let platform = Platform::start().unwrap();
    let (mut socket, credentials) = connected(&platform);
    platform.go_silent(true);
    let message = bytes(&[Packet::Publish(publish(&credentials.events(""), 1, b"x"))]);
    socket.send(BINARY, &message);
    let patience = Some(std::time::Duration::from_millis(100));
    socket.stream().sock.set_read_timeout(patience).unwrap();
    assert!(matches!(socket.next(), Err(tungstenite::Error::Io(_))));
    socket
        .stream()
        .sock
        .set_read_timeout(Some(DEADLINE))
        .unwrap();
    platform.go_silent(false);
    assert_eq!(socket.receive(), (BINARY, puback(1)));
    platform.close_connections();
    assert!(socket.next().is_err());
    for status in [401, 503] {
        platform.http_status(Route::HubWebSocket, status, None, 1);
        assert_eq!(
            Socket::open(&platform, &uri(&platform), &MQTT).err(),
            Some(status)
        );
    }
}
