//! The broker does wrong exactly as it is told.

mod support;

use std::time::{Duration, Instant, SystemTime};

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, PubAck};
use spotflow_emulator::{AckMode, CutPoint, Error, Platform, ServerCertificate};
use support::{Client, Credentials, DEADLINE, device};

const A_WHILE: Duration = Duration::from_millis(100);

fn connected(platform: &Platform) -> (Client, Credentials) {
    let credentials = device(platform, "dev-1");
    (Client::connect(platform, &credentials).0, credentials)
}

fn acks(packet_ids: impl IntoIterator<Item = u16>) -> Vec<Packet> {
    packet_ids
        .into_iter()
        .map(|id| Packet::PubAck(PubAck::new(id)))
        .collect()
}

#[test]
fn acknowledgements_are_withheld_and_released_in_order() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    platform.acknowledge(AckMode::Withhold);
    for packet_id in 1..=3 {
        client.publish(&credentials.events(""), packet_id, &[packet_id as u8]);
    }
    platform.wait_for_messages(3, DEADLINE).unwrap();
    client.send(&Packet::PingReq);
    assert_eq!(client.receive(), Packet::PingResp);
    assert!(
        platform
            .messages()
            .iter()
            .all(|message| message.acknowledged_at.is_none())
    );

    platform.release_acknowledgements();
    (1..=3).for_each(|packet_id| client.expect_ack(packet_id));
    client.publish(&credentials.events(""), 4, b"withheld again");
    client.send(&Packet::PingReq);
    assert_eq!(client.receive(), Packet::PingResp);
    platform.acknowledge(AckMode::Immediately);
    client.expect_ack(4);
    client.deliver(&credentials.events(""), 5, b"at once");
}

#[test]
fn acknowledgements_come_late_but_overlap() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    let delay = Duration::from_millis(200);
    platform.acknowledge(AckMode::After(delay));
    let start = Instant::now();
    (1..=20).for_each(|packet_id| client.publish(&credentials.events(""), packet_id, b"x"));
    (1..=20).for_each(|packet_id| client.expect_ack(packet_id));
    let took = start.elapsed();
    assert!(took >= delay && took < 10 * delay, "{took:?}");
    let message = &platform.messages()[0];
    assert!(message.acknowledged_at.unwrap() - message.received_at >= delay);
}

#[test]
fn a_connection_is_cut_before_or_after_an_acknowledgement() {
    for (point, acknowledged) in [(CutPoint::BeforeAck, 2), (CutPoint::AfterAck, 3)] {
        let platform = Platform::start().unwrap();
        let (mut client, credentials) = connected(&platform);
        platform.cut_after_messages(3, point);
        (1..=5).for_each(|packet_id| {
            client.publish(&credentials.events(""), packet_id, &[packet_id as u8])
        });
        assert_eq!(client.until_closed(), acks(1..=acknowledged), "{point:?}");
        platform
            .wait_for_connected("dev-1", false, DEADLINE)
            .unwrap();
        assert_eq!(platform.messages().len(), 3);

        let (mut client, _) = Client::connect(&platform, &credentials);
        client.deliver(&credentials.events(""), 1, b"cut once only");
    }
}

#[test]
fn a_cut_after_a_delayed_acknowledgement_waits_for_it() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    platform.acknowledge(AckMode::After(A_WHILE));
    platform.cut_after_messages(2, CutPoint::AfterAck);
    (1..=4).for_each(|packet_id| client.publish(&credentials.events(""), packet_id, b"x"));
    assert_eq!(client.until_closed(), acks(1..=2));
    assert_eq!(platform.received_count(), 2);
}

#[test]
fn connects_are_refused_with_any_code() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let code = || Client::connect_with(&platform, credentials.connect()).1;
    for refusal in 1..=5 {
        platform.refuse_connects(refusal, Some(2));
        assert_eq!([code(), code(), code()], [refusal, refusal, 0]);
    }
    platform.refuse_connects(3, None);
    assert_eq!([code(), code(), code()], [3, 3, 3]);
    platform.refuse_connects(0, None);
    assert_eq!(code(), 0);

    platform.close_after_connack(true);
    let (mut client, code, _) = Client::connect_with(&platform, credentials.connect());
    assert_eq!((code, client.until_closed()), (0, vec![]));
    platform.close_after_connack(false);
    let (mut client, _) = Client::connect(&platform, &credentials);
    platform.close_connections();
    assert_eq!(client.until_closed(), []);
}

#[test]
fn silence_keeps_the_socket_open_and_ends() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    platform.go_silent(true);
    client.publish(&credentials.events(""), 1, b"unheard");
    client.send(&Packet::PingReq);
    assert!(client.stays_silent(A_WHILE));
    assert_eq!(platform.received_count(), 0);
    let mut newcomer = Client::open(&platform, &platform.hub_host_name()).unwrap();
    newcomer.send(&Packet::Connect(credentials.connect()));
    assert!(newcomer.stays_silent(A_WHILE));
    assert_eq!(platform.connection_count(), 1);

    platform.go_silent(false);
    assert_eq!(newcomer.connack().0, 0);
    platform.go_silent(true);
    platform.close_connections();
    assert_eq!(newcomer.until_closed(), []);
}

#[test]
fn what_came_in_the_silence_is_answered_after_it() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    platform.go_silent(true);
    client.publish(&credentials.events(""), 1, b"unheard");
    assert!(client.stays_silent(A_WHILE));
    platform.go_silent(false);
    client.expect_ack(1);
}

#[test]
fn a_poisoned_message_closes_the_connection_each_time() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    platform.close_on_message(|message| message.text() == "poison");
    client.deliver(&credentials.events(""), 1, b"harmless");
    for _ in 0..2 {
        client.publish(&credentials.events(""), 2, b"poison");
        assert_eq!(client.until_closed(), []);
        client = Client::connect(&platform, &credentials).0;
    }
    platform.accept_all_messages();
    client.deliver(&credentials.events(""), 3, b"poison");
    assert_eq!(platform.messages().len(), 2);
}

#[test]
fn more_messages_than_the_hub_takes_close_the_connection() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    platform.throttle_messages(0.001, 2);
    (1..=3).for_each(|packet_id| client.publish(&credentials.events(""), packet_id, b"x"));
    assert_eq!(client.until_closed(), acks(1..=2));
    assert_eq!(platform.received_count(), 2);
    let (mut client, _) = Client::connect(&platform, &credentials);
    client.publish(&credentials.events(""), 3, b"x");
    assert_eq!(client.until_closed(), []);
    platform.stop_throttling();
    let (mut client, _) = Client::connect(&platform, &credentials);
    client.deliver(&credentials.events(""), 3, b"x");
    let ends: Vec<_> = platform.connections().into_iter().map(|c| c.end).collect();
    let throttled = Some("throttled".to_owned());
    assert_eq!(ends, [throttled.clone(), throttled, None]);
}

#[test]
fn bytes_and_acknowledgements_are_made_up() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = connected(&platform);
    platform
        .acknowledge_packet("dev-1", 77.try_into().unwrap())
        .unwrap();
    client.expect_ack(77);
    platform.inject_bytes("dev-1", b"\xd0\x00").unwrap();
    assert_eq!(client.receive(), Packet::PingResp);
    let nobody = platform.inject_bytes("dev-2", b"");
    assert!(matches!(nobody, Err(Error::UnknownDevice(_))));
}

#[test]
fn ports_are_closed_and_opened_again() {
    let platform = Platform::builder().own_hub_port(true).start().unwrap();
    assert_ne!(platform.instance(), platform.hub_host_name());
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    let reachable = |host: &str| Client::open(&platform, host).is_ok();
    let (api, hub) = (platform.instance(), platform.hub_host_name());

    platform.accept_hub_connections(false).unwrap();
    assert_eq!((reachable(&api), reachable(&hub)), (true, false));
    platform.accept_connections(false).unwrap();
    assert_eq!((reachable(&api), reachable(&hub)), (false, false));
    client.deliver(&credentials.events(""), 1, b"the connection stays");
    platform.accept_connections(true).unwrap();
    let (_newer, _) = Client::connect(&platform, &credentials);
    assert!(reachable(&api));
}

#[test]
fn a_stopped_platform_still_tells_what_it_recorded() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    client.deliver(&credentials.events(""), 1, b"x");
    platform.stop();
    assert_eq!(client.until_closed(), []);
    assert_eq!(platform.messages().len(), 1);
    assert!(platform.accept_connections(true).is_err());
}

#[test]
fn the_end_of_the_platform_closes_everything() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = connected(&platform);
    let (host, ca) = (platform.hub_host_name(), platform.ca_file().to_owned());
    assert!(ca.exists());
    drop(platform);
    assert_eq!(client.until_closed(), []);
    assert!(std::net::TcpStream::connect(host).is_err());
    assert!(!ca.exists());
}

#[test]
fn a_client_that_does_not_read_is_closed_all_the_same() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    client.subscribe("$iothub/twin/res/#", QoS::AtMostOnce);
    let big = serde_json::json!(
        (0..7)
            .map(|i| (i.to_string(), "x".repeat(4000)))
            .collect::<std::collections::BTreeMap<_, _>>()
    );
    platform.set_desired("dev-1", &big).unwrap();
    // Requests whose answers are far more than the sockets' buffers hold.
    for _ in 0..1000 {
        client.publish("$iothub/twin/GET/?$rid=1", 0x1234, b"");
    }
    platform.close_connections();
    platform
        .wait_for_connected("dev-1", false, DEADLINE)
        .unwrap();
    Client::connect(&platform, &credentials)
        .0
        .deliver(&credentials.events(""), 1, b"x");
}

#[test]
fn devices_that_register_are_told_the_hub_that_is_announced_and_may_use_its_name() {
    let platform = Platform::start().unwrap();
    platform.announce_hub(Some("proxy.example:1"));
    let credentials = device(&platform, "dev-1");
    assert_eq!(credentials.hub_host, "proxy.example:1");
    let (_client, code, _) = Client::connect_with(&platform, credentials.connect());
    assert_eq!(code, 0);
    platform.announce_hub(None);
    let credentials = device(&platform, "dev-2");
    assert_eq!(credentials.hub_host, platform.hub_host_name());
}

#[test]
fn ports_present_the_certificate_that_is_wanted() {
    let platform = Platform::start().unwrap();
    let hub = platform.hub_host_name();
    let (mut standing, credentials) = connected(&platform);
    let handshake = |platform: &Platform| {
        let client = Client::open(platform, &hub).unwrap();
        let mut stream = client.into_stream();
        stream.conn.complete_io(&mut stream.sock).map(drop)
    };
    assert!(handshake(&platform).is_ok());
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    for (kind, told) in [
        (ServerCertificate::Expired, "expired"),
        (ServerCertificate::ValidFrom(now + hour), "not valid yet"),
        (ServerCertificate::OtherName, "not valid for name"),
        (ServerCertificate::UnknownAuthority, "BadSignature"),
        (
            ServerCertificate::OtherAuthority("A proxy's CA"),
            "UnknownIssuer",
        ),
        (ServerCertificate::SelfSigned, "UnknownIssuer"),
    ] {
        platform.present_certificate(kind).unwrap();
        let error = handshake(&platform).unwrap_err().to_string();
        assert!(error.contains(told), "{kind:?}: {error}");
    }
    for kind in [
        ServerCertificate::ValidFrom(now - hour),
        ServerCertificate::Valid,
    ] {
        platform.present_certificate(kind).unwrap();
        assert!(handshake(&platform).is_ok(), "{kind:?}");
    }
    standing.deliver(&credentials.events(""), 1, b"the connection stays");
}
