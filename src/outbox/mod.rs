//! The outbox: every Message from `enqueue` to the record of its acknowledgement.
//!
//! ```text
//!  1 enqueue      the caller's thread or the storage thread commits the row,         gate
//!                 drops the oldest where a limit wants it, and what it replaces
//!  2 ready        the oldest rows of each lane wait in memory, in order, within       ready, queues,
//!                 a budget                                                           loader
//!  3 take         the link takes the oldest of the highest lane while its in-flight   state
//!                 window has a place
//!  4 acknowledge  the PUBACK of exactly this publish came                            (the link)
//!  5 record       it is noted as sent in the sent log, and its row is deleted with   recorder, sent
//!                 many others later; only now does the window have its place back,
//!                 and only now do those who wait see it as sent
//! ```
//!
//! Instead of 4, a Message that the hub refuses is put on the [shelf]: its row is moved with the next record. Instead of
//! 3, one that is older than its time to live is deleted, and none goes before that is synced.
//!
//! The database is the only queue; the [sent log](sent) takes from it. What is in memory are its oldest rows, so that
//! the link never waits for a read or a sync.
//!
//! A [lane](crate::Priority) is left only when nothing is in flight, and the next one is recorded first: so what a lost
//! connection, a kill or a power cut can repeat is of the lane that was sent from last.
//!
//! What happens to a Message is decided by pure code: [`state`], of which [`admission`], [`queues`] and [`records`] are
//! parts. [`shared`] puts one lock around it. Above are those that use the database: [`latest`], [`gate`], [`loader`],
//! then [`contents`], which asks the gate, then [`uploads`] and [`shelf`], which use both, then [`recorder`], which uses
//! the shelf and the sent log. What they put into the store's queue holds the parts that it needs, and nothing above
//! them.

mod admission;
mod ages;
mod contents;
mod drop_log;
mod gate;
mod latest;
#[cfg(test)]
mod latest_tests;
#[cfg(test)]
mod limit_tests;
mod limits;
mod loader;
mod new_message;
mod queues;
mod ready;
#[cfg(test)]
mod real_database;
mod recorder;
mod records;
mod recovery;
mod sent;
mod shared;
mod shelf;
mod state;
mod taken;
mod uploads;
mod waiters;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::message::outgoing::Outgoing;
use crate::pacing::pacer::Turn;
use crate::store::rows::lane;
use crate::store::rows::totals::Totals;
use crate::store::{Durability, Store, rows};
use crate::sync::Mutex;
use crate::wait::InterruptCheck;
use ages::Ages;
pub(crate) use contents::{ContentCopy, Contents};
use gate::Gate;
pub use limits::{OutboxLimit, OutboxLimits, WhenFull};
use loader::Loader;
pub(crate) use new_message::{NewBody, NewMessage};
#[cfg(test)]
pub(crate) use queues::Loaded;
use recorder::Recorder;
pub(crate) use records::{Record, SetAside};
use sent::SentLog;
#[cfg(feature = "tool")]
pub(crate) use sent::{noted as noted_as_sent, settle as delete_sent};
pub(crate) use shared::Wake;
use shared::{Guarded, Shared};
pub(crate) use shelf::IdentityChange;
use shelf::Shelf;
#[cfg(test)]
pub(crate) use state::Left;
pub(crate) use state::State;
pub(crate) use uploads::Uploads;
use waiters::Awaited;

/// The outbox in memory, over its rows in the store.
pub(crate) struct Outbox {
    store: Arc<Store>,
    window: usize,
    shared: Arc<Shared>,
    ages: Arc<Ages>,
    gate: Arc<Gate>,
    loader: Arc<Loader>,
    recorder: Arc<Recorder>,
    /// Used by whoever makes the record that is under way.
    sent_log: Arc<Mutex<SentLog>>,
    /// The Messages set aside.
    pub shelf: Arc<Shelf>,
    /// Content that is to be uploaded.
    pub uploads: Uploads,
    /// Content that is copied into the store before its Message.
    pub contents: Arc<Contents>,
}

impl Outbox {
    /// Deletes what an earlier run has noted as sent, counts what it left and loads the oldest of it.
    pub fn open(
        store: Arc<Store>,
        wake: Arc<dyn Wake>,
        clock: Arc<dyn Clock>,
        window: usize,
        limits: OutboxLimits,
    ) -> Result<Outbox> {
        let sent_log = Arc::new(Mutex::new(sent::open(&store)?));
        let (messages, set_aside) = store.read(|transaction| {
            Ok((
                loader::first_load(transaction)?,
                rows::set_aside::count(transaction)?,
            ))
        })?;
        let ages = Arc::new(Ages::new(clock, messages.stored_through()));
        let shared = Arc::new(Shared::new(messages, wake));
        let (memory, log) = (Arc::clone(&shared), Arc::clone(&sent_log));
        store.on_recovery(move |transaction, recovery| {
            recovery::write_back(&memory, &log, transaction, recovery)
        });
        let gate = Arc::new(Gate {
            limits: Mutex::new(limits),
            window,
            database: store.path().to_owned(),
            shared: Arc::clone(&shared),
        });
        let contents = Arc::new(Contents::open(Arc::clone(&store), Arc::clone(&gate))?);
        let loader = Arc::new(Loader {
            store: Arc::clone(&store),
            shared: Arc::clone(&shared),
        });
        let shelf = Shelf::new(
            Arc::clone(&store),
            Arc::clone(&shared),
            Arc::clone(&loader),
            Arc::clone(&contents),
            set_aside,
        );
        let recorder = Arc::new(Recorder {
            store: Arc::clone(&store),
            shared: Arc::clone(&shared),
            sent_log: Arc::clone(&sent_log),
            shelf: Arc::clone(&shelf),
            contents: Arc::clone(&contents),
        });
        let uploads = Uploads {
            store: Arc::clone(&store),
            shared: Arc::clone(&shared),
            contents: Arc::clone(&contents),
        };
        Ok(Outbox {
            store,
            window,
            shared,
            ages,
            gate,
            loader,
            recorder,
            sent_log,
            shelf,
            uploads,
            contents,
        })
    }

    /// Step 1. Stores the Messages in one commit and returns the id of the last, or 0 for none.
    /// Blocks until the commit has the durability asked for.
    pub fn enqueue(&self, messages: Vec<NewMessage>, durability: Durability) -> Result<i64> {
        self.store_then(messages, durability, |_, _| {})
    }

    /// Step 1, and waits until the Message and all before it in its lane are sent, and recorded. Fails if it is set
    /// aside, dropped, replaced or too old.
    pub fn send(
        &self,
        message: NewMessage,
        durability: Durability,
        deadline: Option<Instant>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<()> {
        // The wait begins with the commit: what happens to the Message at once is not missed.
        let begun = Arc::new(Mutex::new(None));
        let waiting = Arc::clone(&begun);
        self.store_then(vec![message], durability, move |it, id| {
            *waiting.lock() = Some(it.waiters.add(Awaited::Message(id)));
        })?;
        let waiting = begun.lock().take();
        waiting.map_or(Ok(()), |waiting| {
            self.shared.wait(&waiting, deadline, check)
        })
    }

    /// Stores, and calls `stored` with the id of the last Message before the link can take it.
    fn store_then(
        &self,
        messages: Vec<NewMessage>,
        durability: Durability,
        stored: impl FnOnce(&mut Guarded, i64) + Send + 'static,
    ) -> Result<i64> {
        let entry = self.gate.entry(messages)?;
        let (rows, messages) = (Arc::clone(&entry), Arc::clone(&entry));
        let (shared, loader) = (Arc::clone(&self.shared), Arc::clone(&self.loader));
        let (ages, wall_at_start_ms) = (Arc::clone(&self.ages), self.ages.wall_at_start_ms());
        let outcome = self.store.execute(
            durability,
            move |transaction| rows.write(transaction),
            move |outcome| {
                if let Ok(rows) = outcome {
                    if let Some(first) = rows.ids.first() {
                        ages.labelled(lane::number(*first), wall_at_start_ms);
                    }
                    loader.load_if(shared.change(|it| {
                        if let Some(last) = rows.ids.last() {
                            stored(it, *last);
                        }
                        it.stored(rows, &messages.messages)
                    }));
                }
            },
        );
        match outcome {
            Ok(Ok(stored)) => {
                if stored.dropped.is_some() || !stored.replaced.rows.is_empty() {
                    self.contents.sweep();
                }
                Ok(stored.ids.last().copied().unwrap_or(0))
            }
            Ok(Err(limit)) => Err(Error::OutboxFull { limit }),
            Err(error) => {
                if let Some(record) = entry.failed(&error) {
                    self.recorder.post(record);
                }
                self.shared.tell_disk_failure(&error);
                Err(error)
            }
        }
    }

    /// Step 3. The oldest Message that is not in flight of the highest lane whose turn it can be, if the window has a
    /// place for it. If there is none, the link is woken when there may be one; not by the time, as the turn knows that.
    pub fn take(&self, turn: &mut Turn) -> Option<Outgoing> {
        self.take_by(|messages| {
            messages.expire(self.window, turn, |message| self.ages.is_expired(message));
            messages.take(self.window, turn)
        })
    }

    /// Step 3, whatever the window says: a Message that is not in flight, to see whether the hub takes it while it
    /// refuses those before.
    pub fn take_behind(&self, turn: &mut Turn) -> Option<Outgoing> {
        self.take_by(|messages| {
            messages.expire(usize::MAX, turn, |message| self.ages.is_expired(message));
            messages.take_behind(turn)
        })
    }

    fn take_by(&self, take: impl FnOnce(&mut State) -> Option<Outgoing>) -> Option<Outgoing> {
        let mut it = self.shared.lock();
        let message = take(&mut it.messages);
        it.link_waits |= message.is_none();
        let due = it.messages.begin_due_record();
        let load_is_due = it.begin_load();
        drop(it);
        if let Some(record) = due {
            self.recorder.post(record);
        }
        self.loader.load_if(load_is_due);
        message
    }

    /// Whether the window has a place for a Message that was taken before. If it has not, the link is
    /// woken when it may have.
    pub fn has_place(&self, id: i64) -> bool {
        let mut it = self.shared.lock();
        let has_place = it.messages.has_place(id, self.window);
        it.link_waits |= !has_place;
        let due = it.messages.begin_due_record();
        drop(it);
        if let Some(record) = due {
            self.recorder.post(record);
        }
        has_place
    }

    /// Step 4. The Platform has the Message; it is forgotten with the next [`record`](Self::record).
    pub fn acknowledge(&self, id: i64) {
        self.shared.lock().messages.acknowledged(id);
    }

    /// Instead of step 4. The Platform does not take the Message: it is set aside with the next
    /// [`record`](Self::record).
    pub fn set_aside_in_flight(&self, message: SetAside) {
        self.shared.lock().messages.set_aside_taken(message);
    }

    /// Step 5, by the link, which comes back to [`take`](Self::take) behind it. What is only noted is recorded when
    /// this returns: to hand each acknowledgement to another thread costs more than to write it.
    pub fn record(&self) {
        let mut it = self.shared.lock();
        it.link_waits = false;
        let record = it.messages.begin_record();
        drop(it);
        let Some(record) = record else { return };
        if record.deletes || record.lane.is_some() || !self.note(&record) {
            return self.recorder.delete(record);
        }
        let next = self.shared.change(|it| it.recorded(&record));
        self.recorder.go_on(next);
    }

    fn note(&self, record: &Record) -> bool {
        let mut sent_log = self.sent_log.lock();
        sent_log.note(&record.acknowledged, Instant::now())
    }

    /// Whether the disk failed, and something has to be tried again by [`retry`](Self::retry).
    pub fn is_stalled(&self) -> bool {
        self.shared.lock().messages.is_stalled()
    }

    /// What the disk failed with since the last time, for the status.
    pub fn take_disk_failure(&self) -> Option<Error> {
        self.shared.take_disk_failure()
    }

    /// Tries again what failed.
    pub fn retry(&self) {
        let mut it = self.shared.lock();
        it.messages.unstall();
        let record = it.messages.begin_delete();
        let load_is_due = it.begin_load();
        drop(it);
        if let Some(record) = record {
            self.recorder.post(record);
        }
        self.loader.load_if(load_is_due);
    }

    /// Waits until everything stored so far is sent, and recorded. Fails if anything of it is set aside, dropped, replaced
    /// or too old meanwhile.
    pub fn wait_all_sent(
        &self,
        deadline: Option<Instant>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<()> {
        self.shared.wait_all_sent(deadline, check)
    }

    /// How much is not yet sent.
    pub fn pending(&self) -> Totals {
        self.shared.lock().messages.pending()
    }

    /// From the next call that stores on, these limits hold.
    pub fn set_limits(&self, limits: OutboxLimits) {
        *self.gate.limits.lock() = limits;
    }

    /// How much was dropped since the start.
    pub fn dropped(&self) -> Totals {
        self.shared.lock().dropped_totals()
    }

    /// How much was too old to be sent, since the start.
    pub fn expired(&self) -> Totals {
        self.shared.lock().expired_totals()
    }

    /// How much went in favour of newer Messages, since the start.
    pub fn replaced(&self) -> Totals {
        self.shared.lock().replaced_totals()
    }

    /// How old the oldest pending Message is.
    pub fn oldest_age(&self) -> Option<Duration> {
        let label = self.shared.lock().messages.oldest_label()?;
        Some(self.ages.of(label))
    }

    /// Ends all waits, with [`Error::Closed`] unless what they wait for is sent.
    pub fn close(&self) {
        self.shared.lock().close();
    }

    /// At the very end: waits until every acknowledgement is recorded, and the rows of all that is sent are
    /// deleted, or the deadline passes. Nothing is noted any more.
    pub fn end(&self, deadline: Instant) {
        self.recorder.delete_sent(deadline);
        self.sent_log.lock().close();
    }
}
