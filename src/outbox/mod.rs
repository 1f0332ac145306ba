//! The outbox: every Message from `enqueue` to the record of its acknowledgement.
//!
//! ```text
//!  1 enqueue      the caller's thread or the storage thread commits the row  (store)
//!  2 ready        the oldest rows wait in memory, in order, within a budget
//!  3 take         the link takes the oldest while its in-flight window has a place
//!  4 acknowledge  the PUBACK of exactly this publish came                     (link)
//!  5 record       it is noted as sent in the sent log, and its row is deleted with many
//!                 others later; only now does the window have its place back, and only
//!                 now do those who wait see it as sent                        (store)
//! ```
//!
//! Instead of 4, a Message that the hub refuses is set aside: its row is moved with the next record.
//!
//! The database is the only queue; the [sent log](crate::store::sent_log) takes from it. What is in memory
//! are its oldest rows, so that the link never waits for a read or a sync.

mod admission;
mod aside;
mod drop_log;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod limit_tests;
mod limits;
mod loading;
mod record;
mod room;
mod sent_rows;
#[cfg(test)]
mod sent_tests;
mod state;
mod uploads;
mod waiting;
mod waits;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;

use crate::error::{Chain, Error, Result};
use crate::failure_log::FailureLog;
use crate::message::outgoing::Outgoing;
use crate::store::outbox_rows::{self, DroppedRows, Totals};
use crate::store::sent_log::SentLog;
use crate::store::{Durability, Store, Transaction};
use crate::sync::{Condvar, Mutex, MutexGuard};
use drop_log::DropLog;
pub use limits::{OutboxLimit, OutboxLimits, WhenFull};
pub(crate) use record::Refusal;
use record::{Record, Written};
use state::{READY_BYTES, READY_COUNT, State};
use waits::{Spoilt, Waits};

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
    limits: OutboxLimits,
    state: Mutex<Shared>,
    /// Used by whoever makes the record that is under way.
    sent_log: Mutex<SentLog>,
    recorded: Condvar,
    failures: Mutex<FailureLog>,
}

/// The bookkeeping, and who is to be woken when it changes.
struct Shared {
    messages: State,
    /// The link found nothing to take: it wants to be woken.
    link_waits: bool,
    deleted_since_empty: usize,
    waits: Waits,
    /// Since the start.
    dropped: Totals,
    drop_log: DropLog,
    /// Somebody waits for the records.
    awaits_records: bool,
    closed: bool,
}

impl Shared {
    /// Something was sent, or never will be: wakes those who wait for nothing else.
    fn wake_waits(&self) {
        self.waits.wake(|id| self.messages.is_sent_through(id));
    }
}

/// A Message that is to be stored.
pub(crate) struct NewMessage {
    pub stored_at_ms: i64,
    pub properties: String,
    pub body: Bytes,
    pub upload: bool,
}

/// What one call has changed in the database.
struct Stored {
    ids: Vec<i64>,
    dropped: Option<(DroppedRows, OutboxLimit)>,
}

/// The rows that an earlier run has noted as sent are deleted.
fn finish_sent(store: &Arc<Store>) -> Result<SentLog> {
    let mut log = SentLog::open(store.path());
    let generation = store.read(|writer| outbox_rows::sent_generation(writer))?;
    let found = generation.map(|generation| log.read(generation));
    let generation = match (generation, found) {
        (Some(generation), Some(found)) if found.is_clean => generation,
        (_, found) => {
            let sent = found.map_or(Vec::new(), |found| found.sent);
            store.execute(
                Durability::PowerSafe,
                move |writer| outbox_rows::delete_sent(writer, &sent),
                |_| {},
            )?
        }
    };
    log.begin(generation);
    Ok(log)
}

fn insert_all(writer: &mut Transaction, messages: &[NewMessage]) -> rusqlite::Result<Vec<i64>> {
    messages
        .iter()
        .map(|m| outbox_rows::insert(writer, m.stored_at_ms, &m.properties, m.upload, &m.body))
        .collect()
}

fn tell(dropped: Option<String>) {
    if let Some(line) = dropped {
        log::error!("{line}");
    }
}

impl Outbox {
    /// Deletes what an earlier run has noted as sent, counts what it left and loads the oldest of it.
    pub fn open(
        store: Arc<Store>,
        wake: Arc<dyn Wake>,
        window: usize,
        limits: OutboxLimits,
    ) -> Result<Arc<Outbox>> {
        let sent_log = finish_sent(&store)?;
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
                outbox_rows::load(writer, i64::MIN, READY_COUNT, READY_BYTES)?,
            ))
        })?;
        let mut messages = State::new(totals, newest);
        messages.loaded(ready, more);
        let state = Shared {
            messages,
            link_waits: false,
            deleted_since_empty: 0,
            waits: Waits::default(),
            dropped: Totals::default(),
            drop_log: DropLog::default(),
            awaits_records: false,
            closed: false,
        };
        let outbox = Arc::new_cyclic(|this| Outbox {
            this: this.clone(),
            store,
            wake,
            window,
            limits,
            state: Mutex::new(state),
            sent_log: Mutex::new(sent_log),
            recorded: Condvar::new(),
            failures: Mutex::new(FailureLog::new(module_path!())),
        });
        let this = outbox.this.clone();
        outbox
            .store
            .on_recovery(move |writer, recovery| match this.upgrade() {
                Some(outbox) => outbox.write_back(writer, recovery),
                None => Ok(()),
            });
        Ok(outbox)
    }

    /// Step 1. Stores the Messages in one commit and returns the id of the last, or 0 for none.
    /// Blocks until the commit has the durability asked for.
    pub fn enqueue(&self, messages: Vec<NewMessage>, durability: Durability) -> Result<i64> {
        let added = Totals {
            count: messages.len() as u64,
            bytes: messages.iter().map(|m| m.body.len() as u64).sum(),
        };
        self.limits.check_alone(added)?;
        let messages = Arc::new(messages);
        let rows = Arc::clone(&messages);
        let (this, admitting) = (self.this.clone(), self.this.clone());
        let transaction = Arc::new(AtomicU64::new(0));
        let entered = Arc::clone(&transaction);
        let stored = self.store.execute(
            durability,
            move |writer: &mut Transaction| {
                entered.store(writer.transaction_number(), Ordering::Relaxed);
                let dropped = match admitting.upgrade() {
                    Some(outbox) => match outbox.make_room(writer, added)? {
                        Ok(dropped) => dropped,
                        Err(limit) => return Ok(Err(limit)),
                    },
                    None => None,
                };
                let ids = insert_all(writer, &rows)?;
                Ok(Ok(Stored { ids, dropped }))
            },
            move |stored| {
                if let (Some(outbox), Ok(stored)) = (this.upgrade(), stored) {
                    outbox.stored(stored, &messages);
                }
            },
        );
        match stored {
            Ok(Ok(stored)) => Ok(stored.ids.last().copied().unwrap_or(0)),
            Ok(Err(limit)) => Err(Error::OutboxFull { limit }),
            Err(error) => {
                let mut state = self.state.lock();
                let transaction = transaction.load(Ordering::Relaxed);
                state.messages.admission.rolled_back(transaction);
                if matches!(error, Error::StorageFull { .. }) {
                    state.messages.sent_rows.want_deleted();
                    self.record_if_due(&mut state);
                }
                self.after_change(state);
                Err(error)
            }
        }
    }

    /// Step 2. Called in the order of the commits.
    fn stored(&self, stored: &Stored, messages: &[NewMessage]) {
        let mut state = self.state.lock();
        if let Some((rows, limit)) = stored.dropped {
            state.messages.dropped(rows);
            state.waits.spoil(rows.first..=rows.last, Spoilt::Dropped);
            state.dropped = state.dropped.and(rows.totals);
            state.drop_log.dropped(rows, limit);
            state.wake_waits();
            self.load_if_low(&mut state);
        }
        for (id, message) in stored.ids.iter().zip(messages) {
            state.messages.stored(*id, message);
        }
        tell(state.drop_log.line_if_due(Instant::now()));
        self.after_change(state);
    }

    /// Step 3. The oldest Message that is not in flight, if the window has a place for it. If there is
    /// none, the link is woken when there may be one.
    pub fn take(&self) -> Option<Outgoing> {
        let mut state = self.state.lock();
        let message = state.messages.take(self.window);
        state.link_waits |= message.is_none();
        self.load_if_low(&mut state);
        message
    }

    /// Step 3, whatever the window says: the oldest Message that is not in flight, to see whether the hub
    /// takes it while it refuses those before.
    pub fn take_behind(&self) -> Option<Outgoing> {
        let mut state = self.state.lock();
        let message = state.messages.take(usize::MAX);
        self.load_if_low(&mut state);
        message
    }

    /// Whether the window has a place for a Message that was taken before. If it has not, the link is
    /// woken when it may have.
    pub fn has_place(&self, id: i64) -> bool {
        let mut state = self.state.lock();
        let has_place = state.messages.has_place(id, self.window);
        state.link_waits |= !has_place;
        has_place
    }

    /// Step 4. The Platform has the Message; it is forgotten with the next [`record`](Self::record).
    pub fn acknowledge(&self, id: i64) {
        self.state.lock().messages.acknowledged(id);
    }

    /// Instead of step 4. The Platform does not take the Message: it is set aside with the next
    /// [`record`](Self::record).
    pub fn set_aside_in_flight(&self, refusal: Refusal) {
        self.state.lock().messages.refused(refusal);
    }

    /// Step 5, by the link, which comes back to [`take`](Self::take) behind it. What is only noted is recorded when
    /// this returns: to hand each acknowledgement to another thread costs more than to write it.
    pub fn record(&self) {
        let mut state = self.state.lock();
        state.link_waits = false;
        let record = state.messages.begin_record(true);
        drop(state);
        let Some(mut record) = record else { return };
        if !record.deletes {
            let ids = &record.acknowledged;
            if self.sent_log.lock().note(ids, Instant::now()) {
                return self.recorded(record, Ok(None));
            }
            self.state.lock().messages.delete_with(&mut record);
        }
        self.post_record(record);
    }

    /// Step 5, by any thread.
    fn record_if_due(&self, state: &mut Shared) {
        if let Some(record) = state.messages.begin_record(false) {
            self.post_record(record);
        }
    }

    /// One record at a time; acknowledgements that come meanwhile share the next.
    fn post_record(&self, record: Record) {
        let this = self.this.clone();
        let rows = record.clone();
        let written = Arc::new(Mutex::new(Written::default()));
        let slot = Arc::clone(&written);
        self.store.post(
            record.durability(),
            move |writer: &mut Transaction| {
                *slot.lock() = rows.write(writer)?;
                Ok(())
            },
            move |result: Result<()>| {
                if let Some(outbox) = this.upgrade() {
                    let written = *written.lock();
                    outbox.recorded(record, result.map(|()| Some(written)));
                }
            },
        );
    }

    /// `written` is what was written to the database, if anything was.
    fn recorded(&self, record: Record, written: Result<Option<Written>>) {
        if let Ok(Some(written)) = &written {
            self.sent_log.lock().begin(written.generation);
        }
        let mut state = self.state.lock();
        let set_aside = match written {
            Ok(written) => written.map_or(0, |written| written.set_aside),
            Err(error) => {
                if state.messages.record_failed(record) {
                    self.record_if_due(&mut state);
                }
                self.after_change(state);
                self.disk_failed("acknowledgements are not recorded", &error);
                return;
            }
        };
        for refusal in &record.refused {
            state.waits.spoil(refusal.id..=refusal.id, Spoilt::SetAside);
            refusal.status.set_aside_is(set_aside);
        }
        state.messages.recorded(&record);
        state.wake_waits();
        if state.awaits_records {
            self.recorded.notify_all();
        }
        state.deleted_since_empty += record.acknowledged.len();
        if state.messages.pending().count == 0
            && std::mem::take(&mut state.deleted_since_empty) > SHRINK_AFTER
        {
            self.store.shrink();
        }
        tell(state.drop_log.line_if_due(Instant::now()));
        self.record_if_due(&mut state);
        self.after_change(state);
    }

    /// Lets the link come and plan a [`retry`](Self::retry).
    fn disk_failed(&self, what: &str, error: &Error) {
        let reason = Chain(error).to_string();
        self.failures.lock().failed(what, reason, "; will retry");
        self.wake.wake_link();
    }

    /// Whether the disk failed, and something has to be tried again by [`retry`](Self::retry).
    pub fn is_stalled(&self) -> bool {
        self.state.lock().messages.is_stalled()
    }

    /// Tries again what failed.
    pub fn retry(&self) {
        let mut state = self.state.lock();
        state.messages.unstall();
        self.record_if_due(&mut state);
        self.load_if_low(&mut state);
    }

    /// Wakes those whom a change of the ready queue or the window concerns.
    fn after_change(&self, mut state: MutexGuard<'_, Shared>) {
        let wake_link = std::mem::take(&mut state.link_waits);
        let wake_uploader = state.messages.next_upload().is_some();
        drop(state);
        if wake_link {
            self.wake.wake_link();
        }
        if wake_uploader {
            self.wake.wake_uploader();
        }
    }

    /// How much is not yet sent.
    pub fn pending(&self) -> Totals {
        self.state.lock().messages.pending()
    }

    /// How much was dropped since the start.
    pub fn dropped(&self) -> Totals {
        self.state.lock().dropped
    }

    /// The newest Message that was ever stored.
    pub fn stored_through(&self) -> i64 {
        self.state.lock().messages.stored_through()
    }

    /// The oldest pending Message, and when it was stored, by the wall clock.
    pub fn oldest_label(&self) -> Option<(i64, i64)> {
        self.state.lock().messages.oldest_label()
    }

    /// Ends all waits, with [`Error::Closed`] unless what they wait for is sent.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        tell(state.drop_log.line());
        state.waits.wake_all();
    }
}
