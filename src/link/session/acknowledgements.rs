//! Every order in which acknowledgements of all kinds can come: a Message is acknowledged by the PUBACK
//! of its own publish on its own connection, and by nothing else.

use rumqttc::mqttbytes::v4::{SubAck, UnsubAck};

use super::tests::{connack, connected, message, puback, publish, publishes, receive, sent};
use super::*;

/// What the hub sends. All of it names the packet ids of the Messages in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sends {
    /// The acknowledgement of the Message at this place.
    PubAck(usize),
    SubAck(usize),
    UnsubAck(usize),
    TwinAnswer(usize),
    /// With QoS 1, under the hub's own packet id, which is the same number.
    DesiredPatch(usize),
    CloudMessage(usize),
}

const ALL: [Sends; 7] = [
    Sends::PubAck(0),
    Sends::PubAck(1),
    Sends::SubAck(0),
    Sends::UnsubAck(1),
    Sends::TwinAnswer(0),
    Sends::DesiredPatch(1),
    Sends::CloudMessage(0),
];

fn publish_from_hub(topic: String, packet_id: u16) -> Packet {
    let mut publish = Publish::new(topic, QoS::AtLeastOnce, "{}");
    publish.pkid = packet_id;
    Packet::Publish(publish)
}

/// Hands the session what the hub sends; returns which Message it takes for acknowledged.
fn hand_over(session: &mut Session, ids: &[u16], sends: Sends) -> Option<i64> {
    let packet = match sends {
        Sends::PubAck(place) => Packet::PubAck(PubAck::new(ids[place])),
        Sends::SubAck(place) => {
            let codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce)];
            Packet::SubAck(SubAck::new(ids[place], codes))
        }
        Sends::UnsubAck(place) => Packet::UnsubAck(UnsubAck::new(ids[place])),
        Sends::TwinAnswer(place) => {
            let topic = format!("$iothub/twin/res/204/?$rid={}&$version=2", ids[place]);
            publish_from_hub(topic, ids[place])
        }
        Sends::DesiredPatch(place) => {
            let topic = "$iothub/twin/PATCH/properties/desired/?$version=2".to_owned();
            publish_from_hub(topic, ids[place])
        }
        Sends::CloudMessage(place) => {
            let topic = "devices/ws:dev/messages/devicebound/a=b".to_owned();
            publish_from_hub(topic, ids[place])
        }
    };
    receive(session, packet).unwrap();
    let mut acknowledged = None;
    while let Some(event) = session.next_event() {
        match event {
            Event::Acknowledged(id) => assert_eq!(acknowledged.replace(id), None),
            Event::CloudMessage { packet_id, .. } => {
                session.acknowledge_cloud_message(packet_id).unwrap();
            }
            _ => {}
        }
    }
    acknowledged
}

/// All orders (Heap's algorithm).
fn for_each_order<T: Copy>(items: &mut [T], count: usize, visit: &mut impl FnMut(&[T])) {
    if count <= 1 {
        return visit(items);
    }
    for i in 0..count {
        for_each_order(items, count - 1, visit);
        let other = if count.is_multiple_of(2) { i } else { 0 };
        items.swap(other, count - 1);
    }
}

/// In flight: as many Messages as the window has places; the first two are acknowledged.
fn in_flight(window: usize) -> (Session, Vec<u16>) {
    let mut session = connected(InFlight::default(), false);
    session.get_twin().unwrap();
    for id in 0..window {
        publish(&mut session, message(id as i64));
    }
    session.patch_reported(b"{}".to_vec()).unwrap();
    let ids = publishes(&sent(&mut session));
    (session, ids.iter().map(|publish| publish.0).collect())
}

fn count_in_flight(session: &Session) -> usize {
    session.in_flight().count()
}

#[test]
fn in_every_order_a_message_is_acknowledged_by_its_own_puback_only() {
    let mut orders = 0;
    let mut items = ALL;
    for_each_order(&mut items, ALL.len(), &mut |order| {
        orders += 1;
        let (mut session, ids) = in_flight(3);
        let mut left = vec![0, 1, 2];
        // Each comes twice, as a hub that repeats itself would have it.
        for sends in order.iter().flat_map(|sends| [*sends, *sends]) {
            let expected = match sends {
                Sends::PubAck(place) => Some(place as i64).filter(|id| left.contains(id)),
                _ => None,
            };
            left.retain(|id| Some(*id) != expected);
            assert_eq!(hand_over(&mut session, &ids, sends), expected, "{order:?}");
            assert_eq!(count_in_flight(&session), left.len(), "{order:?}");
        }
        assert_eq!(left, [2]);
        let own = publishes(&sent(&mut session));
        assert_eq!(own, [], "acknowledging the hub's sends nothing again");
    });
    assert_eq!(orders, 5040);
}

#[test]
fn in_every_order_and_wherever_the_connection_ends_the_rest_is_sent_again_and_waits_for_its_own() {
    let mut items = ALL;
    for_each_order(&mut items, ALL.len(), &mut |order| {
        for (ends_after, session_present) in (0..=order.len()).flat_map(|n| [(n, true), (n, false)])
        {
            let (mut session, ids) = in_flight(2);
            let (before, behind) = order.split_at(ends_after);
            let mut left = vec![0, 1];
            for sends in before {
                let acknowledged = hand_over(&mut session, &ids, *sends);
                left.retain(|id| Some(*id) != acknowledged);
            }
            let mut session = connected(session.into_in_flight(), session_present);
            sent(&mut session);
            // What the last connection did not live to see says nothing about this one.
            for sends in behind {
                assert_eq!(hand_over(&mut session, &ids, *sends), None, "{order:?}");
            }
            while let Some((place, _)) = session.in_flight().next_unsent() {
                session.send(place).unwrap();
            }
            let again = publishes(&sent(&mut session));
            let texts: Vec<String> = left.iter().map(i64::to_string).collect();
            assert!(
                again.iter().map(|publish| &publish.2).eq(&texts),
                "{order:?}"
            );
            for (publish, id) in again.iter().zip(&left) {
                assert_eq!(puback(&mut session, publish.0), [Event::Acknowledged(*id)]);
            }
        }
    });
}

#[test]
fn all_of_a_window_are_acknowledged_in_any_order() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    for _ in 0..2000 {
        let (mut session, ids) = in_flight(16);
        let mut order: Vec<usize> = (0..16).collect();
        random.shuffle(&mut order);
        for place in order {
            let expected = [Event::Acknowledged(place as i64)];
            assert_eq!(puback(&mut session, ids[place]), expected);
            assert_eq!(
                puback(&mut session, ids[place]),
                [],
                "a repeat is of nothing"
            );
        }
        assert!(session.is_quiet());
    }
}

#[test]
fn a_puback_counts_only_behind_the_last_byte_of_its_publish() {
    let mut session = connected(InFlight::default(), false);
    sent(&mut session);
    publish(&mut session, message(1));
    let packet_id = session.in_flight().newest_packet_id().unwrap();
    while !session.output().is_empty() {
        assert_eq!(puback(&mut session, packet_id), []);
        drop(session.output().split_to(1));
    }
    assert_eq!(puback(&mut session, packet_id), [Event::Acknowledged(1)]);
}

#[test]
fn packet_ids_go_round_past_those_in_flight() {
    for window in [1, 16] {
        let mut session = connected(InFlight::default(), true);
        sent(&mut session);
        let mut waiting: VecDeque<(u16, i64)> = VecDeque::new();
        // The oldest stays unacknowledged while the ids go round twice.
        publish(&mut session, message(0));
        let oldest = publishes(&sent(&mut session))[0].0;
        for id in 1..=140_000 {
            publish(&mut session, message(id));
            let packet_id = publishes(&sent(&mut session))[0].0;
            assert!(packet_id != 0 && packet_id != oldest, "{packet_id}");
            assert!(waiting.iter().all(|(used, _)| *used != packet_id));
            waiting.push_back((packet_id, id));
            if waiting.len() > window
                && let Some((packet_id, id)) = waiting.pop_front()
            {
                assert_eq!(puback(&mut session, packet_id), [Event::Acknowledged(id)]);
                assert_eq!(puback(&mut session, packet_id), []);
            }
        }
        assert_eq!(puback(&mut session, oldest), [Event::Acknowledged(0)]);
    }
}

#[test]
fn acknowledgements_and_what_ends_the_connection_may_share_a_segment() {
    let (mut session, ids) = in_flight(2);
    let mut bytes = BytesMut::new();
    for id in [ids[1], ids[0]] {
        let acknowledgement = Packet::PubAck(PubAck::new(id));
        acknowledgement.write(&mut bytes, MAX_PACKET_BYTES).unwrap();
    }
    connack(false).write(&mut bytes, MAX_PACKET_BYTES).unwrap();
    let end = session.receive(&bytes, Moment::START);
    assert!(matches!(end, Err(SessionError::Unexpected(_))));
    let events: Vec<Event> = std::iter::from_fn(|| session.next_event()).collect();
    assert_eq!(events, [Event::Acknowledged(1), Event::Acknowledged(0)]);
    assert_eq!(count_in_flight(&session), 0);
}
