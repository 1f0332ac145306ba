//! What happened to taken Messages, and when it is recorded: acknowledged ones are noted as sent, or deleted from the
//! database with all that were noted before; those that the hub does not take are set aside; and which lane is sent
//! from. Pure, as the state.

use super::sent::SentRows;
use crate::identity::HubDeviceId;
use crate::message::priority::Priority;
use crate::store::Durability;
use crate::store::rows::totals::Totals;

/// A power cut can repeat this many Messages whose acknowledgement was recorded, and those of the
/// window: the record of every so-many-th is synced, with the deletion of all before.
pub(super) const ACKNOWLEDGEMENTS_PER_SYNC: usize = 256;

/// A Message that is to be set aside.
#[derive(Debug, Clone)]
pub(crate) struct SetAside {
    pub id: i64,
    pub reason: String,
    /// As whose.
    pub identity: HubDeviceId,
    pub now_ms: i64,
}

/// What is recorded at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub acknowledged: Vec<i64>,
    pub set_aside: Vec<SetAside>,
    /// Older than their time to live when their turn came: their rows are deleted. Synced: with a clock that is not set at
    /// the next start they would not be too old, and be sent although it was told that they are not.
    pub expired: Vec<i64>,
    pub is_synced: bool,
    /// From now on it is sent from this lane. Synced, and before it what is noted: so not even a power cut makes the link
    /// go back to the one before.
    pub lane: Option<Priority>,
    /// How much is acknowledged.
    pub sent: Totals,
    /// All that is sent is deleted, instead of being noted or staying so; these were noted before.
    pub deletes: bool,
    pub noted: Vec<i64>,
}

impl Record {
    pub fn durability(&self) -> Durability {
        if self.is_synced {
            Durability::PowerSafe
        } else {
            Durability::KillSafe
        }
    }

    fn is_empty(&self) -> bool {
        self.set_aside.is_empty() && !self.is_more_than_set_aside()
    }

    /// Whether there is something in it that a full disk does not hold up.
    fn is_more_than_set_aside(&self) -> bool {
        !self.acknowledged.is_empty() || !self.expired.is_empty() || self.lane.is_some()
    }

    /// The Messages that it is about.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        let set_aside = self.set_aside.iter().map(|it| it.id);
        let deleted = self.acknowledged.iter().chain(&self.expired);
        deleted.copied().chain(set_aside)
    }

    /// The rows that it deletes, in order.
    pub fn deleted_rows(&self) -> Vec<i64> {
        let mut rows = [self.noted.as_slice(), &self.acknowledged, &self.expired].concat();
        rows.sort_unstable();
        rows
    }

    /// Puts what could not be written before what has come since.
    fn prepend(&mut self, failed: Record) {
        self.acknowledged.splice(0..0, failed.acknowledged);
        self.set_aside.splice(0..0, failed.set_aside);
        self.expired.splice(0..0, failed.expired);
        self.lane = self.lane.or(failed.lane);
    }
}

/// What waits for the next record, and what the last ones left.
#[derive(Default)]
pub(super) struct Records {
    /// What waits for the next record.
    next: Record,
    /// A record that sets Messages aside failed. Until [`unstall`](Self::unstall), acknowledgements are recorded
    /// without it: those make room on a full disk, to set aside takes some.
    shelf_is_stalled: bool,
    is_under_way: bool,
    is_changing_lane: bool,
    /// What the record under way deletes of what was acknowledged.
    deleting: Vec<i64>,
    unsynced: usize,
    pub sent_rows: SentRows,
}

impl Records {
    /// The Platform has the Message.
    pub fn acknowledged(&mut self, id: i64) {
        self.next.acknowledged.push(id);
    }

    /// The Message is not sent: it is too old.
    pub fn expired(&mut self, id: i64) {
        self.next.expired.push(id);
    }

    /// The next record says that from then on it is sent from this lane.
    pub fn change_lane(&mut self, priority: Priority) {
        self.next.lane = Some(priority);
        self.is_changing_lane = true;
    }

    /// Whether that is not recorded yet.
    pub fn is_changing_lane(&self) -> bool {
        self.is_changing_lane
    }

    /// The Message will not be sent.
    pub fn set_aside(&mut self, message: SetAside) {
        self.next.set_aside.push(message);
    }

    /// Messages that nobody sends any more, and that have no place in the window: a full disk must not stop those
    /// behind them.
    pub fn stalled(&self) -> impl Iterator<Item = i64> {
        let stalled: &[SetAside] = if self.shelf_is_stalled {
            &self.next.set_aside
        } else {
            &[]
        };
        stalled.iter().map(|it| it.id)
    }

    /// What is to be recorded now: one record at a time. `sent` counts what is acknowledged.
    pub fn begin(&mut self, sent: impl FnOnce(&[i64]) -> Totals) -> Option<Record> {
        let is_nothing_new = if self.shelf_is_stalled {
            !self.next.is_more_than_set_aside()
        } else {
            self.next.is_empty()
        };
        if self.is_under_way || (is_nothing_new && !self.sent_rows.is_delete_wanted()) {
            return None;
        }
        self.is_under_way = true;
        let mut record = std::mem::take(&mut self.next);
        if self.shelf_is_stalled {
            self.next.set_aside = std::mem::take(&mut record.set_aside);
        }
        record.sent = sent(&record.acknowledged);
        self.unsynced += record.acknowledged.len();
        record.is_synced = self.unsynced >= ACKNOWLEDGEMENTS_PER_SYNC
            || !record.set_aside.is_empty()
            || !record.expired.is_empty()
            || record.lane.is_some();
        if record.is_synced {
            self.unsynced = 0;
        }
        let deletes_others = record.is_synced && record.ids().next().is_some();
        if deletes_others || self.sent_rows.delete_with(record.sent) {
            self.delete_with(&mut record);
        } else if record.lane.is_some() {
            record.noted = self.sent_rows.ids().to_vec();
        }
        Some(record)
    }

    /// The record that is under way deletes, too.
    pub fn delete_with(&mut self, record: &mut Record) {
        self.deleting.clone_from(&record.acknowledged);
        record.deletes = true;
        record.noted = self.sent_rows.ids().to_vec();
    }

    /// The rows are noted, or deleted and moved.
    pub fn recorded(&mut self, record: &Record) {
        self.ended();
        if record.lane.is_some() {
            self.is_changing_lane = false;
        }
        if record.deletes {
            self.sent_rows.deleted();
        } else {
            self.sent_rows
                .noted(&record.acknowledged, record.sent.bytes);
        }
    }

    /// The rows could not be changed: they wait for the next record. Whether there may be one at once, of what was
    /// acknowledged.
    pub fn failed(&mut self, record: Record) -> bool {
        self.ended();
        self.sent_rows.delete_failed();
        let sets_aside = !record.set_aside.is_empty();
        self.shelf_is_stalled |= sets_aside;
        self.next.prepend(record);
        sets_aside && self.next.is_more_than_set_aside()
    }

    fn ended(&mut self) {
        self.is_under_way = false;
        self.deleting.clear();
    }

    /// Whether something is not recorded yet.
    pub fn is_any_left(&self) -> bool {
        self.is_under_way || !self.next.is_empty()
    }

    /// Whether a record failed, and waits to be tried again.
    pub fn is_stalled(&self) -> bool {
        !self.is_under_way && !self.next.is_empty()
    }

    /// What failed may be tried again.
    pub fn unstall(&mut self) {
        self.shelf_is_stalled = false;
    }

    /// What the Platform has, whatever the database says: these must not be sent again, or set aside.
    pub fn sent(&self) -> Vec<i64> {
        let noted = self.sent_rows.ids();
        let mut sent = [noted, &self.deleting, &self.next.acknowledged].concat();
        sent.sort_unstable();
        sent
    }

    /// Everything is set aside, but what was sent; a record can still be under way.
    pub fn all_set_aside(&mut self) {
        *self = Records {
            is_under_way: self.is_under_way,
            deleting: std::mem::take(&mut self.deleting),
            // Of the record under way; one that waits is forgotten.
            is_changing_lane: self.is_changing_lane && self.next.lane.is_none(),
            ..Records::default()
        };
    }
}
