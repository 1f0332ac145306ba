//! Who may come in: what the transaction under way adds and drops, which the state does not have yet.
//! Pure, as the state.
//!
//! Jobs of one transaction are told of its end before the next begins: by then the state has what was
//! committed, and what was rolled back counts for nothing. So every transaction begins with nothing here.

use super::limits::OutboxLimit;
use crate::message::lanes::Lanes;
use crate::message::priority::Priority;
use crate::store::rows::lane;
use crate::store::rows::outbox::DroppedRows;
use crate::store::rows::totals::Totals;

/// Messages want to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// The number of the transaction under way.
    pub transaction: u64,
    pub added: Totals,
    /// Older ones of their keys, which go in their favour.
    pub replaced: Totals,
    /// If it matters, and is known.
    pub free_disk_bytes: Option<u64>,
}

/// Whether they may.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Fits,
    /// They would exceed this limit.
    Full(OutboxLimit),
    /// They may when as much as the excess is dropped, of the oldest of each lane behind this Message; until the drop
    /// has ended, the link takes none of those.
    Drop {
        limit: OutboxLimit,
        excess: Totals,
        behind: Lanes<i64>,
    },
}

/// What one call has stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// Of its Messages, in their order.
    pub ids: Vec<i64>,
    /// What had to go for them.
    pub dropped: Option<Dropped>,
    /// The older ones of their keys.
    pub replaced: Replaced,
}

/// Messages that went in favour of a newer one of their key.
#[derive(Debug, Clone, Default)]
pub(super) struct Replaced {
    /// They were stored: one row each.
    pub rows: Vec<DroppedRows>,
    /// They had newer ones in the call that was to store them.
    pub at_once: Option<DroppedRows>,
}

/// The oldest Messages were dropped, to keep to a limit.
#[derive(Debug, Clone)]
pub(super) struct Dropped {
    /// Of one lane each.
    pub rows: Vec<DroppedRows>,
    pub limit: OutboxLimit,
}

/// The changes of the transaction under way.
#[derive(Default)]
pub(super) struct Admission {
    transaction: u64,
    added: Totals,
    dropped: Totals,
    /// Messages behind this one of their lane are about to be dropped, or to follow those: the link must not take
    /// them before that is committed.
    held_behind: Option<Lanes<i64>>,
    drops: usize,
    /// Messages that are about to be replaced: neither must the link take them.
    held: Vec<i64>,
    link_was_held_up: Option<Priority>,
}

impl Admission {
    /// A job of this transaction asks. What an earlier one left counts for nothing.
    pub fn enter(&mut self, transaction: u64) {
        if self.transaction != transaction {
            *self = Admission {
                transaction,
                link_was_held_up: self.link_was_held_up,
                ..Admission::default()
            };
        }
    }

    /// What will be pending if the transaction is committed as it is.
    pub fn pending(&self, committed: Totals) -> Totals {
        committed.and(self.added).without(self.dropped)
    }

    pub fn added(&mut self, totals: Totals) {
        self.added = self.added.and(totals);
    }

    /// Keeps the link from what may be dropped now; returns behind which Message of each lane that is.
    pub fn hold(&mut self, droppable_behind: Lanes<i64>) -> Lanes<i64> {
        self.drops += 1;
        *self.held_behind.get_or_insert(droppable_behind)
    }

    /// Keeps the link from these Messages, until each is [released](Self::release) or the transaction has ended.
    pub fn hold_each(&mut self, ids: impl Iterator<Item = i64>) {
        self.held.extend(ids);
    }

    /// It was replaced, or stays.
    pub fn release(&mut self, id: i64) {
        self.held.retain(|held| *held != id);
    }

    /// So much went for what is added.
    pub fn replaced(&mut self, dropped: Totals, added: Totals) {
        self.dropped = self.dropped.and(dropped);
        self.added(added);
    }

    /// A drop is committed, or was not made: each ends one [`hold`](Self::hold).
    pub fn drop_ended(&mut self) {
        self.drops = self.drops.saturating_sub(1);
        if self.drops == 0 {
            self.held_behind = None;
        }
    }

    /// The transaction is rolled back; a newer one may be under way.
    pub fn rolled_back(&mut self, transaction: u64) {
        if self.transaction == transaction {
            self.enter(0);
        }
    }

    /// Whether the link may have this Message now. If not, it has a place the next time: producers that
    /// drop without end must not keep it out.
    pub fn may_take(&mut self, id: i64) -> bool {
        let is_held = self.is_held(id);
        self.link_was_held_up = is_held.then_some(lane::priority(id));
        !is_held
    }

    /// Whether it may be dropped or replaced by the transaction that is under way.
    pub fn is_held(&self, id: i64) -> bool {
        let priority = lane::priority(id);
        self.held_behind.is_some_and(|behind| id > behind[priority]) || self.held.contains(&id)
    }

    /// In which lane.
    pub fn link_was_held_up(&self) -> Option<Priority> {
        self.link_was_held_up
    }
}
