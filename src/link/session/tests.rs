use rumqttc::mqttbytes::v4::ConnectReturnCode;

use super::*;
use crate::link::liveness::SILENCE_LIMIT;

mod bytes;
mod cuts;
mod silence;

const KEEP_ALIVE: Duration = Duration::from_secs(120);

pub(super) fn device() -> HubDeviceId {
    HubDeviceId {
        workspace_id: "ws".to_owned(),
        device_id: "dev".to_owned(),
    }
}

pub(super) fn session_with(in_flight: InFlight, cloud_messages: bool) -> Session {
    let login = Login {
        device: device(),
        hub_host_name: "hub.example".to_owned(),
        sas: Secret::new("SharedAccessSignature sr=x&sig=y&se=1"),
        keep_alive: KEEP_ALIVE,
        cloud_messages,
        methods: cloud_messages,
    };
    match Session::new(login, in_flight, Moment::START) {
        Ok(session) => session,
        Err((error, _)) => panic!("{error}"),
    }
}

/// Takes all output and reads it as the hub would.
pub(super) fn sent(session: &mut Session) -> Vec<Packet> {
    let mut bytes = session.output().split();
    session.sent(true, Moment::START);
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        packets.push(Packet::read(&mut bytes, MAX_PACKET_BYTES).expect("a whole packet"));
    }
    packets
}

pub(super) fn receive(session: &mut Session, packet: Packet) -> Result<(), SessionError> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, MAX_PACKET_BYTES).unwrap();
    session.receive(&bytes, Moment::START)
}

pub(super) fn connack(session_present: bool) -> Packet {
    Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, session_present))
}

pub(super) fn connected(in_flight: InFlight, session_present: bool) -> Session {
    let mut session = session_with(in_flight, true);
    sent(&mut session);
    receive(&mut session, connack(session_present)).unwrap();
    assert_eq!(session.next_event(), Some(Event::Connected));
    session
}

pub(super) fn publish(session: &mut Session, message: Outgoing) {
    session.take_in(message);
    session.send(session.in_flight().count() - 1).unwrap();
}

/// Connected, subscribed, nothing under way.
pub(super) fn quiet() -> Session {
    let mut session = connected(InFlight::default(), false);
    acknowledge_subscriptions(&mut session);
    session
}

pub(super) fn acknowledge_subscriptions(session: &mut Session) {
    for packet in sent(session) {
        if let Packet::Subscribe(subscribe) = packet {
            let codes =
                vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); subscribe.filters.len()];
            let suback = rumqttc::mqttbytes::v4::SubAck::new(subscribe.pkid, codes);
            receive(session, Packet::SubAck(suback)).unwrap();
        }
    }
}

pub(super) fn message(id: i64) -> Outgoing {
    Outgoing {
        id,
        stored_at_ms: 0,
        properties: format!("message-id={id}"),
        body: Body::Inline(Bytes::from_static(b"body")),
    }
}

pub(super) fn publishes(packets: &[Packet]) -> Vec<(u16, bool, String)> {
    let mut publishes = Vec::new();
    for packet in packets {
        if let Packet::Publish(publish) = packet
            && publish.qos == QoS::AtLeastOnce
        {
            let (_, id) = publish.topic.rsplit_once('=').unwrap();
            publishes.push((publish.pkid, publish.dup, id.to_owned()));
        }
    }
    publishes
}

pub(super) fn puback(session: &mut Session, packet_id: u16) -> Vec<Event> {
    receive(session, Packet::PubAck(PubAck::new(packet_id))).unwrap();
    std::iter::from_fn(|| session.next_event()).collect()
}

#[test]
fn connects_as_the_hub_wants_it() {
    let mut session = session_with(InFlight::default(), false);
    let packets = sent(&mut session);
    let [Packet::Connect(connect)] = packets.as_slice() else {
        panic!("{packets:?}");
    };
    let login = connect.login.as_ref().unwrap();
    assert_eq!(connect.client_id, "ws:dev");
    assert_eq!(login.username, "hub.example/ws:dev/?api-version=2018-06-30");
    assert_eq!(login.password, "SharedAccessSignature sr=x&sig=y&se=1");
    assert!(!connect.clean_session);
    assert_eq!(connect.keep_alive, 120);
}

#[test]
fn a_message_is_acknowledged_only_by_the_puback_of_its_own_publish() {
    let mut session = quiet();
    for id in 1..=3 {
        publish(&mut session, message(id));
    }
    let ids: Vec<u16> = publishes(&sent(&mut session))
        .iter()
        .map(|publish| publish.0)
        .collect();
    for stray in (1..=50).filter(|id| !ids.contains(id)) {
        assert_eq!(puback(&mut session, stray), []);
    }
    assert_eq!(puback(&mut session, ids[1]), [Event::Acknowledged(2)]);
    assert_eq!(
        puback(&mut session, ids[1]),
        [],
        "a second PUBACK is of nothing"
    );
    assert_eq!(puback(&mut session, ids[2]), [Event::Acknowledged(3)]);
    assert_eq!(puback(&mut session, ids[0]), [Event::Acknowledged(1)]);
    assert!(session.is_quiet());
}

#[test]
fn acknowledgements_of_subscriptions_and_twin_requests_touch_no_message() {
    let mut session = connected(InFlight::default(), false);
    publish(&mut session, message(1));
    session.get_twin().unwrap();
    session.patch_reported(b"{}".to_vec()).unwrap();
    acknowledge_subscriptions(&mut session);
    for request in 1..=2 {
        let topic = format!("$iothub/twin/res/204/?$rid={request}");
        let answer = Publish::from_bytes(topic, QoS::AtMostOnce, Bytes::new());
        receive(&mut session, Packet::Publish(answer)).unwrap();
        assert!(matches!(
            session.next_event(),
            Some(Event::TwinAnswer { .. })
        ));
    }
    assert!(!session.is_quiet());
}

#[test]
fn packet_ids_in_use_are_not_given_out_again() {
    let mut session = quiet();
    publish(&mut session, message(0));
    let oldest = publishes(&sent(&mut session))[0].0;
    for id in 1..=70_000 {
        publish(&mut session, message(id));
        let packet_id = publishes(&sent(&mut session))[0].0;
        assert_ne!(packet_id, oldest);
        assert_ne!(packet_id, 0);
        assert_eq!(puback(&mut session, packet_id), [Event::Acknowledged(id)]);
    }
}

#[test]
fn what_is_in_flight_is_sent_again_under_its_packet_id_and_marked_where_the_hub_knows_it() {
    for session_present in [true, false] {
        let mut session = quiet();
        for id in 1..=3 {
            publish(&mut session, message(id));
        }
        session.take_in(message(4));
        let before = publishes(&sent(&mut session));
        puback(&mut session, before[1].0);
        let mut session = connected(session.into_in_flight(), session_present);
        while let Some((place, _)) = session.in_flight().next_unsent() {
            session.send(place).unwrap();
        }
        let after = publishes(&sent(&mut session));
        let ids: Vec<&str> = after.iter().map(|publish| publish.2.as_str()).collect();
        assert_eq!(ids, ["1", "3", "4"]);
        assert_eq!([after[0].0, after[1].0], [before[0].0, before[2].0]);
        let repeats: Vec<bool> = after.iter().map(|publish| publish.1).collect();
        assert_eq!(repeats, [session_present, session_present, false]);
    }
}

#[test]
fn only_what_this_connection_has_sent_can_be_acknowledged_on_it() {
    let mut session = quiet();
    publish(&mut session, message(1));
    let packet_id = publishes(&sent(&mut session))[0].0;
    let mut session = connected(session.into_in_flight(), true);
    assert_eq!(
        (session.in_flight().oldest_sent(), session.is_quiet()),
        (None, true)
    );
    assert_eq!(puback(&mut session, packet_id), []);
    session.send(0).unwrap();
    sent(&mut session);
    assert_eq!(
        (session.in_flight().oldest_sent(), session.is_quiet()),
        (Some(1), false)
    );
    assert_eq!(puback(&mut session, packet_id), [Event::Acknowledged(1)]);
}

#[test]
fn it_is_settled_when_the_hub_owes_nothing() {
    let mut session = connected(InFlight::default(), false);
    assert!(!session.is_settled(), "a subscription is not acknowledged");
    acknowledge_subscriptions(&mut session);
    assert!(session.is_settled());
    session.ping().unwrap();
    sent(&mut session);
    assert!(!session.is_settled(), "a ping is not answered");
    receive(&mut session, Packet::PingResp).unwrap();
    publish(&mut session, message(1));
    let packet_id = publishes(&sent(&mut session))[0].0;
    assert!(!session.is_settled(), "a Message is not acknowledged");
    puback(&mut session, packet_id);
    assert!(session.is_settled());
}

#[test]
fn acknowledgements_of_the_last_connection_do_not_count_for_a_new_publish() {
    let mut session = quiet();
    publish(&mut session, message(1));
    let first = publishes(&sent(&mut session))[0].0;
    puback(&mut session, first);
    let mut session = connected(session.into_in_flight(), true);
    acknowledge_subscriptions(&mut session);
    assert_eq!(puback(&mut session, first), []);
    assert!(session.is_quiet());
}

#[test]
fn without_a_wish_for_cloud_messages_and_methods_the_hub_keeps_them() {
    let mut session = session_with(InFlight::default(), false);
    sent(&mut session);
    receive(&mut session, connack(true)).unwrap();
    let packets = sent(&mut session);
    let filters = [
        "devices/ws:dev/messages/devicebound/#",
        "$iothub/methods/POST/#",
    ];
    assert!(packets.iter().any(
        |packet| matches!(packet, Packet::Unsubscribe(unsubscribe) if unsubscribe.topics == filters)
    ));
    assert!(!packets.iter().any(|packet| matches!(
        packet, Packet::Subscribe(subscribe) if subscribe.filters.iter().any(|f| filters.contains(&f.path.as_str()))
    )));
    while session.next_event().is_some() {}
    let topic = "devices/ws:dev/messages/devicebound/a=b";
    let mut publish = Publish::new(topic, QoS::AtLeastOnce, "x");
    publish.pkid = 9;
    receive(&mut session, Packet::Publish(publish)).unwrap();
    assert_eq!(session.next_event(), None);
    assert_eq!(sent(&mut session), [], "it is not acknowledged");
}

#[test]
fn a_call_of_a_method_is_handed_over_and_its_answer_names_it() {
    let mut session = quiet();
    let topic = "$iothub/methods/POST/a/b/?$rid=1f";
    let mut call = Publish::new(topic, QoS::AtLeastOnce, "7");
    call.pkid = 3;
    receive(&mut session, Packet::Publish(call)).unwrap();
    let called = Event::MethodCall {
        name: "a/b".to_owned(),
        request_id: "1f".to_owned(),
        body: Bytes::from_static(b"7"),
    };
    assert_eq!(session.next_event(), Some(called));
    assert_eq!(sent(&mut session), [Packet::PubAck(PubAck::new(3))]);
    session.answer_method(200, "1f", b"8".to_vec()).unwrap();
    let packets = sent(&mut session);
    let [Packet::Publish(answer)] = packets.as_slice() else {
        panic!("{packets:?}");
    };
    let parts = (answer.topic.as_str(), answer.qos, &answer.payload[..]);
    assert_eq!(
        parts,
        (
            "$iothub/methods/res/200/?$rid=1f",
            QoS::AtMostOnce,
            &b"8"[..]
        )
    );
}

#[test]
fn a_cloud_message_is_acknowledged_only_when_asked_for_also_before_suback() {
    let mut session = connected(InFlight::default(), true);
    sent(&mut session);
    let mut publish = Publish::new(
        "devices/ws:dev/messages/devicebound/a=b",
        QoS::AtLeastOnce,
        "x",
    );
    publish.pkid = 9;
    receive(&mut session, Packet::Publish(publish)).unwrap();
    assert!(matches!(
        session.next_event(),
        Some(Event::CloudMessage { packet_id: 9, .. })
    ));
    assert_eq!(sent(&mut session), []);
    session.acknowledge_cloud_message(9).unwrap();
    assert_eq!(sent(&mut session), [Packet::PubAck(PubAck::new(9))]);
}

#[test]
fn refusals_tell_whether_fresh_credentials_can_help() {
    let codes = [
        (ConnectReturnCode::RefusedProtocolVersion, false),
        (ConnectReturnCode::BadClientId, false),
        (ConnectReturnCode::ServiceUnavailable, true),
        (ConnectReturnCode::BadUserNamePassword, true),
        (ConnectReturnCode::NotAuthorized, true),
    ];
    for (code, renew) in codes {
        let mut session = session_with(InFlight::default(), false);
        receive(&mut session, Packet::ConnAck(ConnAck::new(code, false))).unwrap();
        let Some(Event::Refused(refusal)) = session.next_event() else {
            panic!("{code:?}");
        };
        assert_eq!(refusal.renew_credentials, renew, "{code:?}");
        assert!(!session.is_connected());
    }
}
