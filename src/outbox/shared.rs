//! The outbox's state as threads share it: one lock, and who is woken when something changes. Nothing is read from
//! the disk or written to it under the lock, as the link takes it, too.

use std::sync::Arc;
use std::time::Instant;

use super::admission::{Dropped, Replaced, Stored};
use super::drop_log::{DropLog, Why};
use super::new_message::NewMessage;
use super::records::Record;
use super::state::State;
use super::waiters::{Awaited, NotSent, Waiters, Waiting};
use crate::error::{Chain, Error, Result};
use crate::failure_log::FailureLog;
use crate::store::rows::outbox::DroppedRows;
use crate::store::rows::totals::Totals;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wait::{InterruptCheck, wait_for};

/// Wakes whoever moves Messages on; must not block.
pub(crate) trait Wake: Send + Sync {
    /// There may be something to take for the link.
    fn wake_link(&self);
    /// There may be something to upload.
    fn wake_uploader(&self);
}

/// The state and its lock.
pub(super) struct Shared {
    guarded: Mutex<Guarded>,
    /// Nothing is left to record.
    recorded: Condvar,
    wake: Arc<dyn Wake>,
    failures: Mutex<FailureLog>,
    /// What the status is still to tell of the disk.
    disk_failure: Mutex<Option<Error>>,
}

/// The bookkeeping, and who is to be woken when it changes.
pub(super) struct Guarded {
    pub messages: State,
    pub waiters: Waiters,
    /// The link found nothing to take: it wants to be woken.
    pub link_waits: bool,
    /// Somebody waits for the records.
    awaits_records: bool,
    /// Rows were deleted since the outbox was empty.
    has_deleted: bool,
    /// Since the start.
    dropped: Totals,
    expired: Totals,
    replaced: Totals,
    drop_log: DropLog,
    expiry_log: DropLog,
    replacement_log: DropLog,
    is_closed: bool,
}

/// What follows from a record.
#[must_use]
pub(super) struct Next {
    /// The outbox has drained: its file may be larger than it has to be.
    pub may_shrink: bool,
    pub record: Option<Record>,
}

impl Shared {
    pub fn new(messages: State, wake: Arc<dyn Wake>) -> Shared {
        Shared {
            guarded: Mutex::new(Guarded {
                messages,
                waiters: Waiters::default(),
                link_waits: false,
                awaits_records: false,
                has_deleted: false,
                dropped: Totals::default(),
                expired: Totals::default(),
                replaced: Totals::default(),
                drop_log: DropLog::default(),
                expiry_log: DropLog::default(),
                replacement_log: DropLog::default(),
                is_closed: false,
            }),
            recorded: Condvar::new(),
            wake,
            failures: Mutex::new(FailureLog::new(module_path!())),
            disk_failure: Mutex::default(),
        }
    }

    /// For a look, or a change that concerns nobody else.
    pub fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock()
    }

    /// Changes something, then wakes those whom it concerns.
    pub fn change<T>(&self, change: impl FnOnce(&mut Guarded) -> T) -> T {
        let mut guarded = self.lock();
        let value = change(&mut guarded);
        if guarded.awaits_records && !guarded.messages.has_unrecorded() {
            self.recorded.notify_all();
        }
        let wake_link = std::mem::take(&mut guarded.link_waits);
        let wake_uploader = guarded.messages.next_upload(|_| true).is_some();
        drop(guarded);
        if wake_link {
            self.wake.wake_link();
        }
        if wake_uploader {
            self.wake.wake_uploader();
        }
        value
    }

    /// The disk failed: it is logged, and the link comes and plans a retry.
    pub fn disk_failed(&self, what: &str, error: &Error) {
        let reason = Chain(error).to_string();
        self.failures.lock().failed(what, reason, "; will retry");
        self.tell_disk_failure(error);
    }

    /// The link tells the status.
    pub fn tell_disk_failure(&self, error: &Error) {
        *self.disk_failure.lock() = Some(error.clone());
        self.wake.wake_link();
    }

    /// What the disk failed with since the last time.
    pub fn take_disk_failure(&self) -> Option<Error> {
        self.disk_failure.lock().take()
    }

    /// Waits until everything that is stored now is sent.
    pub fn wait_all_sent(
        &self,
        deadline: Option<Instant>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<()> {
        let mut it = self.lock();
        let all = Awaited::All(it.messages.stored_through());
        let waiting = it.waiters.add(all);
        drop(it);
        self.wait(&waiting, deadline, check)
    }

    /// Waits until what is awaited is sent. Fails if anything of it is set aside, dropped, replaced or expires meanwhile;
    /// at once, if it is one Message that is dropped or replaced.
    pub fn wait(
        &self,
        waiting: &Waiting,
        deadline: Option<Instant>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<()> {
        let it = self.lock();
        let Waiting {
            awaited,
            key,
            changed,
        } = waiting;
        let is_one = matches!(awaited, Awaited::Message(_));
        let (mut it, sent) = wait_for(&self.guarded, it, changed, deadline, check, |it| {
            if it.messages.is_sent(*awaited) || (is_one && it.waiters.is_gone(*key)) {
                Some(Ok(()))
            } else {
                it.is_closed.then_some(Err(Error::Closed))
            }
        });
        match it.waiters.remove(*key) {
            Some(why) => sent.and(Err(why.into())),
            None => sent,
        }
    }

    /// Waits until every acknowledgement is recorded, or the deadline passes.
    pub fn wait_recorded(&self, deadline: Instant) {
        let mut it = self.lock();
        it.awaits_records = true;
        let is_due = |it: &mut Guarded| it.messages.has_unrecorded();
        drop(self.recorded.wait_while_until(it, deadline, is_due));
    }
}

impl Guarded {
    /// Something was sent, or never will be: wakes those who wait for nothing else.
    pub fn wake_waiters(&self) {
        self.waiters.wake(|awaited| self.messages.is_sent(awaited));
    }

    /// See [`State::begin_load`]; not once the outbox is closed.
    #[must_use]
    pub fn begin_load(&mut self) -> bool {
        !self.is_closed && self.messages.begin_load()
    }

    /// Step 2, to be called in the order of the commits. Returns whether rows are to be loaded.
    #[must_use]
    pub fn stored(&mut self, stored: &Stored, messages: &[NewMessage]) -> bool {
        if let Some(dropped) = &stored.dropped {
            self.dropped(dropped);
        }
        self.replaced(&stored.replaced);
        let has_room = stored.dropped.is_some() || !stored.replaced.rows.is_empty();
        let load_is_due = has_room && self.begin_load();
        for (id, message) in stored.ids.iter().zip(messages) {
            self.messages.stored(*id, message);
        }
        tell(self.drop_log.lines_if_due(Instant::now()));
        tell_as_wanted(self.replacement_log.lines_if_due(Instant::now()));
        load_is_due
    }

    fn replaced(&mut self, Replaced { rows, at_once }: &Replaced) {
        for row in rows {
            self.messages.replaced_by_newer(row);
            self.waiters
                .not_sent(row.first..=row.last, NotSent::Replaced);
        }
        if !rows.is_empty() {
            self.wake_waiters();
        }
        for rows in rows.iter().chain(at_once) {
            self.replaced = self.replaced.and(rows.totals);
            self.replacement_log.dropped(*rows, Why::Replaced);
        }
    }

    fn dropped(&mut self, Dropped { rows, limit }: &Dropped) {
        self.messages.dropped(rows);
        for rows in rows {
            self.waiters
                .not_sent(rows.first..=rows.last, NotSent::Dropped);
            self.dropped = self.dropped.and(rows.totals);
            self.drop_log.dropped(*rows, Why::Full(*limit));
        }
        self.wake_waiters();
    }

    fn expired(&mut self, rows: DroppedRows) {
        self.waiters
            .not_sent(rows.first..=rows.last, NotSent::Expired);
        self.expired = self.expired.and(rows.totals);
        self.expiry_log.dropped(rows, Why::Expired);
    }

    /// How much has expired since the start.
    pub fn expired_totals(&self) -> Totals {
        self.expired
    }

    /// How much was replaced since the start.
    pub fn replaced_totals(&self) -> Totals {
        self.replaced
    }

    /// How much was dropped since the start.
    pub fn dropped_totals(&self) -> Totals {
        self.dropped
    }

    /// Step 5: the record is made. Returns what follows from it.
    pub fn recorded(&mut self, record: &Record) -> Next {
        for message in &record.set_aside {
            self.waiters
                .not_sent(message.id..=message.id, NotSent::SetAside);
        }
        for rows in self.messages.recorded(record) {
            self.expired(rows);
        }
        self.wake_waiters();
        self.has_deleted |= record.deletes;
        let is_empty = self.messages.pending().count == 0;
        tell(self.drop_log.lines_if_due(Instant::now()));
        tell_as_wanted(self.expiry_log.lines_if_due(Instant::now()));
        Next {
            may_shrink: is_empty && std::mem::take(&mut self.has_deleted),
            record: self.messages.begin_delete(),
        }
    }

    /// Ends all waits.
    pub fn close(&mut self) {
        self.is_closed = true;
        tell(self.drop_log.lines());
        tell_as_wanted(self.expiry_log.lines());
        tell_as_wanted(self.replacement_log.lines());
        self.waiters.wake_all();
    }
}

/// What went as the application wants it.
fn tell_as_wanted(gone: Vec<String>) {
    for line in gone {
        log::info!("{line}");
    }
}

fn tell(dropped: Vec<String>) {
    for line in dropped {
        log::error!("{line}");
    }
}
