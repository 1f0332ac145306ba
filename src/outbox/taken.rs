//! The Messages that the link has taken, until their acknowledgement is recorded: what fills the in-flight window. Pure.

use std::collections::{BTreeMap, HashSet};

use crate::message::outgoing::Outgoing;
use crate::message::priority::Priority;
use crate::store::rows::lane;

/// What is taken, by id.
#[derive(Default)]
pub(super) struct Taken {
    messages: BTreeMap<i64, TakenMessage>,
    takes: u64,
    /// How many of them are too old, and not sent.
    expiring: usize,
}

struct TakenMessage {
    /// Whether the link has it, or had it.
    was_sent: bool,
    /// Which take it was.
    take: u64,
    bytes: usize,
    stored_at_ms: i64,
}

impl TakenMessage {
    fn new(message: &Outgoing, take: u64) -> TakenMessage {
        TakenMessage {
            was_sent: true,
            take,
            bytes: message.body_bytes(),
            stored_at_ms: message.stored_at_ms,
        }
    }
}

impl Taken {
    /// The link has it from now on.
    pub fn add(&mut self, message: &Outgoing) {
        self.takes += 1;
        let taken = TakenMessage::new(message, self.takes);
        self.messages.insert(message.id, taken);
    }

    /// It is too old. It is not sent, and has no place in the window.
    pub fn add_expired(&mut self, message: &Outgoing) {
        self.expiring += 1;
        let taken = TakenMessage {
            was_sent: false,
            ..TakenMessage::new(message, 0)
        };
        self.messages.insert(message.id, taken);
    }

    /// Whether the end of a too old one is not recorded yet.
    pub fn is_any_expiring(&self) -> bool {
        self.expiring > 0
    }

    /// So many too old ones are recorded.
    pub fn expiry_is_recorded(&mut self, count: usize) {
        self.expiring = self.expiring.saturating_sub(count);
    }

    /// It is recorded; returns its bytes.
    pub fn remove(&mut self, id: i64) -> Option<usize> {
        self.messages.remove(&id).map(|taken| taken.bytes)
    }

    pub fn clear(&mut self) {
        self.messages.clear();
        self.expiring = 0;
    }

    /// How many the link has taken in this run.
    pub fn takes(&self) -> u64 {
        self.takes
    }

    /// How many places of the window are filled: those that are `stalled` have none.
    pub fn in_window(&self, stalled: impl Iterator<Item = i64>) -> usize {
        let without_place = stalled.count() + self.expiring;
        self.messages.len().saturating_sub(without_place)
    }

    /// How many places are filled by what was taken before this one, if it is taken.
    pub fn before(&self, id: i64, stalled: impl Iterator<Item = i64>) -> Option<usize> {
        let take = self.messages.get(&id)?.take;
        let is_before = |it: &&TakenMessage| it.was_sent && it.take < take;
        let stalled = stalled.filter_map(|id| self.messages.get(&id));
        let stalled = stalled.filter(is_before).count();
        let before = self.messages.values().filter(is_before).count();
        Some(before.saturating_sub(stalled))
    }

    pub fn bytes_of(&self, id: i64) -> Option<usize> {
        self.messages.get(&id).map(|taken| taken.bytes)
    }

    /// The bytes of each whose row is not among these.
    pub fn bytes_without_row(&self, rows: &HashSet<i64>) -> impl Iterator<Item = usize> {
        let lost = self.messages.iter().filter(|(id, _)| !rows.contains(id));
        lost.map(|(_, taken)| taken.bytes)
    }

    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.messages.keys().copied()
    }

    pub fn oldest_of(&self, lane: Priority) -> Option<i64> {
        let mut ids = self.messages.range(lane::ids(lane));
        ids.next().map(|(id, _)| *id)
    }

    pub fn newest_of(&self, lane: Priority) -> Option<i64> {
        let mut ids = self.messages.range(lane::ids(lane));
        ids.next_back().map(|(id, _)| *id)
    }

    /// The number of each, and when it was stored, by the wall clock.
    pub fn labels(&self) -> impl Iterator<Item = (i64, i64)> {
        let messages = self.messages.iter();
        messages.map(|(id, taken)| (lane::number(*id), taken.stored_at_ms))
    }
}
