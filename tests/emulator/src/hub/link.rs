//! A live connection as the state sees it: what is to be written to it, and when something is due on it.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rmqtt_codec::types::Publish;
use rmqtt_codec::v3::{Codec, Packet, QoS};
use tokio::sync::Notify;
use tokio_util::codec::Encoder;

use super::packet_log::Direction;
use super::{Mailbox, PacketLog};
use crate::record::Record;

/// A PUBACK that is still to be sent. They leave in the order of their PUBLISH packets.
pub(crate) struct PendingAck {
    pub packet_id: NonZeroU16,
    pub sequence: u64,
    /// Nothing: held back until released.
    pub due: Option<Instant>,
    /// The connection is to be closed after it.
    pub then_cut: bool,
}

pub(crate) struct Live {
    pub number: u64,
    pub hub_id: String,
    pub clean_session: bool,
    pub output: BytesMut,
    pub wake: Arc<Notify>,
    /// Set once: what is in `output` is still written, nothing more is read.
    pub closing: Option<String>,
    pub acks: VecDeque<PendingAck>,
    /// No further packet is handled: the connection is to be cut after a pending acknowledgement.
    pub deaf: bool,
    pub sas_expires: Option<Instant>,
    pub last_heard: Instant,
    pub silence_max: Duration,
    last_packet_id: u16,
}

impl Live {
    pub fn new(
        number: u64,
        hub_id: String,
        clean_session: bool,
        sas_expires: Option<Instant>,
        silence_max: Duration,
    ) -> Self {
        Self {
            number,
            hub_id,
            clean_session,
            output: BytesMut::new(),
            wake: Arc::new(Notify::new()),
            closing: None,
            acks: VecDeque::new(),
            deaf: false,
            sas_expires,
            last_heard: Instant::now(),
            silence_max,
            last_packet_id: 0,
        }
    }

    pub fn close(&mut self, reason: &str) {
        if self.closing.is_none() {
            self.closing = Some(reason.to_owned());
        }
        self.wake.notify_one();
    }

    /// Leaves a packet in the output. Who is not the connection itself has to wake it.
    pub fn send(&mut self, log: &mut PacketLog, packet: Packet) {
        log.note(self.number, Direction::ToDevice, &packet, Instant::now());
        // Fails only for what nothing here builds: topics above 64 KiB, a QoS without packet id.
        if let Err(error) = Codec::default().encode(packet, &mut self.output) {
            self.close(&format!("the hub could not encode a packet: {error}"));
        }
    }

    /// Sends the PUBACKs whose time has come.
    pub fn send_due_acks(&mut self, log: &mut PacketLog, record: &mut Record, now: Instant) {
        while self
            .acks
            .front()
            .and_then(|ack| ack.due)
            .is_some_and(|due| due <= now)
        {
            let Some(ack) = self.acks.pop_front() else {
                break;
            };
            self.send(
                log,
                Packet::PublishAck {
                    packet_id: ack.packet_id,
                },
            );
            record.acknowledged(ack.sequence, now);
            if ack.then_cut {
                self.close("cut after the acknowledgement");
                self.acks.clear();
            }
        }
    }

    /// Makes all acknowledgements due that are being held back.
    pub fn release_acks(&mut self, now: Instant) {
        for ack in &mut self.acks {
            ack.due.get_or_insert(now);
        }
        self.wake.notify_one();
    }

    /// When something is due that no packet brings about.
    pub fn next_deadline(&self, redelivery: Option<Instant>) -> Instant {
        let next_ack = self.acks.front().and_then(|ack| ack.due);
        [next_ack, self.sas_expires, redelivery]
            .into_iter()
            .flatten()
            .fold(self.last_heard + self.silence_max, Instant::min)
    }

    fn next_packet_id(&mut self, taken: impl Fn(u16) -> bool) -> NonZeroU16 {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            if let Some(id) = NonZeroU16::new(self.last_packet_id).filter(|id| !taken(id.get())) {
                return id;
            }
        }
    }
}

/// A live connection together with its device's mailbox: what is needed to send something to a device.
pub(crate) struct Link<'a> {
    pub live: &'a mut Live,
    pub mailbox: &'a mut Mailbox,
}

impl Link<'_> {
    pub fn send(&mut self, packet: Packet) {
        self.live.send(&mut self.mailbox.packets, packet);
    }

    /// Publishes to the device if it subscribed to `filter`; says whether it did.
    pub fn publish(&mut self, filter: &str, topic: String, payload: Bytes) -> bool {
        let Some(qos) = self.granted(filter) else {
            return false;
        };
        let packet_id = (qos != QoS::AtMostOnce).then(|| self.next_packet_id());
        self.send_publish(topic, payload, qos, packet_id, false);
        true
    }

    pub fn granted(&self, filter: &str) -> Option<QoS> {
        self.mailbox.session.as_ref()?.granted(filter)
    }

    pub fn next_packet_id(&mut self) -> NonZeroU16 {
        let cloud = &self.mailbox.cloud;
        self.live.next_packet_id(|id| cloud.uses_packet_id(id))
    }

    pub fn send_publish(
        &mut self,
        topic: String,
        payload: Bytes,
        qos: QoS,
        packet_id: Option<NonZeroU16>,
        dup: bool,
    ) {
        let publish = Publish {
            dup,
            retain: false,
            qos,
            topic: topic.into(),
            packet_id,
            payload,
            properties: None,
        };
        self.send(Packet::Publish(Box::new(publish)));
        self.live.wake.notify_one();
    }
}
