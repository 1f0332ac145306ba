//! The outbox's bookkeeping: which rows are ready, taken, acknowledged, recorded. Pure: nothing is
//! read, written or woken here.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::admission::{Admission, Answer, Request};
use super::limits::OutboxLimits;
use super::new_message::NewMessage;
use super::queues::{Loaded, Queues};
use super::ready::Front;
use super::records::{Record, Records, SetAside};
use super::taken::Taken;
use super::waiters::Awaited;
use crate::message::lanes::Lanes;
use crate::message::outgoing::Outgoing;
use crate::message::priority::Priority;
use crate::pacing::pacer::Turn;
use crate::store::rows::lane;
use crate::store::rows::latest::LatestRow;
use crate::store::rows::outbox::DroppedRows;
use crate::store::rows::totals::Totals;

/// Where every pending Message is.
#[derive(Default)]
pub(crate) struct State {
    ready: Queues,
    /// The lane that is sent from, as it is recorded.
    lane: Priority,
    /// An earlier run may have had Messages of that lane in flight, as many as the window has places: so the first are
    /// of that lane.
    is_resuming: bool,
    /// There is something to record that no acknowledgement has brought.
    record_is_due: bool,
    taken: Taken,
    records: Records,
    stored_through: i64,
    pending: Totals,
    admission: Admission,
    /// Its content is being uploaded.
    uploading: Option<i64>,
}

/// What an earlier run left.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Left {
    pub pending: Totals,
    /// The number of the newest Message.
    pub stored_through: i64,
    /// The lane that it has sent from last.
    pub sent_from: Priority,
}

impl State {
    /// What an earlier run left.
    pub fn new(left: Left) -> State {
        State {
            pending: left.pending,
            stored_through: left.stored_through,
            lane: left.sent_from,
            is_resuming: true,
            ..State::default()
        }
    }

    // Step 1: in.

    /// Whether Messages may be stored, in the transaction that is under way.
    pub fn admit(&mut self, request: Request, limits: &OutboxLimits, window: usize) -> Answer {
        self.admission.enter(request.transaction);
        let pending = self.admission.pending(self.pending);
        let pending = pending.without(request.replaced);
        let excess = limits.excess(pending, request.added, request.free_disk_bytes);
        let Some((limit, excess)) = excess else {
            self.admission.replaced(request.replaced, request.added);
            return Answer::Fits;
        };
        if !limits.drops_oldest() {
            return Answer::Full(limit);
        }
        let droppable = Lanes::each(|priority| self.droppable_behind(priority, window));
        Answer::Drop {
            limit,
            excess,
            behind: self.admission.hold(droppable),
        }
    }

    /// Which of these rows may be replaced, in the transaction that is under way: those that are not in flight, and are
    /// not being uploaded. The link does not take them before it has ended.
    pub fn hold_replaceable(
        &mut self,
        transaction: u64,
        mut rows: Vec<LatestRow>,
        window: usize,
    ) -> Vec<LatestRow> {
        self.admission.enter(transaction);
        rows.retain(|row| {
            let is_uploading = row.is_partly_up || self.uploading == Some(row.id);
            !is_uploading && row.id > self.droppable_behind(lane::priority(row.id), window)
        });
        self.admission.hold_each(rows.iter().map(|row| row.id));
        rows
    }

    /// These are not replaced after all.
    pub fn release(&mut self, rows: &[DroppedRows]) {
        rows.iter()
            .for_each(|row| self.admission.release(row.first));
    }

    /// This row was replaced, in the transaction that has just been committed.
    pub fn replaced_by_newer(&mut self, row: &DroppedRows) {
        self.ready.of(row.first).remove(row.first);
        self.pending = self.pending.without(row.totals);
        self.admission.release(row.first);
    }

    /// So much went for what is added, in the transaction that is under way.
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

    /// Behind which Message of a lane the oldest may be dropped: those that are taken stay, and, if the link was
    /// kept from taking any of that lane, those that fill the window.
    fn droppable_behind(&self, priority: Priority, window: usize) -> i64 {
        let kept = if self.admission.link_was_held_up() == Some(priority) {
            window.saturating_sub(self.in_window())
        } else {
            0
        };
        let ids = lane::ids(priority);
        let ready = self.ready.lane(priority).last_of(kept);
        let taken = self.taken.newest_of(priority);
        // Rows that are sent are no pending ones.
        let sent = self.records.sent_rows.ids().iter();
        let sent = sent.filter(|id| ids.contains(id)).max().copied();
        ready.or(taken.max(sent)).unwrap_or(lane::id(priority, 0))
    }

    /// These rows were dropped, in the transaction that has just been committed.
    pub fn dropped(&mut self, dropped: &[DroppedRows]) {
        for rows in dropped {
            self.ready.of(rows.first).dropped(rows.first..=rows.last);
            self.pending = self.pending.without(rows.totals);
        }
        self.admission.drop_ended();
    }

    /// A row was committed, behind all others.
    pub fn stored(&mut self, id: i64, message: &NewMessage) {
        self.stored_through = lane::number(id);
        self.pending.count += 1;
        self.pending.bytes += message.body.bytes();
        let ready = self.ready.of(id);
        if !ready.has_room() {
            ready.more_in_store();
            return;
        }
        ready.push(Outgoing {
            id,
            stored_at_ms: message.stored_at_ms,
            properties: message.properties.clone(),
            body: message.body.waiting(),
        });
    }

    /// Rows were committed behind all others, that did not come through [`stored`](Self::stored).
    pub fn put_back(&mut self, through: i64, added: Totals) {
        self.stored_through = self.stored_through.max(through);
        self.pending = self.pending.and(added);
        self.ready.more_in_store();
    }

    // Step 2: ready.

    /// See [`Queues::begin_load`].
    #[must_use]
    pub fn begin_load(&mut self) -> bool {
        self.ready.begin_load()
    }

    /// See [`Queues::to_load`].
    pub fn to_load(&self) -> Vec<(Priority, RangeInclusive<i64>)> {
        self.ready.to_load()
    }

    /// See [`Queues::ids_loaded`].
    pub fn ids_loaded(&self) -> Vec<RangeInclusive<i64>> {
        self.ready.ids_loaded()
    }

    /// See [`Queues::loaded`].
    pub fn loaded(&mut self, loaded: Vec<Loaded>) {
        self.ready.loaded(loaded);
    }

    /// See [`Queues::load_failed`].
    pub fn load_failed(&mut self) {
        self.ready.load_failed();
    }

    /// See [`Queues::next_upload`].
    pub fn next_upload(&mut self, may_go: impl Fn(i64) -> bool) -> Option<i64> {
        self.ready.next_upload(may_go)
    }

    /// The content of this Message is being uploaded, or of none.
    pub fn uploading(&mut self, id: Option<i64>) {
        self.uploading = id;
    }

    /// From now on the Message is this link.
    pub fn uploaded(&mut self, id: i64, link: Bytes) {
        let link_bytes = link.len() as u64;
        if let Some(content_bytes) = self.ready.of(id).uploaded(id, link) {
            let others = self.pending.bytes.saturating_sub(content_bytes as u64);
            self.pending.bytes = others + link_bytes;
        }
    }

    // Step 3: taken.

    /// The oldest Message that is not taken of the highest lane whose turn it can be, if the window has a place. If that
    /// is another lane than is sent from: none before nothing is in flight, and the change is
    /// [recorded](Self::begin_due_record).
    pub fn take(&mut self, window: usize, turn: &mut Turn) -> Option<Outgoing> {
        let in_window = self.in_window();
        if in_window >= window || self.records.is_changing_lane() {
            return None;
        }
        let lane = self.next_lane(window, turn)?;
        if lane != self.lane {
            if in_window == 0 {
                self.records.change_lane(lane);
                self.record_is_due = true;
            }
            return None;
        }
        self.take_of(lane)
    }

    /// Whatever the window says, and of whatever lane: what bears witness goes behind what is set aside then. If nothing is,
    /// it waits for [its place](Self::has_place).
    pub fn take_behind(&mut self, turn: &mut Turn) -> Option<Outgoing> {
        if self.in_window() == 0 {
            return self.take(usize::MAX, turn);
        }
        let lane = self.ready.highest(turn)?;
        self.take_of(lane)
    }

    fn in_window(&self) -> usize {
        self.taken.in_window(self.records.stalled())
    }

    fn next_lane(&self, window: usize, turn: &mut Turn) -> Option<Priority> {
        if self.is_resuming && self.taken.takes() < window as u64 {
            match self.ready.lane(self.lane).front() {
                Front::Message => return turn.may_repeat().then_some(self.lane),
                Front::InStore => return None,
                // Nothing that could have been in flight.
                Front::Empty | Front::Upload => {}
            }
        }
        self.ready.highest(turn)
    }

    fn take_of(&mut self, lane: Priority) -> Option<Outgoing> {
        // What has expired could be sent by the next run, behind this one.
        if self.taken.is_any_expiring() {
            return None;
        }
        let ready = self.ready.lane_mut(lane);
        if !self.admission.may_take(ready.oldest()?.id) {
            return None;
        }
        let message = ready.take_oldest()?;
        self.taken.add(&message);
        Some(message)
    }

    /// Before a [`take`](Self::take): what is too old, now that its turn has come, goes with the next record instead. None
    /// is taken before that is made.
    pub fn expire(
        &mut self,
        window: usize,
        turn: &mut Turn,
        is_expired: impl Fn(&Outgoing) -> bool,
    ) {
        if self.in_window() >= window {
            return;
        }
        // What may be dropped just now is counted there.
        let admission = &self.admission;
        let is_expired = |it: &Outgoing| !admission.is_held(it.id) && is_expired(it);
        let mut expired = Vec::new();
        if self.is_resuming && self.taken.takes() < window as u64 {
            // Its turn comes before that of higher lanes.
            expired = self.ready.lane_mut(self.lane).take_expired(is_expired);
        }
        expired.extend(self.ready.take_expired(turn, is_expired));
        for message in expired {
            self.records.expired(message.id);
            self.record_is_due = true;
            self.taken.add_expired(&message);
        }
    }

    /// The lane that is sent from.
    pub fn sent_from(&self) -> Priority {
        self.lane
    }

    /// Whether a taken Message is among the first that fill the window. If it is of another lane than is sent from, as one
    /// that was to bear witness can be: not before nothing else is in flight, and the change is
    /// [recorded](Self::begin_due_record).
    pub fn has_place(&mut self, id: i64, window: usize) -> bool {
        let Some(before) = self.taken.before(id, self.records.stalled()) else {
            return false;
        };
        if before >= window || self.records.is_changing_lane() {
            return false;
        }
        let lane = lane::priority(id);
        if lane != self.lane && before == 0 {
            self.records.change_lane(lane);
            self.record_is_due = true;
        }
        lane == self.lane
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
            let bytes = acknowledged.iter().filter_map(|id| taken.bytes_of(*id));
            Totals {
                count: acknowledged.len() as u64,
                bytes: bytes.map(|bytes| bytes as u64).sum(),
            }
        })
    }

    /// The same if [`expire`](Self::expire) or [`take`](Self::take) has just found something.
    pub fn begin_due_record(&mut self) -> Option<Record> {
        if std::mem::take(&mut self.record_is_due) {
            self.begin_delete()
        } else {
            None
        }
    }

    /// The same for whoever cannot note it.
    pub fn begin_delete(&mut self) -> Option<Record> {
        let mut record = self.begin_record()?;
        if record.lane.is_none() {
            self.delete_with(&mut record);
        }
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

    /// The rows are noted, or deleted and moved. Returns those that have expired.
    pub fn recorded(&mut self, record: &Record) -> Vec<DroppedRows> {
        let expired = record.expired.iter().filter_map(|id| {
            let bytes = self.taken.bytes_of(*id)? as u64;
            Some(DroppedRows {
                first: *id,
                last: *id,
                totals: Totals { count: 1, bytes },
            })
        });
        let expired: Vec<DroppedRows> = expired.collect();
        self.taken.expiry_is_recorded(expired.len());
        self.records.recorded(record);
        if let Some(lane) = record.lane {
            self.lane = lane;
            self.is_resuming = false;
        }
        for id in record.ids() {
            if let Some(bytes) = self.taken.remove(id) {
                self.no_longer_pending(bytes);
            }
        }
        expired
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
        if let Some(message) = self.ready.of(id).remove(id) {
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
        self.record_is_due = false;
    }

    /// See [`Queues::missing`].
    pub fn missing(&self, rows: &HashSet<i64>) -> Vec<(Outgoing, Bytes)> {
        self.ready.missing(rows)
    }

    /// The database was rebuilt, and lost some rows. It had `rows` among those that were loaded, to which the
    /// missing ones were added; `stored` is all that is in it now. Returns how many Messages are lost.
    pub fn rebuilt(&mut self, rows: &HashSet<i64>, stored: Totals) -> u64 {
        self.ready.forget_lost_uploads(rows);
        let before = self.pending.count;
        self.pending = stored;
        // What is under way needs no row to be sent.
        for bytes in self.taken.bytes_without_row(rows) {
            self.pending.count += 1;
            self.pending.bytes += bytes as u64;
        }
        before.saturating_sub(self.pending.count)
    }

    // What there is.

    /// Whether it is sent and recorded.
    pub fn is_sent(&self, awaited: Awaited) -> bool {
        match awaited {
            Awaited::Message(id) => {
                let lane = lane::priority(id);
                let taken = self.taken.oldest_of(lane);
                let oldest = taken.or_else(|| self.ready.lane(lane).oldest_id());
                oldest.is_none_or(|oldest| oldest > id)
            }
            Awaited::All(through) => {
                let mut oldest = self.oldest_pending();
                oldest.all(|oldest| lane::number(oldest) > through)
            }
        }
    }

    /// Every Message that is taken, and the oldest of each lane that is not, or a lower bound for its id.
    pub fn oldest_pending(&self) -> impl Iterator<Item = i64> {
        self.taken.ids().chain(self.ready.oldest_ids())
    }

    /// The newest number that was stored.
    pub fn stored_through(&self) -> i64 {
        self.stored_through
    }

    /// How much is not yet sent.
    pub fn pending(&self) -> Totals {
        self.pending
    }

    /// The number of the oldest pending Message, and when it was stored, by the wall clock.
    pub fn oldest_label(&self) -> Option<(i64, i64)> {
        let ready = self.ready.oldest().into_iter();
        let ready = ready.map(|message| (lane::number(message.id), message.stored_at_ms));
        self.taken
            .labels()
            .chain(ready)
            .min_by_key(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests;
