//! The outbox's bookkeeping: which rows are ready, taken, acknowledged, recorded. Pure: nothing is
//! read, written or woken here.

use std::collections::{BTreeMap, HashSet, VecDeque};

use bytes::Bytes;

use super::NewMessage;
use super::admission::Admission;
use super::record::{Record, Refusal};
use super::sent_rows::SentRows;
use crate::message::outgoing::{Body, Outgoing};
use crate::store::outbox_rows::{DroppedRows, Totals};

/// What the ready queue may hold; a single Message may exceed the bytes.
pub(super) const READY_BYTES: usize = 256 << 10;
pub(super) const READY_COUNT: usize = 256;

/// A power cut can repeat this many Messages whose acknowledgement was recorded, and those of the
/// window: the record of every so-many-th is synced, with the deletion of all before.
pub(super) const ACKNOWLEDGEMENTS_PER_SYNC: usize = 256;

/// Where every pending Message is.
#[derive(Default)]
pub(super) struct State {
    /// The oldest rows that are not taken, in their order.
    ready: VecDeque<Outgoing>,
    ready_bytes: usize,
    /// There may be an upload in `ready`.
    has_upload: bool,
    /// Taken by the link and not yet recorded as acknowledged, by id.
    taken: BTreeMap<i64, Taken>,
    /// What waits for the next record.
    unrecorded: Record,
    /// A record with refusals failed. Until [`unstall`](Self::unstall), acknowledgements are recorded
    /// without them: those make room on a full disk, refusals take some.
    refusals_wait: bool,
    recording: bool,
    unsynced_records: usize,
    /// Rows up to this id are in `ready`, or were.
    loaded_through: i64,
    /// There are rows behind `loaded_through`.
    more_in_store: bool,
    loading: bool,
    load_failed: bool,
    stored_through: i64,
    pending: Totals,
    pub sent_rows: SentRows,
    pub admission: Admission,
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

    /// A row was committed, behind all others.
    pub fn stored(&mut self, id: i64, message: &NewMessage) {
        self.stored_through = id;
        self.pending.count += 1;
        self.pending.bytes += message.body.len() as u64;
        let full = self.ready_bytes >= READY_BYTES || self.ready.len() >= READY_COUNT;
        if self.more_in_store || full {
            self.more_in_store = true;
            return;
        }
        self.push_ready(Outgoing {
            id,
            stored_at_ms: message.stored_at_ms,
            properties: message.properties.clone(),
            body: match message.upload {
                true => Body::Upload(message.body.len()),
                false => Body::Inline(message.body.clone()),
            },
        });
    }

    /// Rows were committed behind all others, that did not come through [`stored`](Self::stored).
    pub fn stored_elsewhere(&mut self, through: i64, added: Totals) {
        self.stored_through = self.stored_through.max(through);
        self.pending.count += added.count;
        self.pending.bytes += added.bytes;
        self.more_in_store = true;
    }

    fn push_ready(&mut self, message: Outgoing) {
        self.loaded_through = message.id;
        self.ready_bytes += message.memory_bytes();
        self.has_upload |= matches!(message.body, Body::Upload(_));
        self.ready.push_back(message);
    }

    /// The oldest Message that is not taken, if the window has a place and its content is no upload.
    pub fn take(&mut self, window: usize) -> Option<Outgoing> {
        let oldest = self.ready.front()?;
        let in_window = self
            .taken
            .len()
            .saturating_sub(self.waiting_refusals().count());
        if in_window >= window || matches!(oldest.body, Body::Upload(_)) {
            return None;
        }
        if !self.admission.may_take(oldest.id) {
            return None;
        }
        let message = self.ready.pop_front()?;
        self.ready_bytes = self.ready_bytes.saturating_sub(message.memory_bytes());
        let taken = Taken {
            bytes: message.body_bytes(),
            stored_at_ms: message.stored_at_ms,
        };
        self.taken.insert(message.id, taken);
        Some(message)
    }

    /// Behind which Message the oldest may be dropped: those that are taken stay, and, if the link was
    /// kept from taking any, those that fill the window.
    pub fn droppable_behind(&self, window: usize) -> i64 {
        let kept = match self.admission.link_was_held_up() {
            true => window.saturating_sub(self.taken.len()),
            false => 0,
        };
        let ready = self
            .ready
            .iter()
            .take(kept)
            .last()
            .map(|message| message.id);
        let taken = self.taken.last_key_value().map(|(id, _)| *id);
        // Rows that are sent are no pending ones.
        let sent = self.sent_rows.ids().iter().max().copied();
        ready.or(taken.max(sent)).unwrap_or(0)
    }

    /// These rows were dropped, in the transaction that has just been committed.
    pub fn dropped(&mut self, rows: DroppedRows) {
        let dropped = rows.first..=rows.last;
        self.ready.retain(|message| !dropped.contains(&message.id));
        self.ready_bytes = self.ready.iter().map(Outgoing::memory_bytes).sum();
        self.loaded_through = self.loaded_through.max(rows.last);
        self.pending = self.pending.without(rows.totals);
        self.admission.drop_ended();
    }

    /// Whether a taken Message is among the oldest that fill the window.
    pub fn has_place(&self, id: i64, window: usize) -> bool {
        let refused = self.waiting_refusals().filter(|refused| *refused < id);
        let before = self.taken.range(..id).count();
        before.saturating_sub(refused.count()) < window
    }

    /// Taken Messages that nobody sends any more, and that have no place in the window: a full disk must
    /// not stop those behind them.
    fn waiting_refusals(&self) -> impl Iterator<Item = i64> {
        let refused = match self.refusals_wait {
            true => self.unrecorded.refused.as_slice(),
            false => &[],
        };
        refused.iter().map(|refusal| refusal.id)
    }

    /// The Platform has the Message.
    pub fn acknowledged(&mut self, id: i64) {
        self.unrecorded.acknowledged.push(id);
    }

    /// The Platform does not take this taken Message.
    pub fn refused(&mut self, refusal: Refusal) {
        self.unrecorded.refused.push(refusal);
    }

    /// What is to be recorded now: one record at a time. Whoever cannot note it has it deleted.
    pub fn begin_record(&mut self, may_note: bool) -> Option<Record> {
        let nothing = match self.refusals_wait {
            true => self.unrecorded.acknowledged.is_empty(),
            false => self.unrecorded.is_empty(),
        };
        if self.recording || (nothing && !self.sent_rows.is_delete_wanted()) {
            return None;
        }
        self.recording = true;
        let mut record = std::mem::take(&mut self.unrecorded);
        if self.refusals_wait {
            self.unrecorded.refused = std::mem::take(&mut record.refused);
        }
        record.sent = self.totals_of(&record.acknowledged);
        self.unsynced_records += record.acknowledged.len();
        record.is_synced =
            self.unsynced_records >= ACKNOWLEDGEMENTS_PER_SYNC || !record.refused.is_empty();
        if record.is_synced {
            self.unsynced_records = 0;
        }
        if !may_note || record.is_synced || self.sent_rows.delete_with(record.sent) {
            self.delete_with(&mut record);
        }
        Some(record)
    }

    /// The record that is under way deletes, too.
    pub fn delete_with(&self, record: &mut Record) {
        record.deletes = true;
        record.noted = self.sent_rows.ids().to_vec();
    }

    fn totals_of(&self, taken: &[i64]) -> Totals {
        let bytes = taken
            .iter()
            .filter_map(|id| self.taken.get(id))
            .map(|taken| taken.bytes as u64);
        Totals {
            count: taken.len() as u64,
            bytes: bytes.sum(),
        }
    }

    /// The rows are noted, or deleted and moved.
    pub fn recorded(&mut self, record: &Record) {
        self.recording = false;
        match record.deletes {
            true => self.sent_rows.deleted(),
            false => self
                .sent_rows
                .noted(&record.acknowledged, record.sent.bytes),
        }
        for id in record.ids() {
            if let Some(taken) = self.taken.remove(&id) {
                self.pending.count = self.pending.count.saturating_sub(1);
                self.pending.bytes = self.pending.bytes.saturating_sub(taken.bytes as u64);
            }
        }
    }

    /// The rows could not be changed: they stay in the window, for the next record. Whether there may be
    /// one at once, of what was acknowledged.
    pub fn record_failed(&mut self, record: Record) -> bool {
        self.recording = false;
        self.sent_rows.delete_failed();
        let had_refusals = !record.refused.is_empty();
        self.refusals_wait |= had_refusals;
        self.unrecorded.prepend(record);
        had_refusals && !self.unrecorded.acknowledged.is_empty()
    }

    /// Whether acknowledgements are not recorded yet.
    pub fn has_unrecorded(&self) -> bool {
        self.recording || !self.unrecorded.is_empty()
    }

    /// Whether rows should be loaded now; if so, the answer must come: [`loaded`](Self::loaded) or
    /// [`load_failed`](Self::load_failed).
    pub fn begin_load(&mut self) -> bool {
        let is_low = self.ready.len() <= READY_COUNT / 4 && self.ready_bytes <= READY_BYTES / 4;
        let begins = self.more_in_store && !self.loading && !self.load_failed && is_low;
        self.loading |= begins;
        begins
    }

    /// Behind which row the load starts, when it is carried out.
    pub fn loaded_through(&self) -> i64 {
        self.loaded_through
    }

    /// These rows follow; `more` if there are others behind them.
    pub fn loaded(&mut self, rows: Vec<Outgoing>, more: bool) {
        self.loading = false;
        rows.into_iter().for_each(|row| self.push_ready(row));
        self.more_in_store = more;
    }

    /// The rows could not be read.
    pub fn load_failed(&mut self) {
        self.loading = false;
        self.load_failed = true;
    }

    /// Whether a record or a load failed, and waits to be tried again.
    pub fn is_stalled(&self) -> bool {
        self.load_failed || (!self.recording && !self.unrecorded.is_empty())
    }

    /// What failed may be tried again.
    pub fn unstall(&mut self) {
        self.load_failed = false;
        self.refusals_wait = false;
    }

    /// The oldest ready Message whose content has to be uploaded before its turn.
    pub fn next_upload(&mut self) -> Option<i64> {
        if !self.has_upload {
            return None;
        }
        let is_upload = |message: &&Outgoing| matches!(message.body, Body::Upload(_));
        let next = self.ready.iter().find(is_upload).map(|message| message.id);
        self.has_upload = next.is_some();
        next
    }

    /// From now on the Message is this link.
    pub fn uploaded(&mut self, id: i64, link: Bytes) {
        if let Some(message) = self.ready.iter_mut().find(|message| message.id == id) {
            let content_bytes = message.body_bytes() as u64;
            self.pending.bytes =
                self.pending.bytes.saturating_sub(content_bytes) + link.len() as u64;
            self.ready_bytes += link.len();
            message.body = Body::Inline(link);
        }
    }

    /// This ready Message was moved aside.
    pub fn set_aside(&mut self, id: i64) {
        let place = self.ready.iter().position(|message| message.id == id);
        if let Some(message) = place.and_then(|place| self.ready.remove(place)) {
            self.ready_bytes = self.ready_bytes.saturating_sub(message.memory_bytes());
            self.pending.count = self.pending.count.saturating_sub(1);
            let bytes = message.body_bytes() as u64;
            self.pending.bytes = self.pending.bytes.saturating_sub(bytes);
        }
    }

    /// Everything pending was moved aside.
    pub fn all_set_aside(&mut self) {
        *self = State {
            recording: self.recording,
            loading: self.loading,
            loaded_through: self.stored_through,
            ..State::new(Totals::default(), self.stored_through)
        };
    }

    /// The Messages in memory that are not among these rows, and can be stored again.
    pub fn missing(&self, rows: &HashSet<i64>) -> Vec<(Outgoing, Bytes)> {
        let missing = self
            .ready
            .iter()
            .filter(|message| !rows.contains(&message.id));
        let with_body = missing.filter_map(|message| match &message.body {
            Body::Inline(body) => Some((message.clone(), body.clone())),
            Body::Upload(_) => None,
        });
        with_body.collect()
    }

    /// The database was rebuilt, and lost some rows. It had `rows` up to `loaded_through`, to which the
    /// missing ones were added; `stored` is all that is in it now. Returns how many Messages are lost.
    pub fn rebuilt(&mut self, rows: &HashSet<i64>, stored: Totals) -> u64 {
        let is_lost = |message: &Outgoing| {
            matches!(message.body, Body::Upload(_)) && !rows.contains(&message.id)
        };
        self.ready.retain(|message| !is_lost(message));
        self.ready_bytes = self.ready.iter().map(Outgoing::memory_bytes).sum();
        let before = self.pending.count;
        self.pending = stored;
        // What is under way needs no row to be sent.
        for (_, taken) in self.taken.iter().filter(|(id, _)| !rows.contains(id)) {
            self.pending.count += 1;
            self.pending.bytes += taken.bytes as u64;
        }
        before.saturating_sub(self.pending.count)
    }

    /// Whether everything up to `id` is sent and recorded.
    pub fn is_sent_through(&self, id: i64) -> bool {
        self.oldest_pending().is_none_or(|oldest| oldest > id)
    }

    /// The oldest Message that is not recorded as acknowledged, or a lower bound for its id.
    pub fn oldest_pending(&self) -> Option<i64> {
        let taken = self.taken.first_key_value().map(|(id, _)| *id);
        taken
            .or_else(|| self.ready.front().map(|message| message.id))
            .or_else(|| self.more_in_store.then_some(self.loaded_through + 1))
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
            let ready = self.ready.front();
            ready.map(|message| (message.id, message.stored_at_ms))
        })
    }
}

#[cfg(test)]
mod tests;
