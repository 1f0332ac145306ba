//! MQTT packets in: streams that a hub could send, and damaged ones.

use rumqttc::mqttbytes::v4::{ConnectReturnCode, PubAck, PubRec, SubAck, UnsubAck};
use spotflow_fuzz::{Choices, fuzz};

use super::tests::{connected, device, message, sent, session_with};
use super::*;

/// How much of a stream comes at once, at most: what the transport reads.
const READ_BYTES: usize = 4096;

/// What came of a stream.
#[derive(Debug, PartialEq)]
struct StreamOutcome {
    events: Vec<Event>,
    output: Vec<u8>,
    /// Bytes of a packet that is not complete.
    left: usize,
    connected: bool,
    failure: Option<String>,
}

/// A session that has Messages in flight with the packet ids 1 to `in_flight`.
fn session(in_flight: u16, cloud_messages: bool) -> Session {
    let mut window = InFlight::default();
    (1..=in_flight).for_each(|id| window.take_in(id, message(id.into())));
    let mut session = session_with(window, cloud_messages);
    for place in 0..in_flight.into() {
        session.send(place).unwrap();
    }
    sent(&mut session);
    session
}

fn outcome_of(mut session: Session, parts: &[&[u8]]) -> StreamOutcome {
    let mut fed = 0;
    let mut failure = None;
    for part in parts {
        fed += part.len();
        if let Err(error) = session.receive(part, Moment::START) {
            failure = Some(error.to_string());
            break;
        }
        // What a packet claims to be long allocates nothing; what came is never kept for long.
        assert!(session.input.len() <= MAX_PACKET_BYTES + READ_BYTES);
        assert!(
            session.input.capacity() <= 2 * (fed + READ_BYTES),
            "{fed} bytes came"
        );
    }
    let mut events = Vec::new();
    while let Some(event) = session.next_event() {
        events.push(event);
    }
    assert!(events.len() <= fed / 2, "more events than packets");
    StreamOutcome {
        events,
        left: if failure.is_some() {
            0
        } else {
            session.input.len()
        },
        connected: session.connected,
        output: session.output().to_vec(),
        failure,
    }
}

fn topic(choices: &mut Choices<'_>) -> String {
    match choices.byte() % 6 {
        0 => "$iothub/twin/res/200/?$rid=1".to_owned(),
        1 => format!(
            "$iothub/twin/res/{}/?$rid={}&$version={}",
            choices.u16(),
            choices.u32(),
            choices.u64()
        ),
        2 => "$iothub/twin/PATCH/properties/desired/?$version=2".to_owned(),
        3 => "devices/ws:dev/messages/devicebound/%24.mid=1&a=b".to_owned(),
        4 => choices.damaged_text("devices/ws:dev/messages/devicebound/a=b"),
        _ => choices.damaged_text("$iothub/twin/res/204/?$rid=7&$version=12"),
    }
}

fn packet(choices: &mut Choices<'_>) -> Packet {
    let id = choices.pick(&[1, 2, 3, 4, u16::MAX]);
    match choices.byte() % 16 {
        0..=3 => Packet::PubAck(PubAck::new(id)),
        4..=9 => {
            let qos = choices.pick(&[
                QoS::AtMostOnce,
                QoS::AtLeastOnce,
                QoS::AtLeastOnce,
                QoS::AtLeastOnce,
            ]);
            let count = choices.below(20);
            let mut publish = Publish::new(topic(choices), qos, choices.raw(count));
            publish.pkid = if qos == QoS::AtMostOnce { 0 } else { id };
            publish.dup = choices.bool();
            publish.retain = choices.bool();
            Packet::Publish(publish)
        }
        10 => {
            let code = choices.pick(&[
                SubscribeReasonCode::Success(QoS::AtLeastOnce),
                SubscribeReasonCode::Failure,
            ]);
            Packet::SubAck(SubAck::new(id, vec![code; 1 + choices.below(3)]))
        }
        11 => Packet::UnsubAck(UnsubAck::new(id)),
        12 | 13 => Packet::PingResp,
        14 => Packet::PubRec(PubRec::new(id)),
        _ => connack(choices),
    }
}

fn connack(choices: &mut Choices<'_>) -> Packet {
    let code = if choices.one_in(16) {
        choices.pick(&[
            ConnectReturnCode::RefusedProtocolVersion,
            ConnectReturnCode::BadClientId,
            ConnectReturnCode::ServiceUnavailable,
            ConnectReturnCode::BadUserNamePassword,
            ConnectReturnCode::NotAuthorized,
        ])
    } else {
        ConnectReturnCode::Success
    };
    Packet::ConnAck(ConnAck::new(code, choices.bool()))
}

/// A stream that begins as it should, most often; with lengths that nothing follows, once in a while.
fn stream(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    if !choices.one_in(16) {
        connack(choices)
            .write(&mut bytes, MAX_PACKET_BYTES)
            .unwrap();
    }
    for _ in 0..choices.below(6) {
        packet(choices).write(&mut bytes, MAX_PACKET_BYTES).unwrap();
    }
    let mut bytes = bytes.to_vec();
    if choices.one_in(4) {
        let header = choices.pick(&[0x30, 0x32, 0x34, 0x36, 0x3f, 0x20, 0x40, 0x90, 0xb0, 0xd0]);
        let lengths: [&[u8]; 7] = [
            &[0x00],
            &[0x01],
            &[0x02],
            &[0xff, 0xff, 0x0f],
            &[0xff, 0xff, 0xff, 0x7f],
            &[0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x80, 0x80, 0x80, 0x00],
        ];
        bytes.push(header);
        bytes.extend_from_slice(choices.pick(&lengths));
        let count = choices.below(8);
        bytes.extend(choices.raw(count));
    }
    choices.damage(&mut bytes);
    bytes
}

#[test]
fn a_stream_means_the_same_however_it_is_split() {
    fuzz("MQTT packets", |choices| {
        let (in_flight, cloud_messages) = (choices.u16() % 4, choices.bool());
        let bytes = stream(choices);
        let whole = outcome_of(session(in_flight, cloud_messages), &[&bytes]);
        let parts = choices.split(&bytes);
        let split = outcome_of(session(in_flight, cloud_messages), &parts);
        assert_eq!(whole, split, "{bytes:02x?} in {} parts", parts.len());
        // A Message is acknowledged once at most.
        let mut acknowledged = Vec::new();
        for event in &whole.events {
            if let Event::Acknowledged(id) = event {
                assert!(!acknowledged.contains(id), "{bytes:02x?}");
                acknowledged.push(*id);
            }
        }
        assert!(acknowledged.len() <= in_flight.into());
    });
}

#[test]
fn every_packet_that_a_hub_may_send_becomes_its_event() {
    fuzz("MQTT conversations", |choices| {
        let mut bytes = BytesMut::new();
        let mut expected = Vec::new();
        let mut unacknowledged = vec![1_u16, 2, 3];
        let mut receipts = Vec::new();
        for _ in 0..choices.below(8) {
            let qos = choices.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce]);
            let packet_id = 1 + choices.u16() % u16::MAX;
            let count = choices.below(300);
            let payload = Bytes::from(choices.raw(count));
            let (topic, event) = match choices.byte() % 5 {
                0 => {
                    let id = choices.pick(&[1, 2, 3, 9]);
                    if let Some(place) = unacknowledged.iter().position(|it| *it == id) {
                        unacknowledged.remove(place);
                        expected.push(Event::Acknowledged(id.into()));
                    }
                    Packet::PubAck(PubAck::new(id))
                        .write(&mut bytes, MAX_PACKET_BYTES)
                        .unwrap();
                    continue;
                }
                1 => {
                    let (request, status) = (choices.u32(), choices.u16());
                    let version = choices.bool().then(|| choices.u64());
                    let mut topic = format!("$iothub/twin/res/{status}/?$rid={request}");
                    if let Some(version) = version {
                        topic.push_str(&format!("&$version={version}"));
                    }
                    let payload = payload.clone();
                    (
                        topic,
                        Some(Event::TwinAnswer(TwinAnswer {
                            request,
                            status,
                            version,
                            payload,
                        })),
                    )
                }
                2 => {
                    let topic = format!(
                        "$iothub/twin/PATCH/properties/desired/?$version={}",
                        choices.u64()
                    );
                    (topic, Some(Event::DesiredPatch(payload.clone())))
                }
                3 => {
                    let properties = choices.text().replace(['\0', '#', '+'], "");
                    let topic = format!("devices/ws:dev/messages/devicebound/{properties}");
                    let event = Event::CloudMessage {
                        packet_id,
                        properties,
                        payload: payload.clone(),
                    };
                    // One that cannot be acknowledged is not kept.
                    (topic, (qos == QoS::AtLeastOnce).then_some(event))
                }
                _ => ("devices/ws:dev2/messages/devicebound/a=b".to_owned(), None),
            };
            let is_cloud_message = topic.starts_with("devices/ws:dev/");
            let mut publish = Publish::from_bytes(topic, qos, payload);
            if qos == QoS::AtLeastOnce {
                publish.pkid = packet_id;
                if !is_cloud_message {
                    receipts.push(packet_id);
                }
            }
            Packet::Publish(publish)
                .write(&mut bytes, MAX_PACKET_BYTES)
                .unwrap();
            expected.extend(event);
        }
        let mut session = connected_with_three_in_flight();
        for part in choices.split(&bytes) {
            session.receive(part, Moment::START).unwrap();
        }
        let mut events = Vec::new();
        while let Some(event) = session.next_event() {
            events.push(event);
        }
        assert_eq!(events, expected);
        let written: Vec<u16> = sent(&mut session)
            .into_iter()
            .map(|packet| match packet {
                Packet::PubAck(receipt) => receipt.pkid,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(written, receipts);
    });
}

fn connected_with_three_in_flight() -> Session {
    let mut session = connected(InFlight::default(), false);
    sent(&mut session);
    session.in_flight = InFlight::default();
    for id in 1..=3_u16 {
        session.in_flight.take_in(id, message(id.into()));
        session.send(usize::from(id) - 1).unwrap();
    }
    sent(&mut session);
    session
}

#[test]
fn topics_of_the_hub_are_read_as_they_were_written_and_others_are_nothing() {
    fuzz("topics", |choices| {
        let (status, request, version) = (choices.u16(), choices.u32(), choices.u64());
        let mut parameters = vec![format!("$rid={request}"), format!("$version={version}")];
        (0..choices.below(3)).for_each(|n| parameters.push(format!("x{n}={}", choices.u16())));
        let turn = choices.below(parameters.len());
        parameters.rotate_left(turn);
        let topic = format!("$iothub/twin/res/{status}/?{}", parameters.join("&"));
        let version = Some(version);
        let expected = topics::HubTopic::TwinAnswer {
            status,
            request,
            version,
        };
        assert_eq!(topics::parse(&device(), &topic), Some(expected), "{topic}");

        let damaged = if choices.bool() {
            choices.damaged_text(&topic)
        } else {
            choices.damaged_text("devices/ws:dev/messages/devicebound/a=b&c=d")
        };
        match topics::parse(&device(), &damaged) {
            Some(topics::HubTopic::TwinAnswer {
                status, request, ..
            }) => {
                // Whatever else is in it, the numbers were in it.
                assert!(damaged.starts_with("$iothub/twin/res/"));
                let rest = &damaged["$iothub/twin/res/".len()..];
                let digits = rest.split_once("/?").unwrap().0.trim_start_matches('+');
                assert_eq!(
                    digits.trim_start_matches('0'),
                    status.to_string().trim_start_matches('0')
                );
                assert!(damaged.contains(&request.to_string()));
            }
            Some(topics::HubTopic::DesiredPatch) => {
                assert!(damaged.starts_with("$iothub/twin/PATCH/"))
            }
            Some(topics::HubTopic::CloudMessage { properties }) => {
                assert_eq!(
                    damaged,
                    format!("devices/ws:dev/messages/devicebound/{properties}")
                );
            }
            Some(topics::HubTopic::MethodCall { .. }) => {
                assert!(damaged.starts_with("$iothub/methods/POST/"));
            }
            None => {}
        }
    });
}
