//! The outbox's bookkeeping: which rows are ready, taken, acknowledged, recorded. Pure: nothing is
//! read, written or woken here.

use std::collections::{BTreeMap, HashSet, VecDeque};

use bytes::Bytes;

use super::NewMessage;
use super::admission::Admission;
use super::record::{Record, Refusal};
use super::sent_rows::SentRows;
use crate::store::outbox_rows::{Body, DroppedRows, Outgoing, Totals};

/// What the ready queue may hold; a single Message may exceed the bytes.
pub(super) const READY_BYTES: usize = 256 << 10;
pub(super) const READY_COUNT: usize = 256;

/// A power cut can repeat this many Messages whose acknowledgement was recorded, and those of the
/// window: the record of every so-many-th is synced, and with it all before.
pub(super) const ACKNOWLEDGEMENTS_PER_SYNC: usize = 256;

/// Where every pending Message is.
#[derive(Default)]
pub(super) struct State {
    /// The oldest rows that are not taken, in their order.
    ready: VecDeque<Outgoing>,
    ready_bytes: usize,
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
    pub fn new(pending: Totals, sent_rows: SentRows, stored_through: i64) -> State {
        State {
            pending,
            sent_rows,
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
        ready.or(taken).unwrap_or(0)
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

    /// What is to be recorded now: one record at a time.
    pub fn begin_record(&mut self) -> Option<Record> {
        let nothing = match self.refusals_wait {
            true => self.unrecorded.acknowledged.is_empty(),
            false => self.unrecorded.is_empty(),
        };
        if self.recording || (nothing && !self.sent_rows.is_room_wanted()) {
            return None;
        }
        self.recording = true;
        let mut record = std::mem::take(&mut self.unrecorded);
        if self.refusals_wait {
            self.unrecorded.refused = std::mem::take(&mut record.refused);
        }
        record.sent = self.totals_of(&record.acknowledged);
        record.deletes = self.sent_rows.delete_with(record.sent);
        self.unsynced_records += record.acknowledged.len();
        record.is_synced =
            self.unsynced_records >= ACKNOWLEDGEMENTS_PER_SYNC || !record.refused.is_empty();
        if record.is_synced {
            self.unsynced_records = 0;
        }
        Some(record)
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

    /// A commit was synced, and with it the records before it; not one that is under way.
    pub fn synced(&mut self) {
        if !self.recording {
            self.unsynced_records = 0;
        }
    }

    /// The rows are marked, deleted and moved.
    pub fn recorded(&mut self, record: &Record) {
        self.recording = false;
        self.sent_rows.recorded(record.sent, record.deletes);
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
    pub fn next_upload(&self) -> Option<i64> {
        let is_upload = |message: &&Outgoing| matches!(message.body, Body::Upload(_));
        self.ready.iter().find(is_upload).map(|message| message.id)
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
            ..State::new(Totals::default(), SentRows::default(), self.stored_through)
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::http::HubDeviceId;
    use crate::status::StatusBoard;
    use crate::store::Durability;

    fn new_message(bytes: usize) -> NewMessage {
        NewMessage {
            stored_at_ms: 0,
            properties: String::new(),
            body: Bytes::from(vec![0; bytes]),
            upload: false,
        }
    }

    fn row(id: i64) -> Outgoing {
        Outgoing {
            id,
            stored_at_ms: 0,
            properties: String::new(),
            body: Body::Inline(Bytes::from_static(b"x")),
        }
    }

    fn with_stored(count: i64) -> State {
        let mut state = State::default();
        (1..=count).for_each(|id| state.stored(id, &new_message(1)));
        state
    }

    fn record_all(state: &mut State) {
        let record = state.begin_record().expect("something to record");
        state.recorded(&record);
    }

    #[test]
    fn the_window_has_its_place_back_only_after_the_record() {
        let mut state = with_stored(2);
        assert_eq!(state.take(1).map(|message| message.id), Some(1));
        assert!(state.take(1).is_none());
        state.acknowledged(1);
        let record = state.begin_record().unwrap();
        assert!(state.take(1).is_none(), "acknowledged, but not recorded");
        state.recorded(&record);
        assert_eq!(state.take(1).map(|message| message.id), Some(2));
    }

    #[test]
    fn a_failed_record_keeps_the_place_and_is_made_again() {
        let mut state = with_stored(2);
        state.take(1);
        state.acknowledged(1);
        let failed = state.begin_record().unwrap();
        state.record_failed(failed);
        assert!(state.is_stalled());
        assert!(state.take(1).is_none());
        assert!(!state.is_sent_through(1));
        record_all(&mut state);
        assert!(state.is_sent_through(1));
        assert_eq!(state.pending().count, 1);
    }

    fn refusal(id: i64) -> Refusal {
        Refusal {
            id,
            reason: String::new(),
            identity: HubDeviceId {
                workspace_id: String::new(),
                device_id: String::new(),
            },
            now_ms: 0,
            status: Arc::new(StatusBoard::new(0, Arc::new(crate::clock::SystemClock))),
        }
    }

    #[test]
    fn a_refused_message_is_recorded_with_the_acknowledgement_of_the_one_behind_it() {
        let mut state = with_stored(3);
        state.take(1);
        assert!(state.take(1).is_none());
        assert_eq!(state.take(usize::MAX).map(|message| message.id), Some(2));
        state.refused(refusal(1));
        state.acknowledged(2);
        let record = state.begin_record().expect("something to record");
        assert_eq!(record.ids().collect::<Vec<_>>(), [2, 1]);
        assert_eq!(record.durability(), Durability::PowerSafe);
        assert!(!state.is_sent_through(1));
        state.record_failed(record);
        state.unstall();
        record_all(&mut state);
        assert!(state.is_sent_through(2));
        assert_eq!(state.pending(), Totals { count: 1, bytes: 1 });
        assert_eq!(state.take(1).map(|message| message.id), Some(3));
    }

    #[test]
    fn refusals_that_cannot_be_recorded_hold_up_neither_acknowledgements_nor_what_is_behind() {
        let mut state = with_stored(4);
        state.take(1);
        state.take(usize::MAX);
        state.refused(refusal(1));
        state.acknowledged(2);
        assert!(!state.has_place(2, 1));
        let failed = state.begin_record().unwrap();
        assert!(state.record_failed(failed), "the rest may be recorded");
        let record = state.begin_record().expect("the acknowledgement alone");
        assert_eq!(record.ids().collect::<Vec<_>>(), [2]);
        state.recorded(&record);
        assert!(state.begin_record().is_none(), "not before the next try");
        assert!(state.is_stalled() && state.has_unrecorded());
        assert_eq!(state.take(1).map(|message| message.id), Some(3));
        assert!(state.has_place(3, 1), "the refused one needs none");
        assert!(state.take(1).is_none(), "the window is full");
        assert!(!state.is_sent_through(1));

        state.acknowledged(3);
        state.unstall();
        let record = state.begin_record().expect("all of it");
        assert_eq!(record.ids().collect::<Vec<_>>(), [3, 1]);
        state.recorded(&record);
        assert!(!state.is_stalled());
        assert!(state.is_sent_through(3));
        assert_eq!(state.take(1).map(|message| message.id), Some(4));
        assert_eq!(state.pending(), Totals { count: 1, bytes: 1 });
    }

    #[test]
    fn a_message_that_was_taken_beyond_the_window_has_its_place_after_the_records_before_it() {
        let mut state = with_stored(3);
        (0..3).for_each(|_| drop(state.take(usize::MAX)));
        let with_place = |state: &State| (1..=3).filter(|id| state.has_place(*id, 2)).count();
        assert_eq!(with_place(&state), 2);
        state.acknowledged(1);
        assert_eq!(with_place(&state), 2, "acknowledged, but not recorded");
        record_all(&mut state);
        assert!(state.has_place(3, 2));
    }

    #[test]
    fn sent_through_counts_the_oldest_whatever_the_order_of_acknowledgements() {
        let mut state = with_stored(3);
        (0..3).for_each(|_| drop(state.take(8)));
        for (acknowledged, sent_through) in [(2, 0), (3, 0), (1, 3)] {
            state.acknowledged(acknowledged);
            record_all(&mut state);
            assert_eq!(
                (0..=3).rfind(|id| state.is_sent_through(*id)),
                Some(sent_through)
            );
        }
    }

    #[test]
    fn rows_beyond_the_budget_stay_in_the_store_and_keep_their_place() {
        let mut state = with_stored(READY_COUNT as i64 + 10);
        let mut last = 0;
        while let Some(message) = state.take(usize::MAX) {
            assert_eq!(message.id, last + 1);
            last = message.id;
        }
        assert_eq!(last, READY_COUNT as i64);
        assert!(!state.is_sent_through(last + 1));
        assert!(state.begin_load());
        assert!(!state.begin_load(), "one load at a time");
        state.stored(last + 11, &new_message(1));
        assert!(state.take(usize::MAX).is_none(), "it must not overtake");
        state.loaded((last + 1..=last + 11).map(row).collect(), false);
        assert_eq!(
            state.take(usize::MAX).map(|message| message.id),
            Some(last + 1)
        );
    }

    #[test]
    fn a_load_that_failed_is_made_again_only_when_it_may() {
        let mut state = State::new(Totals { count: 1, bytes: 1 }, SentRows::default(), 1);
        state.stored_elsewhere(2, Totals { count: 1, bytes: 1 });
        assert!(state.begin_load());
        state.load_failed();
        assert!(state.is_stalled());
        assert!(!state.begin_load());
        state.unstall();
        assert!(state.begin_load());
    }

    #[test]
    fn every_so_many_records_one_is_synced() {
        let count = 3 * ACKNOWLEDGEMENTS_PER_SYNC as i64;
        let mut unsynced = 0;
        let mut state = State::default();
        for id in 1..=count {
            state.stored(id, &new_message(1));
            state.take(1);
            state.acknowledged(id);
            let record = state.begin_record().unwrap();
            state.recorded(&record);
            unsynced = match record.durability() {
                Durability::KillSafe => unsynced + 1,
                Durability::PowerSafe => 0,
            };
            assert!(unsynced < ACKNOWLEDGEMENTS_PER_SYNC);
        }
        assert_eq!(unsynced, 0, "the last was one of those");
    }

    #[test]
    fn an_upload_holds_back_what_follows_until_it_is_a_link() {
        let mut state = State::default();
        let mut large = new_message(300_000);
        large.upload = true;
        state.stored(1, &large);
        state.stored(2, &new_message(1));
        assert!(state.take(8).is_none());
        assert_eq!(state.next_upload(), Some(1));
        state.uploaded(1, Bytes::from_static(b"link"));
        assert_eq!(state.next_upload(), None);
        assert_eq!(state.pending(), Totals { count: 2, bytes: 5 });
        assert_eq!(state.take(8).map(|message| message.id), Some(1));
        assert_eq!(state.take(8).map(|message| message.id), Some(2));
    }

    #[test]
    fn what_is_stored_after_everything_was_set_aside_goes_out() {
        let mut state = with_stored(3);
        state.take(1);
        state.all_set_aside();
        assert_eq!(state.pending().count, 0);
        assert!(state.is_sent_through(3));
        state.stored(4, &new_message(1));
        assert_eq!(state.take(1).map(|message| message.id), Some(4));
    }
}
