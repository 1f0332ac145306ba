//! The Messages in flight, oldest first: taken from the outbox, and not acknowledged. They are what
//! outlives a connection, with the packet ids under which the hub may know them.

use std::collections::VecDeque;

use crate::message::outgoing::Outgoing;

/// Publishes without a PUBACK.
#[derive(Default)]
pub(crate) struct InFlight(VecDeque<Publish>);

struct Publish {
    packet_id: u16,
    message: Outgoing,
    /// On this connection: where it ends in the stream to the hub. Only behind it can a PUBACK be its own.
    end: Option<u64>,
    /// On this connection or one before.
    was_sent: bool,
}

/// What goes into the packet of a publish.
pub(crate) struct Sending<'a> {
    pub packet_id: u16,
    pub message: &'a Outgoing,
    /// The hub may know it, from a connection before.
    pub is_repeat: bool,
}

impl InFlight {
    /// Another connection: it has sent nothing yet.
    pub fn begin_connection(&mut self) {
        self.0.iter_mut().for_each(|it| it.end = None);
    }

    /// How many there are, sent on this connection or not.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn uses(&self, packet_id: u16) -> bool {
        self.0.iter().any(|it| it.packet_id == packet_id)
    }

    pub fn newest_packet_id(&self) -> Option<u16> {
        self.0.back().map(|it| it.packet_id)
    }

    /// The oldest Message that this connection has sent.
    pub fn oldest_sent(&self) -> Option<i64> {
        let mut publishes = self.0.iter();
        publishes.find_map(|it| it.end.map(|_| it.message.id))
    }

    /// The oldest publish that this connection has not sent: its place and the Message's id.
    pub fn next_unsent(&self) -> Option<(usize, i64)> {
        let mut publishes = self.0.iter().enumerate();
        publishes.find_map(|(place, it)| it.end.is_none().then_some((place, it.message.id)))
    }

    /// Takes a Message in, behind all others.
    pub fn take_in(&mut self, packet_id: u16, message: Outgoing) {
        self.0.push_back(Publish {
            packet_id,
            message,
            end: None,
            was_sent: false,
        });
    }

    /// The one at this place, counted from the oldest, is about to be [written](Self::written).
    pub fn send(&mut self, place: usize) -> Option<Sending<'_>> {
        let publish = self.0.get_mut(place)?;
        Some(Sending {
            packet_id: publish.packet_id,
            message: &publish.message,
            is_repeat: std::mem::replace(&mut publish.was_sent, true),
        })
    }

    /// The one at this place ends there in the stream to the hub.
    pub fn written(&mut self, place: usize, end: u64) {
        if let Some(publish) = self.0.get_mut(place) {
            publish.end = Some(end);
        }
    }

    /// A PUBACK came when `taken` bytes of the stream had gone out; returns whose it is, if it is of a
    /// publish that this connection has sent.
    pub fn acknowledged(&mut self, packet_id: u16, taken: u64) -> Option<i64> {
        let is_sent = |it: &Publish| it.end.is_some_and(|end| end <= taken);
        let is_it = |it: &Publish| it.packet_id == packet_id && is_sent(it);
        let place = self.0.iter().position(is_it)?;
        self.0.remove(place).map(|publish| publish.message.id)
    }

    /// The Message is not sent again.
    pub fn forget(&mut self, id: i64) {
        self.0.retain(|it| it.message.id != id);
    }
}
