//! The control packets of a device, as a test of the protocol wants to see them.

use std::collections::VecDeque;
use std::time::Instant;

use rmqtt_codec::v3::Packet;

/// Older packets are forgotten.
const PACKETS_KEPT_MAX: usize = 4096;

/// Who sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The device.
    FromDevice,
    /// The hub.
    ToDevice,
}

/// The type of an MQTT control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "MQTT's own names")]
pub enum PacketKind {
    Connect,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
}

/// An MQTT control packet that was seen.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PacketSeen {
    /// The number of its connection.
    pub connection: u64,
    /// Who sent it.
    pub direction: Direction,
    /// Its type.
    pub kind: PacketKind,
    /// Its packet identifier, if it has one.
    pub packet_id: Option<u16>,
    /// Its DUP flag.
    pub dup: bool,
    /// The length of its payload, for PUBLISH.
    pub payload_bytes: usize,
    /// When the hub read or queued it.
    pub at: Instant,
}

#[derive(Default)]
pub(crate) struct PacketLog {
    packets: VecDeque<PacketSeen>,
}

impl PacketLog {
    pub fn note(&mut self, connection: u64, direction: Direction, packet: &Packet, at: Instant) {
        if self.packets.len() == PACKETS_KEPT_MAX {
            self.packets.pop_front();
        }
        let (kind, packet_id) = identify(packet);
        let (dup, payload_bytes) = match packet {
            Packet::Publish(publish) => (publish.dup, publish.payload.len()),
            _ => (false, 0),
        };
        self.packets.push_back(PacketSeen {
            connection,
            direction,
            kind,
            packet_id,
            dup,
            payload_bytes,
            at,
        });
    }

    pub fn slice(&mut self) -> &[PacketSeen] {
        self.packets.make_contiguous()
    }

    pub fn all(&self) -> Vec<PacketSeen> {
        self.packets.iter().cloned().collect()
    }
}

fn identify(packet: &Packet) -> (PacketKind, Option<u16>) {
    match packet {
        Packet::Connect(_) => (PacketKind::Connect, None),
        Packet::ConnectAck(_) => (PacketKind::ConnAck, None),
        Packet::Publish(publish) => (PacketKind::Publish, publish.packet_id.map(u16::from)),
        Packet::PublishAck { packet_id } => (PacketKind::PubAck, Some(packet_id.get())),
        Packet::PublishReceived { packet_id } => (PacketKind::PubRec, Some(packet_id.get())),
        Packet::PublishRelease { packet_id } => (PacketKind::PubRel, Some(packet_id.get())),
        Packet::PublishComplete { packet_id } => (PacketKind::PubComp, Some(packet_id.get())),
        Packet::Subscribe { packet_id, .. } => (PacketKind::Subscribe, Some(packet_id.get())),
        Packet::SubscribeAck { packet_id, .. } => (PacketKind::SubAck, Some(packet_id.get())),
        Packet::Unsubscribe { packet_id, .. } => (PacketKind::Unsubscribe, Some(packet_id.get())),
        Packet::UnsubscribeAck { packet_id } => (PacketKind::UnsubAck, Some(packet_id.get())),
        Packet::PingRequest => (PacketKind::PingReq, None),
        Packet::PingResponse => (PacketKind::PingResp, None),
        Packet::Disconnect => (PacketKind::Disconnect, None),
    }
}
