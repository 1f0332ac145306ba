//! The outbox: every Message from `enqueue` to the record of its acknowledgement.
//!
//! ```text
//!  1 enqueue      the caller's thread or the storage thread commits the row  (store)
//!  2 ready        the oldest rows wait in memory, in order, within a budget
//!  3 take         the link takes the oldest while its in-flight window has a place
//!  4 acknowledge  the PUBACK of exactly this publish came                     (link)
//!  5 record       the row is deleted; only now does the window have its place back,
//!                 and only now do those who wait see it as sent               (store)
//! ```
//!
//! The database is the only queue. What is in memory are its oldest rows, so that the link never
//! waits for a disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::error::{Chain, Error, Result};
use crate::failure_log::FailureLog;
use crate::store::outbox_rows::{self, Body, Outgoing, Totals};
use crate::store::{Durability, Store, Writer};
use crate::wait::{InterruptCheck, wait_for};

/// What the ready queue may hold; a single Message may exceed the bytes.
const READY_BYTES: usize = 256 << 10;
const READY_COUNT: usize = 256;

/// A power cut can repeat at most this many Messages whose acknowledgement was recorded: the record
/// of every so-many-th is synced, and with it all before.
pub(crate) const ACKNOWLEDGEMENTS_PER_SYNC: usize = 256;

/// After so many deleted rows, a drained outbox is worth a look whether its file can shrink.
const SHRINK_AFTER: usize = 1000;

/// Wakes whoever moves Messages on; must not block.
pub(crate) trait Wake: Send + Sync {
    /// There may be something to take for the link.
    fn wake_link(&self);
    /// There may be something to upload.
    fn wake_uploader(&self);
}

/// The outbox in memory, over its rows in the store.
pub(crate) struct Outbox {
    this: Weak<Outbox>,
    store: Arc<Store>,
    wake: Arc<dyn Wake>,
    window: usize,
    state: Mutex<State>,
    sent: Condvar,
    failures: Mutex<FailureLog>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Outgoing>,
    ready_bytes: usize,
    /// Taken by the link and not yet recorded as acknowledged, by id.
    taken: BTreeMap<i64, Taken>,
    /// Acknowledged; the record is being written or waits for the next one.
    acknowledged: Vec<i64>,
    recording: bool,
    unsynced_records: usize,
    deleted_since_empty: usize,
    /// Rows up to this id are in `ready`, or were.
    loaded_through: i64,
    more_in_store: bool,
    loading: bool,
    load_failed: bool,
    /// The newest id that was stored.
    stored_through: i64,
    pending: Totals,
    /// The link found nothing to take: it wants to be woken.
    link_waits: bool,
    closed: bool,
}

struct Taken {
    bytes: usize,
    stored_at_ms: i64,
}

/// A Message that is to be stored.
pub(crate) struct NewMessage {
    pub stored_at_ms: i64,
    pub properties: String,
    pub body: Bytes,
    pub upload: bool,
}

impl Outbox {
    /// Counts what an earlier run left and loads the oldest of it.
    pub fn open(store: Arc<Store>, wake: Arc<dyn Wake>, window: usize) -> Result<Arc<Outbox>> {
        let (totals, newest, (ready, more)) = store.read(|writer| {
            let newest =
                writer
                    .sql()?
                    .query_row("SELECT coalesce(max(id), 0) FROM outbox", (), |row| {
                        row.get(0)
                    })?;
            Ok((
                outbox_rows::totals(writer)?,
                newest,
                outbox_rows::load(writer, 0, READY_COUNT, READY_BYTES)?,
            ))
        })?;
        let mut state = State {
            pending: totals,
            stored_through: newest,
            ..State::default()
        };
        state.push_ready(ready, more);
        Ok(Arc::new_cyclic(|this| Outbox {
            this: this.clone(),
            store,
            wake,
            window,
            state: Mutex::new(state),
            sent: Condvar::new(),
            failures: Mutex::default(),
        }))
    }

    /// Step 1. Stores the Messages in one commit and returns the id of the last, or 0 for none.
    /// Blocks until the commit has the durability asked for.
    pub fn enqueue(&self, messages: Vec<NewMessage>, durability: Durability) -> Result<i64> {
        let messages = Arc::new(messages);
        let rows = Arc::clone(&messages);
        let this = self.this.clone();
        let ids = self.store.execute(
            durability,
            move |writer: &mut Writer| {
                rows.iter()
                    .map(|m| {
                        outbox_rows::insert(
                            writer,
                            m.stored_at_ms,
                            &m.properties,
                            m.upload,
                            &m.body,
                        )
                    })
                    .collect::<rusqlite::Result<Vec<i64>>>()
            },
            move |ids| {
                if let Some(outbox) = this.upgrade() {
                    outbox.stored(ids, &messages);
                }
            },
        )?;
        Ok(ids.last().copied().unwrap_or(0))
    }

    /// Step 2. Called in the order of the commits.
    fn stored(&self, ids: &[i64], messages: &[NewMessage]) {
        let mut state = self.state.lock();
        for (id, message) in ids.iter().zip(messages) {
            state.stored_through = *id;
            state.pending.count += 1;
            state.pending.bytes += message.body.len() as u64;
            let full = state.ready_bytes >= READY_BYTES || state.ready.len() >= READY_COUNT;
            if state.more_in_store || full {
                state.more_in_store = true;
                continue;
            }
            let message = Outgoing {
                id: *id,
                stored_at_ms: message.stored_at_ms,
                properties: message.properties.clone(),
                body: match message.upload {
                    true => Body::Upload(message.body.len()),
                    false => Body::Inline(message.body.clone()),
                },
            };
            state.push_ready(vec![message], false);
        }
        self.after_change(state);
    }

    /// Step 3. The oldest Message that is not in flight, if the window has a place for it.
    pub fn take(&self) -> Option<Outgoing> {
        let mut state = self.state.lock();
        let message = match state.ready.front() {
            Some(Outgoing {
                body: Body::Inline(_),
                ..
            }) if state.taken.len() < self.window => state.ready.pop_front(),
            _ => None,
        };
        match &message {
            Some(message) => {
                state.ready_bytes -= message.memory_bytes();
                let taken = Taken {
                    bytes: message.body_bytes(),
                    stored_at_ms: message.stored_at_ms,
                };
                state.taken.insert(message.id, taken);
            }
            None => state.link_waits = true,
        }
        self.load_if_low(&mut state);
        message
    }

    /// Step 4. The Platform has the Message; it is forgotten with the next record.
    pub fn acknowledge(&self, id: i64) {
        let mut state = self.state.lock();
        state.acknowledged.push(id);
        self.record_if_due(&mut state);
    }

    /// Step 5. One record at a time; acknowledgements that come meanwhile share the next.
    fn record_if_due(&self, state: &mut State) {
        if state.recording || state.acknowledged.is_empty() {
            return;
        }
        state.recording = true;
        let ids = std::mem::take(&mut state.acknowledged);
        state.unsynced_records += ids.len();
        let durability = if state.unsynced_records >= ACKNOWLEDGEMENTS_PER_SYNC {
            state.unsynced_records = 0;
            Durability::PowerSafe
        } else {
            Durability::KillSafe
        };
        let this = self.this.clone();
        let rows = ids.clone();
        self.store.post(
            durability,
            move |writer| {
                rows.iter()
                    .try_for_each(|id| outbox_rows::delete(writer, *id))
            },
            move |result| {
                if let Some(outbox) = this.upgrade() {
                    outbox.recorded(ids, result);
                }
            },
        );
    }

    fn recorded(&self, ids: Vec<i64>, result: Result<()>) {
        let mut state = self.state.lock();
        state.recording = false;
        let count = ids.len();
        match result {
            Ok(()) => {
                for id in ids {
                    if let Some(taken) = state.taken.remove(&id) {
                        state.pending.count -= 1;
                        state.pending.bytes -= taken.bytes as u64;
                    }
                }
                self.sent.notify_all();
            }
            // Kept, to be recorded again by `retry`; until then the window stays full.
            Err(error) => {
                state.acknowledged.splice(0..0, ids);
                drop(state);
                let reason = Chain(&error).to_string();
                let mut failures = self.failures.lock();
                failures.failed("acknowledgements are not recorded", reason, "; will retry");
                self.wake.wake_link();
                return;
            }
        }
        state.deleted_since_empty += count;
        if state.pending.count == 0 && std::mem::take(&mut state.deleted_since_empty) > SHRINK_AFTER
        {
            self.store.shrink();
        }
        self.record_if_due(&mut state);
        self.after_change(state);
    }

    /// Whether the disk failed, and something has to be tried again by [`retry`](Self::retry).
    pub fn is_stalled(&self) -> bool {
        let state = self.state.lock();
        state.load_failed || (!state.recording && !state.acknowledged.is_empty())
    }

    /// Tries again what failed.
    pub fn retry(&self) {
        let mut state = self.state.lock();
        state.load_failed = false;
        self.record_if_due(&mut state);
        self.load_if_low(&mut state);
    }

    /// Loads more rows when the ready queue runs low.
    fn load_if_low(&self, state: &mut State) {
        let low = state.ready.len() <= READY_COUNT / 4 && state.ready_bytes <= READY_BYTES / 4;
        if !state.more_in_store || state.loading || state.load_failed || !low || state.closed {
            return;
        }
        state.loading = true;
        let this = self.this.clone();
        let loaded = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&loaded);
        let reader = self.this.clone();
        self.store.post(
            Durability::KillSafe,
            move |writer| {
                if let Some(outbox) = reader.upgrade() {
                    let after = outbox.state.lock().loaded_through;
                    *slot.lock() =
                        Some(outbox_rows::load(writer, after, READY_COUNT, READY_BYTES)?);
                }
                Ok(())
            },
            move |result| {
                let Some(outbox) = this.upgrade() else { return };
                let rows = loaded.lock().take();
                let mut state = outbox.state.lock();
                state.loading = false;
                match (result, rows) {
                    (Ok(()), Some((rows, more))) => state.push_ready(rows, more),
                    (Ok(()), None) => {}
                    (Err(error), _) => {
                        state.load_failed = true;
                        drop(state);
                        let reason = Chain(&error).to_string();
                        let mut failures = outbox.failures.lock();
                        failures.failed("stored Messages are not read", reason, "; will retry");
                        outbox.wake.wake_link();
                        return;
                    }
                }
                outbox.after_change(state);
            },
        );
    }

    /// The oldest ready Message whose content has to be uploaded before its turn.
    pub fn next_upload(&self) -> Option<i64> {
        let state = self.state.lock();
        let upload = |message: &&Outgoing| matches!(message.body, Body::Upload(_));
        state.ready.iter().find(upload).map(|message| message.id)
    }

    /// The content of a Message that is to be uploaded; `None` if it is not there any more.
    pub fn content(&self, id: i64) -> Result<Option<Vec<u8>>> {
        self.store
            .read(move |writer| outbox_rows::content(writer, id))
    }

    /// The content is up: from now on the Message is this link.
    pub fn uploaded(&self, id: i64, link: Bytes) -> Result<()> {
        let this = self.this.clone();
        let row = link.clone();
        self.store.execute(
            Durability::KillSafe,
            move |writer| outbox_rows::replace_content(writer, id, &row),
            move |()| {
                if let Some(outbox) = this.upgrade() {
                    outbox.replace_body(id, link);
                }
            },
        )
    }

    fn replace_body(&self, id: i64, link: Bytes) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(message) = state.ready.iter_mut().find(|message| message.id == id) {
            state.pending.bytes -= message.body_bytes() as u64;
            state.pending.bytes += link.len() as u64;
            state.ready_bytes += link.len();
            message.body = Body::Inline(link);
        }
        self.after_change(guard);
    }

    /// Wakes those whom a change of the ready queue or the window concerns.
    fn after_change(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        let wake_link = std::mem::take(&mut state.link_waits);
        let wake_uploader = state
            .ready
            .iter()
            .any(|m| matches!(m.body, Body::Upload(_)));
        drop(state);
        if wake_link {
            self.wake.wake_link();
        }
        if wake_uploader {
            self.wake.wake_uploader();
        }
    }

    /// Waits until everything up to `id` is sent; `None` stands for everything stored so far.
    pub fn wait_sent(
        &self,
        id: Option<i64>,
        deadline: Option<Instant>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let through = id.unwrap_or(state.stored_through);
        wait_for(&mut state, &self.sent, deadline, check, |state| {
            if state.oldest_pending().is_none_or(|oldest| oldest > through) {
                Some(Ok(()))
            } else if state.closed {
                Some(Err(Error::Closed))
            } else {
                None
            }
        })
    }

    /// How much is not yet sent.
    pub fn pending(&self) -> Totals {
        self.state.lock().pending
    }

    /// When the oldest pending Message was stored, by the wall clock.
    pub fn oldest_stored_at_ms(&self) -> Option<i64> {
        let state = self.state.lock();
        let taken = state
            .taken
            .first_key_value()
            .map(|(_, taken)| taken.stored_at_ms);
        taken.or_else(|| state.ready.front().map(|message| message.stored_at_ms))
    }

    /// Everything pending was moved aside, in the transaction that has just been committed. Nothing is
    /// in flight: the link is not connected while the identity changes.
    pub fn all_set_aside(&self) {
        let mut state = self.state.lock();
        state.ready.clear();
        state.ready_bytes = 0;
        state.taken.clear();
        state.acknowledged.clear();
        state.more_in_store = false;
        state.loaded_through = state.stored_through;
        state.pending = Totals::default();
        self.sent.notify_all();
    }

    /// Rows were stored behind all others without passing through here.
    pub fn stored_elsewhere(&self, through: i64, added: Totals) {
        let mut state = self.state.lock();
        state.stored_through = state.stored_through.max(through);
        state.pending.count += added.count;
        state.pending.bytes += added.bytes;
        state.more_in_store = true;
        self.load_if_low(&mut state);
    }

    /// Waits until every acknowledgement is recorded, or the deadline passes.
    pub fn wait_recorded(&self, deadline: Instant) {
        let mut state = self.state.lock();
        while (state.recording || !state.acknowledged.is_empty())
            && !self.sent.wait_until(&mut state, deadline).timed_out()
        {}
    }

    /// Ends all waits, with [`Error::Closed`] unless what they wait for is sent.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.sent.notify_all();
    }
}

impl State {
    fn push_ready(&mut self, messages: Vec<Outgoing>, more: bool) {
        for message in messages {
            self.loaded_through = message.id;
            self.ready_bytes += message.memory_bytes();
            self.ready.push_back(message);
        }
        self.more_in_store = more;
    }

    /// The oldest Message that is not recorded as acknowledged, or a lower bound for its id.
    fn oldest_pending(&self) -> Option<i64> {
        let taken = self.taken.first_key_value().map(|(id, _)| *id);
        taken
            .or_else(|| self.ready.front().map(|message| message.id))
            .or_else(|| self.more_in_store.then_some(self.loaded_through + 1))
    }
}
