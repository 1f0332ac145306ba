//! What comes from the hub, in any pieces and of any kind.

use super::*;

#[test]
fn what_only_clients_send_ends_the_connection() {
    let packets = [
        Packet::PingReq,
        Packet::Disconnect,
        Packet::Connect(Connect::new("x")),
        Packet::Unsubscribe(Unsubscribe::new("x")),
    ];
    for packet in packets {
        assert!(receive(&mut quiet(), packet).is_err());
    }
    assert!(
        receive(&mut quiet(), connack(false)).is_err(),
        "a second CONNACK"
    );
    let mut session = session_with(InFlight::default(), false);
    assert!(
        receive(&mut session, Packet::PingResp).is_err(),
        "before CONNACK"
    );
}

#[test]
fn packets_may_come_in_any_pieces() {
    let mut bytes = BytesMut::new();
    connack(false).write(&mut bytes, MAX_PACKET_BYTES).unwrap();
    let topic = "$iothub/twin/PATCH/properties/desired/?$version=2";
    let publish = Publish::new(topic, QoS::AtMostOnce, "{}");
    Packet::Publish(publish)
        .write(&mut bytes, MAX_PACKET_BYTES)
        .unwrap();
    let mut session = session_with(InFlight::default(), false);
    for byte in bytes {
        session.receive(&[byte], Moment::START).unwrap();
    }
    assert_eq!(session.next_event(), Some(Event::Connected));
    assert!(matches!(session.next_event(), Some(Event::DesiredPatch(_))));
}

#[test]
fn no_bytes_from_the_hub_make_it_panic() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    let topics = [
        "$iothub/twin/res/200/?$rid=1",
        "$iothub/twin/PATCH/properties/desired/?$version=2",
        "devices/ws:dev/messages/devicebound/a=b",
        "x",
    ];
    for _ in 0..100_000 {
        let mut bytes = BytesMut::new();
        connack(random.bool())
            .write(&mut bytes, MAX_PACKET_BYTES)
            .unwrap();
        for _ in 0..random.usize(0..4) {
            let mut publish = Publish::new(
                *random.choice(&topics).unwrap(),
                QoS::AtLeastOnce,
                vec![b'{'; 5],
            );
            publish.pkid = random.u16(1..);
            let packet = match random.u8(0..4) {
                0 => Packet::Publish(publish),
                1 => Packet::PubAck(PubAck::new(random.u16(..))),
                2 => Packet::SubAck(rumqttc::mqttbytes::v4::SubAck::new(
                    random.u16(..),
                    vec![SubscribeReasonCode::Failure],
                )),
                _ => Packet::PingResp,
            };
            packet.write(&mut bytes, MAX_PACKET_BYTES).unwrap();
        }
        for _ in 0..random.usize(0..4) {
            let at = random.usize(..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.extend([random.u8(..), random.u8(..)]),
            }
        }
        let mut session = session_with(InFlight::default(), true);
        for piece in bytes.chunks(random.usize(1..64)) {
            if session.receive(piece, Moment::START).is_err() {
                break;
            }
        }
        while session.next_event().is_some() {}
    }
}
