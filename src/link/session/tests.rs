use super::*;

mod cuts;

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

#[test]
fn an_idle_connection_pings_after_the_keep_alive_and_needs_nothing_else() {
    let mut session = quiet();
    assert_eq!(session.next_tick(), Some(Moment::START + KEEP_ALIVE));
    session
        .tick(Moment::START + KEEP_ALIVE - Duration::from_secs(1))
        .unwrap();
    assert!(session.output().is_empty());
    let now = Moment::START + KEEP_ALIVE;
    session.tick(now).unwrap();
    let mut output = session.output().split();
    session.sent(true, now);
    assert_eq!(
        Packet::read(&mut output, MAX_PACKET_BYTES).unwrap(),
        Packet::PingReq
    );
    let mut pong = BytesMut::new();
    Packet::PingResp.write(&mut pong, MAX_PACKET_BYTES).unwrap();
    session.receive(&pong, now).unwrap();
    assert_eq!(session.next_tick(), Some(now + KEEP_ALIVE));
}

#[test]
fn a_silent_peer_is_found_within_keep_alive_and_limit() {
    let mut session = quiet();
    let ping_at = Moment::START + KEEP_ALIVE;
    session.tick(ping_at).unwrap();
    session.output().clear();
    session.sent(true, ping_at);
    assert_eq!(session.next_tick(), Some(ping_at + SILENCE_LIMIT));
    let error = session.tick(ping_at + SILENCE_LIMIT).unwrap_err();
    assert!(matches!(error, SessionError::Silent));
}

#[test]
fn a_publish_that_is_not_acknowledged_is_found_although_the_peer_lives() {
    let mut session = quiet();
    publish(&mut session, message(1));
    sent(&mut session);
    let mut pong = BytesMut::new();
    Packet::PingResp.write(&mut pong, MAX_PACKET_BYTES).unwrap();
    session
        .receive(&pong, Moment::START + SILENCE_LIMIT / 2)
        .unwrap();
    assert_eq!(session.next_tick(), Some(Moment::START + SILENCE_LIMIT));
    let error = session.tick(Moment::START + SILENCE_LIMIT).unwrap_err();
    // Not that the hub gave no sign of life: it did.
    assert!(matches!(error, SessionError::Unacknowledged), "{error}");
}

#[test]
fn a_publish_that_is_not_acknowledged_by_a_peer_that_says_nothing_is_silence() {
    let mut session = quiet();
    publish(&mut session, message(1));
    sent(&mut session);
    let error = session.tick(Moment::START + SILENCE_LIMIT).unwrap_err();
    assert!(matches!(error, SessionError::Silent), "{error}");
}

#[test]
fn a_large_message_may_crawl_over_a_slow_link() {
    let mut session = quiet();
    let mut large = message(1);
    large.body = Body::Inline(Bytes::from(vec![0; 250_000]));
    publish(&mut session, large);
    let mut now = Moment::START;
    // 2 KB/s, in steps of 10 s.
    while !session.output().is_empty() {
        now = now + Duration::from_secs(10);
        session.tick(now).unwrap();
        assert!(
            session.next_tick() > Some(now),
            "nothing is to be done while it crawls"
        );
        let step = session.output().len().min(20_000);
        drop(session.output().split_to(step));
        let all = session.output().is_empty();
        session.sent(all, now);
    }
    assert!(now.since(Moment::START) > KEEP_ALIVE);
    let almost = now + SILENCE_LIMIT - Duration::from_secs(1);
    session.tick(almost).unwrap();
    assert!(session.tick(now + SILENCE_LIMIT).is_err());
}

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
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
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

#[test]
fn a_hub_that_must_have_let_go_is_not_asked_any_more() {
    let slept = |time| {
        let mut session = quiet();
        let outcome = session.tick(Moment::START + time);
        (outcome, sent(&mut session))
    };
    let (outcome, packets) = slept(KEEP_ALIVE * 3 / 2 - Duration::from_secs(1));
    outcome.unwrap();
    assert_eq!(packets, [Packet::PingReq]);
    let (outcome, packets) = slept(KEEP_ALIVE * 3 / 2);
    assert!(matches!(outcome.unwrap_err(), SessionError::LetGo));
    assert!(packets.is_empty());
}
