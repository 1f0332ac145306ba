//! Outbox and session together, as the link drives them, against a hub that acknowledges in any order,
//! repeats itself, talks about the same packet ids in other matters, and cuts at any byte; with a disk
//! that fails, and kills. A ledger says what may be forgotten: exactly what the hub acknowledged, or what a newer Message
//! of its key replaced before the link had it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    ConnAck, ConnectReturnCode, Packet, PubAck, Publish, SubAck, SubscribeReasonCode, UnsubAck,
};

use super::in_flight::InFlight;
use super::session::{Event, Login, MAX_PACKET_BYTES, Session};
use crate::clock::Moment;
use crate::identity::HubDeviceId;
use crate::message::Priority;
use crate::message::outgoing::{Body, Outgoing};
use crate::outbox::{Left, Loaded, NewBody, NewMessage, Record, State};
use crate::pacing::pacer::Turn;
use crate::secret::Secret;
use crate::store::rows::lane;
use crate::store::rows::latest::LatestRow;
use crate::store::rows::outbox::DroppedRows;
use crate::store::rows::totals::Totals;

const NOW: Moment = Moment::START;

/// The device, the line, and the hub.
struct World {
    random: Rng,
    window: usize,
    /// What is stored goes into one of these.
    lanes: Vec<Priority>,
    /// As MQTT wants it (3.1.1, 4.6), the hub acknowledges in the order in which Messages came.
    in_order: bool,
    /// The rows of the database, and what a record has yet to do to them.
    rows: BTreeSet<i64>,
    record: Option<Record>,
    sent_from: Priority,
    last_number: i64,
    /// Of the rows of which only the newest is kept.
    keys: HashMap<i64, u8>,
    replacing: Option<Replacing>,
    transactions: u64,
    replaced: BTreeSet<i64>,
    /// What the link has, or had, in this run.
    taken: BTreeSet<i64>,
    outbox: State,
    session: Session,
    to_hub: BytesMut,
    to_device: BytesMut,
    /// What the hub got on this connection and has not acknowledged: packet ids and Messages.
    unacknowledged: Vec<(u16, i64)>,
    /// Acknowledgements that are on their way, or were cut off.
    on_their_way: Vec<i64>,
    /// Those that the device has: it may and must forget these, and no other.
    acknowledged: BTreeSet<i64>,
    /// The Messages in the order in which they came to the hub.
    received: Vec<i64>,
    cases: u64,
}

/// A transaction is under way that stores a Message in place of these.
struct Replacing {
    transaction: u64,
    key: u8,
    older: Vec<i64>,
}

fn session(in_flight: InFlight) -> Session {
    let login = Login {
        device: HubDeviceId {
            workspace_id: "ws".to_owned(),
            device_id: "dev".to_owned(),
        },
        hub_host_name: "hub".to_owned(),
        sas: Secret::new("SharedAccessSignature sr=x&sig=y&se=1"),
        keep_alive: Duration::from_secs(120),
        cloud_messages: true,
        methods: false,
    };
    match Session::new(login, in_flight, NOW) {
        Ok(session) => session,
        Err((error, _)) => panic!("{error}"),
    }
}

fn message_id(publish: &Publish) -> i64 {
    let (_, id) = publish.topic.rsplit_once('=').expect("a property");
    id.parse().expect("a Message's id")
}

impl World {
    fn new(mut random: Rng, window: usize) -> World {
        let lanes = match random.u8(0..3) {
            0 => vec![Priority::Normal],
            1 => vec![Priority::Normal, Priority::Urgent],
            _ => Priority::ALL.to_vec(),
        };
        World {
            lanes,
            in_order: random.bool(),
            random,
            window,
            rows: BTreeSet::new(),
            record: None,
            sent_from: Priority::Normal,
            last_number: 0,
            keys: HashMap::new(),
            replacing: None,
            transactions: 0,
            replaced: BTreeSet::new(),
            taken: BTreeSet::new(),
            outbox: State::default(),
            session: session(InFlight::default()),
            to_hub: BytesMut::new(),
            to_device: BytesMut::new(),
            unacknowledged: Vec::new(),
            on_their_way: Vec::new(),
            acknowledged: BTreeSet::new(),
            received: Vec::new(),
            cases: 0,
        }
    }

    fn step(&mut self) {
        self.cases += 1;
        match self.random.u8(0..100) {
            0..15 => self.store(),
            15..40 => self.acknowledge(),
            40..50 => self.say_something_else(),
            50..65 => self.write_record(),
            65..67 => self.cut(),
            67 => self.kill(),
            _ => self.move_bytes(),
        }
        self.publish();
        self.check();
    }

    fn store(&mut self) {
        self.end_replacing();
        match self.random.u8(0..9) {
            key @ 0..3 => self.begin_replacing(key),
            _ => drop(self.insert()),
        }
    }

    fn of_key(&self, key: u8) -> impl Iterator<Item = i64> {
        let is_of_key = move |id: &i64| self.keys.get(id) == Some(&key);
        self.rows.iter().copied().filter(is_of_key)
    }

    fn begin_replacing(&mut self, key: u8) {
        self.transactions += 1;
        let row = |id| LatestRow {
            id,
            bytes: 4,
            is_partly_up: false,
        };
        let rows = self.of_key(key).map(row).collect();
        let older = self
            .outbox
            .hold_replaceable(self.transactions, rows, self.window);
        let older: Vec<i64> = older.iter().map(|row| row.id).collect();
        let is_taken = |id: &i64| self.taken.contains(id);
        assert!(!older.iter().any(is_taken), "the link has one of {older:?}");
        self.replacing = Some(Replacing {
            transaction: self.transactions,
            key,
            older,
        });
    }

    /// The disk is done with what replaces older ones, or has failed.
    fn end_replacing(&mut self) {
        let Some(Replacing {
            transaction,
            key,
            older,
        }) = self.replacing.take()
        else {
            return;
        };
        if self.random.u8(0..5) == 0 {
            self.outbox.rolled_back(transaction);
            return;
        }
        for id in older {
            assert!(self.rows.remove(&id), "{id} is there");
            self.replaced.insert(id);
            self.outbox.replaced_by_newer(&DroppedRows {
                first: id,
                last: id,
                totals: Totals { count: 1, bytes: 4 },
            });
        }
        let id = self.insert();
        self.keys.insert(id, key);
        let unsent = self.of_key(key).filter(|id| !self.taken.contains(id));
        // With those that the link was promised next.
        assert!(unsent.count() <= 1 + self.window, "they are replaced");
    }

    fn insert(&mut self) -> i64 {
        self.last_number += 1;
        let priority = self.random.choice(&self.lanes).copied().expect("a lane");
        let id = lane::id(priority, self.last_number);
        let message = NewMessage {
            priority,
            stored_at_ms: 0,
            properties: format!("message-id={id}"),
            body: NewBody::Inline(Bytes::from_static(b"body")),
        };
        self.rows.insert(id);
        self.outbox.stored(id, &message);
        id
    }

    /// Some lanes have to wait, or all.
    fn turn(&mut self) -> Turn {
        if self.random.u8(0..8) == 0 {
            return Turn::none();
        }
        let held = self.random.u8(..) & self.random.u8(..);
        Turn::holding(|lane| held & (1 << lane as u8) != 0)
    }

    /// As `publishing` does it.
    fn publish(&mut self) {
        while self.session.is_connected() {
            let mut turn = self.turn();
            let next = match self.session.in_flight().next_unsent() {
                Some((place, id)) => {
                    let may_go = self.outbox.has_place(id, self.window) && turn.may_repeat();
                    may_go.then_some(place)
                }
                None => self.outbox.take(self.window, &mut turn).map(|message| {
                    let is_held = |it: &Replacing| it.older.contains(&message.id);
                    assert!(!self.replacing.as_ref().is_some_and(is_held), "it goes");
                    self.taken.insert(message.id);
                    self.session.take_in(message);
                    self.session.in_flight().count() - 1
                }),
            };
            if let Some(record) = self.outbox.begin_due_record() {
                assert!(
                    self.session.in_flight().count() == 0,
                    "something is in flight"
                );
                assert!(self.record.replace(record).is_none(), "one at a time");
            }
            let Some(place) = next else { return };
            self.session.send(place).expect("it is small");
        }
    }

    /// Some bytes go each way.
    fn move_bytes(&mut self) {
        let output = self.session.output();
        let count = self.random.usize(0..=output.len());
        self.to_hub.extend_from_slice(&output.split_to(count));
        while let Ok(packet) = Packet::read(&mut self.to_hub, MAX_PACKET_BYTES) {
            self.hub_reads(packet);
        }
        let count = self.random.usize(0..=self.to_device.len());
        let bytes = self.to_device.split_to(count);
        self.device_reads(&bytes);
    }

    fn hub_reads(&mut self, packet: Packet) {
        match packet {
            Packet::Connect(_) => {
                let knows = self.random.bool();
                self.send(&Packet::ConnAck(ConnAck::new(
                    ConnectReturnCode::Success,
                    knows,
                )));
            }
            Packet::Publish(publish) if publish.qos == QoS::AtLeastOnce => {
                let id = message_id(&publish);
                self.received.push(id);
                self.unacknowledged.push((publish.pkid, id));
            }
            _ => {}
        }
    }

    fn send(&mut self, packet: &Packet) {
        packet
            .write(&mut self.to_device, MAX_PACKET_BYTES)
            .expect("it is small");
    }

    fn device_reads(&mut self, bytes: &[u8]) {
        self.session
            .receive(bytes, NOW)
            .expect("the hub speaks MQTT");
        while let Some(event) = self.session.next_event() {
            match event {
                Event::Acknowledged(id) => {
                    let place = self.on_their_way.iter().position(|it| *it == id);
                    self.on_their_way
                        .remove(place.expect("the hub acknowledged it"));
                    assert!(self.acknowledged.insert(id), "{id} for the second time");
                    self.outbox.acknowledged(id);
                }
                Event::CloudMessage { packet_id, .. } => {
                    self.session
                        .acknowledge_cloud_message(packet_id)
                        .expect("it is small");
                }
                _ => {}
            }
        }
    }

    /// The hub acknowledges a Message, in whatever order.
    fn acknowledge(&mut self) {
        if self.unacknowledged.is_empty() {
            return;
        }
        let place = if self.in_order {
            0
        } else {
            self.random.usize(0..self.unacknowledged.len())
        };
        let (packet_id, id) = self.unacknowledged.remove(place);
        self.on_their_way.push(id);
        self.send(&Packet::PubAck(PubAck::new(packet_id)));
        if self.random.u8(0..8) == 0 {
            self.send(&Packet::PubAck(PubAck::new(packet_id)));
        }
    }

    /// The hub has anything but the acknowledgement of a Message to say; with the packet ids in use.
    fn say_something_else(&mut self) {
        if !self.session.is_connected() {
            return;
        }
        let packet_id = self.random.u16(1..=24);
        let publish = |topic: &str| {
            let mut publish = Publish::new(topic, QoS::AtLeastOnce, "{\"$version\": 2}");
            publish.pkid = packet_id;
            Packet::Publish(publish)
        };
        let codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce)];
        let packet = match self.random.u8(0..6) {
            0 => Packet::SubAck(SubAck::new(packet_id, codes)),
            1 => Packet::UnsubAck(UnsubAck::new(packet_id)),
            2 => publish("$iothub/twin/res/204/?$rid=1&$version=2"),
            3 => publish("$iothub/twin/PATCH/properties/desired/?$version=2"),
            4 => publish("devices/ws:dev/messages/devicebound/a=b"),
            // Of nothing that the hub could be taken to have.
            _ if self.session.in_flight().uses(packet_id) => Packet::PingResp,
            _ => Packet::PubAck(PubAck::new(packet_id + 30_000)),
        };
        self.send(&packet);
    }

    /// The disk is done with what was to be recorded, or has failed, and the next record begins.
    fn write_record(&mut self) {
        self.end_replacing();
        if let Some(record) = self.record.take() {
            if self.random.u8(0..5) == 0 {
                self.outbox.record_failed(record);
            } else {
                self.is_written(&record);
                self.outbox.recorded(&record);
            }
        }
        self.record = self.outbox.begin_record();
    }

    fn is_written(&mut self, record: &Record) {
        record.ids().for_each(|id| assert!(self.rows.remove(&id)));
        self.sent_from = record.lane.unwrap_or(self.sent_from);
    }

    /// The connection ends at any byte; what came until then counts.
    fn cut(&mut self) {
        let bytes = self.to_device.split();
        let count = self.random.usize(0..=bytes.len());
        self.device_reads(bytes.get(..count).expect("within"));
        let ended = std::mem::replace(&mut self.session, session(InFlight::default()));
        self.session = session(ended.into_in_flight());
        self.line_is_new();
    }

    fn line_is_new(&mut self) {
        self.to_hub.clear();
        self.to_device.clear();
        self.unacknowledged.clear();
        self.on_their_way.clear();
    }

    /// The process ends; the next one finds the rows. A transaction that was begun is committed or not.
    fn kill(&mut self) {
        self.end_replacing();
        self.taken.clear();
        if let Some(record) = self.record.take()
            && self.random.bool()
        {
            self.is_written(&record);
        }
        // What was acknowledged and not recorded is sent again.
        self.acknowledged.retain(|id| !self.rows.contains(id));
        let (count, bytes) = (self.rows.len() as u64, 4 * self.rows.len() as u64);
        self.outbox = State::new(Left {
            pending: Totals { count, bytes },
            stored_through: self.last_number,
            sent_from: self.sent_from,
        });
        let row = |id: &i64| Outgoing {
            id: *id,
            stored_at_ms: 0,
            properties: format!("message-id={id}"),
            body: Body::Inline(Bytes::from_static(b"body")),
        };
        let lanes = Priority::ALL.into_iter();
        let loaded = lanes.map(|priority| Loaded {
            priority,
            rows: self.rows.range(lane::ids(priority)).map(row).collect(),
            more: false,
        });
        self.outbox.loaded(loaded.collect());
        self.session = session(InFlight::default());
        self.line_is_new();
    }

    /// The ledger against the rows.
    fn check(&self) {
        let known = self.acknowledged.union(&self.rows).count() + self.replaced.len();
        assert_eq!(
            known as i64, self.last_number,
            "forgotten without a PUBACK of its own"
        );
        assert_eq!(self.outbox.pending().count, self.rows.len() as u64);
    }

    /// From here on nothing fails any more.
    fn drain(&mut self) {
        let mut rounds = 0;
        while !self.rows.is_empty() {
            rounds += 1;
            assert!(rounds < 100_000, "it comes to an end: {:?}", self.rows);
            self.move_bytes();
            self.acknowledge();
            self.write_record();
            self.publish();
            self.check();
        }
        self.check_order();
    }

    /// Each first arrival behind those before it in its lane, and a repeat within the window, if the hub acknowledges in
    /// order. What had arrived when its run ended, and was replaced by the next, has left the window, and does not count.
    fn check_order(&self) {
        let mut first = BTreeMap::new();
        let mut last_of_lane: HashMap<Priority, i64> = HashMap::new();
        let mut arrived = 0;
        for (at, id) in self.received.iter().enumerate() {
            match first.get(id) {
                Some(place) => assert!(
                    arrived - place <= self.window || !self.in_order,
                    "{id} at {at} is too far behind"
                ),
                None => {
                    let last = last_of_lane.insert(lane::priority(*id), *id);
                    assert!(last < Some(*id), "{id} at {at} is out of order");
                    first.insert(*id, arrived);
                    arrived += usize::from(!self.replaced.contains(id));
                }
            }
        }
        let all = arrived + self.replaced.len();
        assert_eq!(all as i64, self.last_number, "all others arrived");
    }
}

fn run(window: usize, cases: u64) {
    let mut random = Rng::with_seed(spotflow_fuzz::seed());
    let mut done = 0;
    while done < cases {
        let mut world = World::new(random.fork(), window);
        (0..random.u16(50..500)).for_each(|_| world.step());
        world.drain();
        done += world.cases;
    }
}

#[test]
fn with_one_in_flight_exactly_what_the_hub_acknowledged_is_forgotten() {
    run(1, 100_000);
}

#[test]
fn with_a_window_exactly_what_the_hub_acknowledged_is_forgotten() {
    run(16, 100_000);
}
