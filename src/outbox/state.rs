//! The outbox's bookkeeping: which rows are ready, taken, acknowledged, recorded. Pure: nothing is
//! read, written or woken here.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use super::admission::{Admission, Answer, Request};
use super::limits::OutboxLimits;
use super::ready::Ready;
use super::records::{Record, Records, SetAside};
use crate::message::outgoing::{Body, Outgoing};
use crate::store::rows::outbox::DroppedRows;
use crate::store::rows::totals::Totals;

/// A Message that is to be stored.
pub(crate) struct NewMessage {
    pub stored_at_ms: i64,
    pub properties: String,
    pub body: Bytes,
    pub upload: bool,
}

/// Where every pending Message is.
#[derive(Default)]
pub(crate) struct State {
    ready: Ready,
    /// Taken by the link and not yet recorded as acknowledged, by id: what fills the window.
    taken: BTreeMap<i64, Taken>,
    records: Records,
    stored_through: i64,
    pending: Totals,
    admission: Admission,
}

struct Taken {
    bytes: usize,
    stored_at_ms: i64,
}

impl State {
    /// What an earlier run left.
    pub fn new(pending: Totals, stored_through: i64) -> State {
        State {
            pending,
            stored_through,
            ..State::default()
        }
    }

    // Step 1: in.

    /// Whether Messages may be stored, in the transaction that is under way.
    pub fn admit(&mut self, request: Request, limits: &OutboxLimits, window: usize) -> Answer {
        self.admission.enter(request.transaction);
        let pending = self.admission.pending(self.pending);
        let excess = limits.excess(pending, request.added, request.free_disk_bytes);
        let Some((limit, excess)) = excess else {
            self.admission.added(request.added);
            return Answer::Fits;
        };
        if !limits.drops_oldest() {
            return Answer::Full(limit);
        }
        let droppable = self.droppable_behind(window);
        Answer::Drop {
            limit,
            excess,
            behind: self.admission.hold(droppable),
        }
    }

    /// So much was dropped for what is added, in the transaction that is under way.
    pub fn replaced(&mut self, dropped: Totals, added: Totals) {
        self.admission.replaced(dropped, added);
    }

    /// What was to be dropped is not enough, and stays.
    pub fn drop_ended(&mut self) {
        self.admission.drop_ended();
    }

    /// The transaction is rolled back; a newer one may be under way.
    pub fn rolled_back(&mut self, transaction: u64) {
        self.admission.rolled_back(transaction);
    }

    /// Behind which Message the oldest may be dropped: those that are taken stay, and, if the link was
    /// kept from taking any, those that fill the window.
    fn droppable_behind(&self, window: usize) -> i64 {
        let kept = if self.admission.link_was_held_up() {
            window.saturating_sub(self.taken.len())
        } else {
            0
        };
        let ready = self.ready.last_of(kept);
        let taken = self.taken.last_key_value().map(|(id, _)| *id);
        // Rows that are sent are no pending ones.
        let sent = self.records.sent_rows.ids().iter().max().copied();
        ready.or(taken.max(sent)).unwrap_or(0)
    }

    /// These rows were dropped, in the transaction that has just been committed.
    pub fn dropped(&mut self, rows: DroppedRows) {
        self.ready.dropped(rows.first..=rows.last);
        self.pending = self.pending.without(rows.totals);
        self.admission.drop_ended();
    }

    /// A row was committed, behind all others.
    pub fn stored(&mut self, id: i64, message: &NewMessage) {
        self.stored_through = id;
        self.pending.count += 1;
        self.pending.bytes += message.body.len() as u64;
        if !self.ready.has_room() {
            self.ready.more_in_store();
            return;
        }
        self.ready.push(Outgoing {
            id,
            stored_at_ms: message.stored_at_ms,
            properties: message.properties.clone(),
            body: if message.upload {
                Body::Upload(message.body.len())
            } else {
                Body::Inline(message.body.clone())
            },
        });
    }

    /// Rows were committed behind all others, that did not come through [`stored`](Self::stored).
    pub fn put_back(&mut self, through: i64, added: Totals) {
        self.stored_through = self.stored_through.max(through);
        self.pending = self.pending.and(added);
        self.ready.more_in_store();
    }

    // Step 2: ready.

    /// See [`Ready::begin_load`].
    #[must_use]
    pub fn begin_load(&mut self) -> bool {
        self.ready.begin_load()
    }

    /// See [`Ready::loaded_through`].
    pub fn loaded_through(&self) -> i64 {
        self.ready.loaded_through()
    }

    /// See [`Ready::loaded`].
    pub fn loaded(&mut self, rows: Vec<Outgoing>, more: bool) {
        self.ready.loaded(rows, more);
    }

    /// See [`Ready::load_failed`].
    pub fn load_failed(&mut self) {
        self.ready.load_failed();
    }

    /// See [`Ready::next_upload`].
    pub fn next_upload(&mut self) -> Option<i64> {
        self.ready.next_upload()
    }

    /// From now on the Message is this link.
    pub fn uploaded(&mut self, id: i64, link: Bytes) {
        let link_bytes = link.len() as u64;
        if let Some(content_bytes) = self.ready.uploaded(id, link) {
            let others = self.pending.bytes.saturating_sub(content_bytes as u64);
            self.pending.bytes = others + link_bytes;
        }
    }

    // Step 3: taken.

    /// The oldest Message that is not taken, if the window has a place and its content is no upload.
    pub fn take(&mut self, window: usize) -> Option<Outgoing> {
        let oldest = self.ready.oldest()?;
        let stalled = self.records.stalled().count();
        let in_window = self.taken.len().saturating_sub(stalled);
        if in_window >= window
            || matches!(oldest.body, Body::Upload(_))
            || !self.admission.may_take(oldest.id)
        {
            return None;
        }
        let message = self.ready.take_oldest()?;
        let taken = Taken {
            bytes: message.body_bytes(),
            stored_at_ms: message.stored_at_ms,
        };
        self.taken.insert(message.id, taken);
        Some(message)
    }

    /// Whether a taken Message is among the oldest that fill the window.
    pub fn has_place(&self, id: i64, window: usize) -> bool {
        let stalled = self.records.stalled().filter(|stalled| *stalled < id);
        let before = self.taken.range(..id).count();
        before.saturating_sub(stalled.count()) < window
    }

    // Steps 4 and 5: acknowledged and recorded.

    /// The Platform has the Message.
    pub fn acknowledged(&mut self, id: i64) {
        self.records.acknowledged(id);
    }

    /// The Platform does not take this taken Message.
    pub fn set_aside_taken(&mut self, message: SetAside) {
        self.records.set_aside(message);
    }

    /// What is to be recorded now: one record at a time, that is noted unless it has to delete.
    pub fn begin_record(&mut self) -> Option<Record> {
        let taken = &self.taken;
        self.records.begin(|acknowledged| {
            let bytes = acknowledged
                .iter()
                .filter_map(|id| taken.get(id))
                .map(|taken| taken.bytes as u64);
            Totals {
                count: acknowledged.len() as u64,
                bytes: bytes.sum(),
            }
        })
    }

    /// The same for whoever cannot note it.
    pub fn begin_delete(&mut self) -> Option<Record> {
        let mut record = self.begin_record()?;
        self.delete_with(&mut record);
        Some(record)
    }

    /// The record that is under way deletes, too.
    pub fn delete_with(&mut self, record: &mut Record) {
        self.records.delete_with(record);
    }

    /// What is noted as sent is to be deleted with the next record.
    pub fn want_sent_deleted(&mut self) {
        self.records.sent_rows.want_deleted();
    }

    /// The rows are noted, or deleted and moved.
    pub fn recorded(&mut self, record: &Record) {
        self.records.recorded(record);
        for id in record.ids() {
            if let Some(taken) = self.taken.remove(&id) {
                self.no_longer_pending(taken.bytes);
            }
        }
    }

    fn no_longer_pending(&mut self, bytes: usize) {
        self.pending = self.pending.without(Totals {
            count: 1,
            bytes: bytes as u64,
        });
    }

    /// The rows could not be changed: they stay in the window, for the next record. Whether there may be
    /// one at once, of what was acknowledged.
    pub fn record_failed(&mut self, record: Record) -> bool {
        self.records.failed(record)
    }

    /// Whether acknowledgements are not recorded yet.
    pub fn has_unrecorded(&self) -> bool {
        self.records.is_any_left()
    }

    /// Whether a record or a load failed, and waits to be tried again.
    pub fn is_stalled(&self) -> bool {
        self.ready.is_stalled() || self.records.is_stalled()
    }

    /// What failed may be tried again.
    pub fn unstall(&mut self) {
        self.ready.unstall();
        self.records.unstall();
    }

    /// See [`Records::sent`].
    pub fn sent(&self) -> Vec<i64> {
        self.records.sent()
    }

    /// Those of them that are noted: their rows are in the database, and count for nothing.
    pub fn noted(&self) -> &[i64] {
        self.records.sent_rows.ids()
    }

    // Other ends.

    /// This ready Message was set aside.
    pub fn set_aside(&mut self, id: i64) {
        if let Some(message) = self.ready.remove(id) {
            self.no_longer_pending(message.body_bytes());
        }
    }

    /// Everything pending was set aside.
    pub fn all_set_aside(&mut self) {
        self.ready.all_set_aside(self.stored_through);
        self.records.all_set_aside();
        self.taken.clear();
        self.pending = Totals::default();
        self.admission = Admission::default();
    }

    /// See [`Ready::missing`].
    pub fn missing(&self, rows: &HashSet<i64>) -> Vec<(Outgoing, Bytes)> {
        self.ready.missing(rows)
    }

    /// The database was rebuilt, and lost some rows. It had `rows` up to `loaded_through`, to which the
    /// missing ones were added; `stored` is all that is in it now. Returns how many Messages are lost.
    pub fn rebuilt(&mut self, rows: &HashSet<i64>, stored: Totals) -> u64 {
        self.ready.forget_lost_uploads(rows);
        let before = self.pending.count;
        self.pending = stored;
        // What is under way needs no row to be sent.
        for (_, taken) in self.taken.iter().filter(|(id, _)| !rows.contains(id)) {
            self.pending.count += 1;
            self.pending.bytes += taken.bytes as u64;
        }
        before.saturating_sub(self.pending.count)
    }

    // What there is.

    /// Whether everything up to `id` is sent and recorded.
    pub fn is_sent_through(&self, id: i64) -> bool {
        self.oldest_pending().is_none_or(|oldest| oldest > id)
    }

    /// The oldest Message that is not recorded as acknowledged, or a lower bound for its id.
    pub fn oldest_pending(&self) -> Option<i64> {
        let taken = self.taken.first_key_value().map(|(id, _)| *id);
        taken.or_else(|| self.ready.oldest_id())
    }

    /// The newest id that was stored.
    pub fn stored_through(&self) -> i64 {
        self.stored_through
    }

    /// How much is not yet sent.
    pub fn pending(&self) -> Totals {
        self.pending
    }

    /// The oldest pending Message, and when it was stored, by the wall clock.
    pub fn oldest_label(&self) -> Option<(i64, i64)> {
        let taken = self.taken.first_key_value();
        let taken = taken.map(|(id, taken)| (*id, taken.stored_at_ms));
        taken.or_else(|| {
            let ready = self.ready.oldest();
            ready.map(|message| (message.id, message.stored_at_ms))
        })
    }
}

#[cfg(test)]
mod tests;
