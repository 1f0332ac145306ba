//! IoT Hub's manners: who may connect, what closes a connection, what a session keeps.

mod support;

use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Login, Packet, SubscribeReasonCode};
use spotflow_emulator::{Direction, PacketKind, Platform};
use support::{Client, Credentials, DEADLINE, device, publish};

fn end_of(platform: &Platform, number: usize) -> String {
    let connections = platform.connections();
    connections[number - 1].end.clone().unwrap_or_default()
}

/// Connects, sends, and returns why the hub closed.
fn offence(send: impl FnOnce(&mut Client, &Credentials)) -> String {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    send(&mut client, &credentials);
    assert_eq!(client.until_closed(), []);
    platform
        .wait_for_connected("dev-1", false, DEADLINE)
        .unwrap();
    assert_eq!(platform.received_count(), 0);
    wait_for_end(&platform, 1)
}

fn wait_for_end(platform: &Platform, number: usize) -> String {
    let (mut seen, mut end) = (0, end_of(platform, number));
    while end.is_empty() {
        let (events, happened) = platform.wait_for_events(seen, DEADLINE);
        assert!(!events.is_empty(), "connection {number} does not end");
        seen = happened;
        end = end_of(platform, number);
    }
    end
}

#[test]
fn credentials_are_checked() {
    let platform = Platform::start().unwrap();
    let good = device(&platform, "dev-1");
    let other = device(&platform, "dev-2");
    let user = good.connect().login.unwrap().username;
    let code = |change: &dyn Fn(&mut rumqttc::mqttbytes::v4::Connect)| {
        let mut connect = good.connect();
        change(&mut connect);
        let (mut client, code, present) = Client::connect_with(&platform, connect);
        assert!(!present);
        assert_eq!(client.until_closed(), []);
        code
    };
    let login = |user: &str, sas: &str| Some(Login::new(user, sas));
    assert_eq!(code(&|connect| connect.login = login(&user, &other.sas)), 5);
    assert_eq!(code(&|connect| connect.login = login(&user, "nonsense")), 5);
    assert_eq!(
        code(&|connect| connect.login = login("nonsense", &good.sas)),
        4
    );
    assert_eq!(code(&|connect| connect.login = None), 4);
    assert_eq!(
        code(&|connect| connect.client_id = "ws:unknown".to_owned()),
        5
    );
    assert_eq!(code(&|connect| connect.client_id = other.hub_id.clone()), 4);
    assert_eq!(platform.connection_count(), 6);
    assert!(
        platform
            .connections()
            .iter()
            .all(|connection| connection.code != 0)
    );

    let (_client, code, _) = Client::connect_with(&platform, good.connect());
    assert_eq!(code, 0);
    let connection = &platform.connections()[6];
    assert_eq!(
        (connection.keep_alive, connection.clean_session),
        (300, false)
    );
    assert_eq!(connection.user_name.as_deref(), Some(user.as_str()));
}

#[test]
fn mqtt_5_is_refused() {
    let platform = Platform::start().unwrap();
    let mut client = Client::open(&platform, &platform.hub_host_name()).unwrap();
    client
        .send_bytes(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03dev")
        .unwrap();
    assert_eq!(client.connack(), (1, false));
    assert_eq!(client.until_closed(), []);
}

#[test]
fn what_the_hub_does_not_know_closes_the_connection() {
    let reason = offence(|client, credentials| {
        let mut publish = publish(&credentials.events(""), 1, b"");
        publish.qos = QoS::ExactlyOnce;
        client.send(&Packet::Publish(publish));
    });
    assert_eq!(reason, "a publish with QoS 2");
    let reason = offence(|client, credentials| {
        let mut publish = publish(&credentials.events(""), 1, b"");
        publish.retain = true;
        client.send(&Packet::Publish(publish));
    });
    assert_eq!(reason, "a retained publish");
    let reason = offence(|client, _| client.publish("somewhere/else", 1, b""));
    assert!(reason.contains("somewhere/else"), "{reason}");
    let reason = offence(|client, credentials| {
        client.publish(&credentials.events("").replace("dev-1", "dev-2"), 1, b"");
    });
    assert!(reason.contains("dev-2"), "{reason}");
    let reason =
        offence(|client, credentials| client.send(&Packet::Connect(credentials.connect())));
    assert_eq!(reason, "a second CONNECT");
    let reason = offence(|client, _| client.send_bytes(b"\xf0\x00").unwrap());
    assert!(reason.contains("not MQTT"), "{reason}");
}

#[test]
fn a_packet_above_256_kib_closes_the_connection() {
    let reason = offence(|client, credentials| {
        // The hub may close before all is written.
        let mut bytes = bytes::BytesMut::new();
        let large = publish(&credentials.events(""), 1, &vec![0; 256 * 1024]);
        Packet::Publish(large)
            .write(&mut bytes, usize::MAX)
            .unwrap();
        let _ = client.send_bytes(&bytes[..100]);
    });
    assert!(reason.contains("not MQTT"), "{reason}");

    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    let topic = credentials.events("");
    let payload = vec![7; 256 * 1024 - topic.len() - 4];
    client.deliver(&topic, 1, &payload);
    assert_eq!(platform.messages()[0].payload, payload);
}

#[test]
fn a_newer_connection_of_a_device_closes_the_older() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut older, _) = Client::connect(&platform, &credentials);
    let (mut newer, session_present) = Client::connect(&platform, &credentials);
    assert!(session_present);
    assert_eq!(older.until_closed(), []);
    assert!(platform.connected("dev-1"));
    newer.deliver(&credentials.events(""), 1, b"still there");
    assert_eq!(
        wait_for_end(&platform, 1),
        "a newer connection of the same device"
    );
    assert!(platform.connected("dev-1"));
}

#[test]
fn a_session_keeps_its_subscriptions_unless_it_is_to_be_clean() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let filter = "$iothub/twin/res/#";
    let reconnect = |client: Client, clean: bool| {
        drop(client);
        platform
            .wait_for_connected("dev-1", false, DEADLINE)
            .unwrap();
        let mut connect = credentials.connect();
        connect.clean_session = clean;
        let (client, code, present) = Client::connect_with(&platform, connect);
        assert_eq!(code, 0);
        (client, present)
    };

    let (mut client, present) = Client::connect(&platform, &credentials);
    assert!(!present);
    let granted = client.subscribe(filter, QoS::ExactlyOnce);
    assert_eq!(granted, SubscribeReasonCode::Success(QoS::AtLeastOnce));
    assert_eq!(
        client.subscribe("some/filter", QoS::AtMostOnce),
        SubscribeReasonCode::Failure
    );
    assert_eq!(platform.subscriptions("dev-1"), [filter]);

    let (client, present) = reconnect(client, false);
    assert!(present);
    assert_eq!(platform.subscriptions("dev-1"), [filter]);
    let (mut client, present) = reconnect(client, true);
    assert!(!present);
    assert_eq!(platform.subscriptions("dev-1"), [] as [&str; 0]);
    client.subscribe(filter, QoS::AtMostOnce);
    client.unsubscribe(filter);
    assert_eq!(platform.subscriptions("dev-1"), [] as [&str; 0]);
    client.subscribe(filter, QoS::AtMostOnce);
    let (client, present) = reconnect(client, false);
    assert!(!present, "a clean session does not outlive its connection");

    platform.forget_sessions();
    let (_client, present) = reconnect(client, false);
    assert!(!present);
}

#[test]
fn keep_alive_is_enforced() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let mut connect = credentials.connect();
    connect.keep_alive = 1;
    let (mut client, _, _) = Client::connect_with(&platform, connect);
    client.send(&Packet::PingReq);
    assert_eq!(client.receive(), Packet::PingResp);
    assert_eq!(client.until_closed(), []);
    assert!(wait_for_end(&platform, 1).contains("keep-alives"));
}

#[test]
fn a_connection_ends_with_its_sas() {
    let platform = Platform::builder()
        .sas_lifetime(Duration::from_secs(1))
        .start()
        .unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    assert_eq!(client.until_closed(), []);
    assert_eq!(wait_for_end(&platform, 1), "the SAS expired");
    assert_eq!(Client::connect_with(&platform, credentials.connect()).1, 5);

    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    platform.expire_sas("dev-1").unwrap();
    assert_eq!(client.until_closed(), []);
    assert_eq!(Client::connect_with(&platform, credentials.connect()).1, 5);
}

#[test]
fn packets_are_logged_for_assertions() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    client.deliver(&credentials.events(""), 9, b"12345");
    let packets = platform.packets("dev-1");
    let kinds: Vec<_> = packets
        .iter()
        .map(|packet| (packet.direction, packet.kind))
        .collect();
    use Direction::{FromDevice, ToDevice};
    assert_eq!(
        kinds,
        [
            (FromDevice, PacketKind::Connect),
            (ToDevice, PacketKind::ConnAck),
            (FromDevice, PacketKind::Publish),
            (ToDevice, PacketKind::PubAck),
        ]
    );
    assert_eq!(
        (packets[2].packet_id, packets[2].payload_bytes),
        (Some(9), 5)
    );
}

#[test]
fn nonsense_harms_nobody() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let host = platform.hub_host_name();
    for nonsense in [
        &b"\x10\xff\xff\xff\xff\xff"[..],
        b"\x10\x00",
        b"\x10\x02\x00\x00",
        b"\x10\x0c\x00\x04MQTT\x04\xff\x00\x3c\x00\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"POST /devices/register HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ] {
        let mut client = Client::open(&platform, &host).unwrap();
        let _ = client.send_bytes(nonsense);
    }
    // Not even TLS.
    std::io::Write::write_all(
        &mut std::net::TcpStream::connect(host).unwrap(),
        b"nonsense",
    )
    .unwrap();
    let (mut client, _) = Client::connect(&platform, &credentials);
    client.deliver(&credentials.events(""), 1, b"all is well");
}
