//! A conversation with a hub of the barest kind, in memory: split at every byte, and cut at every byte.

use super::*;

const MESSAGES: i64 = 6;

/// The bytes that still pass each way on a connection, before it is cut.
#[derive(Clone, Copy)]
struct Left {
    to_hub: usize,
    to_device: usize,
}

const ALL: Left = Left {
    to_hub: usize::MAX,
    to_device: usize::MAX,
};

impl Left {
    fn take(left: &mut usize, mut bytes: BytesMut) -> BytesMut {
        bytes.truncate(*left);
        *left -= bytes.len();
        bytes
    }

    fn is_cut(&self) -> bool {
        self.to_hub == 0 || self.to_device == 0
    }
}

#[derive(Default)]
struct Hub {
    input: BytesMut,
    has_session: bool,
    recorded: Vec<i64>,
}

impl Hub {
    /// Takes what came, and answers all that is whole.
    fn answer(&mut self, bytes: &[u8]) -> BytesMut {
        self.input.extend_from_slice(bytes);
        let mut output = BytesMut::new();
        while let Ok(packet) = Packet::read(&mut self.input, MAX_PACKET_BYTES) {
            let answer = match packet {
                Packet::Connect(_) => connack(std::mem::replace(&mut self.has_session, true)),
                Packet::Subscribe(subscribe) => {
                    let codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce)];
                    Packet::SubAck(rumqttc::mqttbytes::v4::SubAck::new(subscribe.pkid, codes))
                }
                Packet::Publish(publish) => {
                    let (_, id) = publish.topic.rsplit_once('=').unwrap();
                    self.recorded.push(id.parse().unwrap());
                    Packet::PubAck(PubAck::new(publish.pkid))
                }
                other => panic!("{other:?}"),
            };
            answer.write(&mut output, MAX_PACKET_BYTES).unwrap();
        }
        output
    }
}

/// What the device has to send, and what it knows to be sent.
struct Device {
    window: usize,
    next: i64,
    acknowledged: Vec<i64>,
}

impl Device {
    fn send(&mut self, session: &mut Session) {
        if !session.is_connected() {
            return;
        }
        while let Some((place, _)) = session.in_flight().next_unsent() {
            session.send(place).unwrap();
        }
        while session.in_flight().count() < self.window && self.next <= MESSAGES {
            publish(session, message(self.next));
            self.next += 1;
        }
    }

    /// One connection: until it is cut, or until nothing is left to be said. Returns how much passed.
    fn connect(&mut self, hub: &mut Hub, in_flight: InFlight, left: &mut Left) -> InFlight {
        let mut session = session_with(in_flight, true);
        hub.input.clear();
        loop {
            self.send(&mut session);
            let output = session.output().split();
            session.sent(true, Moment::START);
            let is_over = output.is_empty();
            let output = Left::take(&mut left.to_hub, output);
            let answer = Left::take(&mut left.to_device, hub.answer(&output));
            session.receive(&answer, Moment::START).unwrap();
            while let Some(event) = session.next_event() {
                if let Event::Acknowledged(id) = event {
                    self.acknowledged.push(id);
                }
            }
            if is_over || left.is_cut() {
                return session.into_in_flight();
            }
        }
    }
}

/// A conversation whose first connection is cut, and whose second is not. Returns what passed over the
/// first, and what the hub recorded.
fn converse(window: usize, first: Left) -> (Left, Vec<i64>) {
    let mut hub = Hub::default();
    let mut device = Device {
        window,
        next: 1,
        acknowledged: Vec::new(),
    };
    let mut left = first;
    let in_flight = device.connect(&mut hub, InFlight::default(), &mut left);
    let passed = Left {
        to_hub: first.to_hub - left.to_hub,
        to_device: first.to_device - left.to_device,
    };
    let rest = device.connect(&mut hub, in_flight, &mut ALL.clone());
    assert_eq!(rest.count(), 0);
    // Each once: an acknowledgement is recorded as the Message's end.
    let all: Vec<i64> = (1..=MESSAGES).collect();
    assert_eq!(device.acknowledged, all);
    (passed, hub.recorded)
}

/// Every place where a conversation can be cut.
fn every_cut(window: usize) -> Vec<Left> {
    let (passed, _) = converse(window, ALL);
    let to_hub = (1..=passed.to_hub).map(|to_hub| Left { to_hub, ..ALL });
    let to_device = (1..=passed.to_device).map(|to_device| Left { to_device, ..ALL });
    to_hub.chain(to_device).collect()
}

#[test]
fn a_cut_at_any_byte_repeats_a_message_only_directly_after_itself() {
    let all: Vec<i64> = (1..=MESSAGES).collect();
    let mut repeats = 0;
    for left in every_cut(1) {
        let (_, mut recorded) = converse(1, left);
        let count = recorded.len();
        recorded.dedup();
        assert_eq!(recorded, all);
        repeats += count - recorded.len();
    }
    assert!(repeats > 0);
}

#[test]
fn with_a_window_a_cut_at_any_byte_repeats_at_most_the_window_in_order() {
    const WINDOW: usize = 4;
    for left in every_cut(WINDOW) {
        let (_, recorded) = converse(WINDOW, left);
        // One run from the start, and one that goes on or a window earlier.
        let mut next = 1;
        for id in recorded {
            assert!(
                id <= next && next - id <= WINDOW as i64,
                "{id} after {next}"
            );
            next = next.max(id + 1);
        }
        assert_eq!(next, MESSAGES + 1);
    }
}

#[test]
fn bytes_from_the_hub_mean_the_same_however_they_are_split() {
    let topic = "devices/ws:dev/messages/devicebound/a=b";
    let mut cloud = Publish::new(topic, QoS::AtLeastOnce, "x".repeat(200));
    cloud.pkid = 7;
    let twin = Publish::new("$iothub/twin/res/200/?$rid=1", QoS::AtMostOnce, "{}");
    let patch = "$iothub/twin/PATCH/properties/desired/?$version=2";
    let packets = [
        connack(false),
        Packet::SubAck(rumqttc::mqttbytes::v4::SubAck::new(
            1,
            vec![SubscribeReasonCode::Failure],
        )),
        Packet::Publish(twin),
        Packet::PubAck(PubAck::new(9)),
        Packet::Publish(Publish::new(patch, QoS::AtMostOnce, "{}")),
        Packet::Publish(cloud),
        Packet::PingResp,
    ];
    let mut bytes = BytesMut::new();
    for packet in packets {
        packet.write(&mut bytes, MAX_PACKET_BYTES).unwrap();
    }
    let events = |pieces: [&[u8]; 3]| {
        let mut session = session_with(InFlight::default(), true);
        for piece in pieces {
            session.receive(piece, Moment::START).unwrap();
        }
        std::iter::from_fn(|| session.next_event()).collect::<Vec<_>>()
    };
    let whole = events([&bytes, &[], &[]]);
    assert_eq!(whole.len(), 4, "{whole:?}");
    for first in 0..bytes.len() {
        for second in first..bytes.len() {
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(events(pieces), whole, "split at {first} and {second}");
        }
    }
}
