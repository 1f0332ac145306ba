//! Step 1: inside the transaction that stores, what is replaced goes; and the limits hold, or the oldest Messages go, or
//! the call fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::admission::{Answer, Dropped, Request, Stored};
use super::latest;
use super::limits::{OutboxLimit, OutboxLimits};
use super::new_message::{NewBody, NewMessage};
use super::records::Record;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::message::priority::Priority;
use crate::store::rows;
use crate::store::rows::lane;
use crate::store::rows::outbox::DroppedRows;
use crate::store::rows::totals::Totals;
use crate::store::{Transaction, free_disk_bytes};
use crate::sync::Mutex;

/// Lets Messages in, as the limits allow.
pub(super) struct Gate {
    pub limits: Mutex<OutboxLimits>,
    pub window: usize,
    pub database: PathBuf,
    pub shared: Arc<Shared>,
}

/// The Messages of one call, on their way into the database.
pub(super) struct Entry {
    gate: Arc<Gate>,
    pub messages: Vec<NewMessage>,
    added: Totals,
    /// What is not stored, as newer ones of the same call take its place.
    replaced_at_once: Totals,
    /// Of the last of them: those of one call are of one sender.
    priority: Priority,
    /// The transaction in which they were written last.
    transaction: AtomicU64,
}

impl Gate {
    /// Fails if the Messages never fit, as they exceed a limit by themselves.
    pub fn entry(self: &Arc<Self>, messages: Vec<NewMessage>) -> Result<Arc<Entry>> {
        let (messages, replaced_at_once) = latest::newest_of_each_key(messages);
        let added = Totals {
            count: messages.len() as u64,
            bytes: messages.iter().map(|it| it.body.bytes()).sum(),
        };
        self.limits.lock().check_alone(added)?;
        let priority = messages.last().map_or(Priority::Normal, |it| it.priority);
        Ok(Arc::new(Entry {
            gate: Arc::clone(self),
            messages,
            added,
            replaced_at_once,
            priority,
            transaction: AtomicU64::new(0),
        }))
    }

    /// Fails if a Message with so much content, of which a part is copied before, would not be let in as things stand:
    /// nothing is copied in vain. To drop others makes no room on the disk, so what has to stay free there counts
    /// whatever happens when it is full.
    pub fn check_copy(&self, bytes: u64) -> Result<()> {
        let limits = *self.limits.lock();
        if limits.is_unlimited() {
            return Ok(());
        }
        let added = Totals { count: 1, bytes };
        limits.check_alone(added)?;
        let free_disk_bytes = self.free_disk_bytes(&limits);
        let pending = self.shared.lock().messages.pending();
        match limits.excess(pending, added, free_disk_bytes) {
            Some((limit, _))
                if !limits.drops_oldest() || matches!(limit, OutboxLimit::FreeDiskBytes(_)) =>
            {
                Err(Error::OutboxFull { limit })
            }
            _ => Ok(()),
        }
    }

    /// Sees to it that there is room for `added` when the rows that it replaces are gone, or says which limit is
    /// reached.
    fn make_room(
        &self,
        transaction: &mut Transaction,
        added: Totals,
        priority: Priority,
        replaced: &[DroppedRows],
    ) -> rusqlite::Result<Result<Option<Dropped>, OutboxLimit>> {
        let limits = *self.limits.lock();
        if limits.is_unlimited() || added.count == 0 {
            return Ok(Ok(None));
        }
        let request = Request {
            transaction: transaction.number(),
            added,
            replaced: latest::totals(replaced),
            free_disk_bytes: self.free_disk_bytes(&limits),
        };
        let answer = self
            .shared
            .lock()
            .messages
            .admit(request, &limits, self.window);
        let (limit, excess, behind) = match answer {
            Answer::Fits => return Ok(Ok(None)),
            Answer::Full(limit) => return Ok(Err(limit)),
            Answer::Drop {
                limit,
                excess,
                behind,
            } => (limit, excess, behind),
        };
        // The lowest lane first, and none that goes before what comes in.
        let droppable: Vec<_> = behind
            .iter()
            .skip_while(|(lane, _)| *lane != priority)
            .map(|(lane, behind)| behind.saturating_add(1)..=*lane::ids(lane).end())
            .collect();
        let droppable: Vec<_> = droppable.into_iter().rev().collect();
        let replaced_ids: Vec<i64> = replaced.iter().map(|row| row.first).collect();
        match rows::outbox::drop_oldest(transaction, &droppable, &replaced_ids, excess)? {
            Some(rows) => {
                let gone = latest::totals(&rows).and(latest::totals(replaced));
                let messages = &mut self.shared.lock().messages;
                messages.replaced(gone, added);
                Ok(Ok(Some(Dropped { rows, limit })))
            }
            None => {
                // The link was kept from what is not dropped now.
                self.shared.change(|it| it.messages.drop_ended());
                Ok(Err(limit))
            }
        }
    }

    /// `None` if it is no matter, or cannot be told.
    fn free_disk_bytes(&self, limits: &OutboxLimits) -> Option<u64> {
        if !limits.needs_free_disk_bytes() {
            return None;
        }
        free_disk_bytes(&self.database)
            .inspect_err(|error| log::debug!("free space is not known: {error}"))
            .ok()
    }
}

impl Entry {
    /// Writes all of them, or none if a limit is reached.
    pub fn write(
        &self,
        transaction: &mut Transaction,
    ) -> rusqlite::Result<Result<Stored, OutboxLimit>> {
        self.transaction
            .store(transaction.number(), Ordering::Relaxed);
        let (gate, priority) = (&self.gate, self.priority);
        let replaced = latest::hold_older(transaction, &self.messages, &gate.shared, gate.window)?;
        let dropped = match gate.make_room(transaction, self.added, priority, &replaced)? {
            Ok(dropped) => dropped,
            Err(limit) => {
                if !replaced.is_empty() {
                    gate.shared.change(|it| it.messages.release(&replaced));
                }
                return Ok(Err(limit));
            }
        };
        let at_once = self.replaced_at_once;
        let replaced = latest::replace(transaction, replaced, at_once, priority)?;
        let insert = |message: &NewMessage| {
            let (priority, at_ms) = (message.priority, message.stored_at_ms);
            let properties = &message.properties;
            use rows::outbox::{insert, insert_with_content};
            match &message.body {
                NewBody::Inline(body) => {
                    insert(transaction, priority, at_ms, properties, false, body)
                }
                NewBody::Upload(body) => {
                    insert(transaction, priority, at_ms, properties, true, body)
                }
                NewBody::Stored(content) => {
                    insert_with_content(transaction, priority, at_ms, properties, *content)
                }
            }
        };
        let ids = self.messages.iter().map(insert).collect::<Result<_, _>>()?;
        Ok(Ok(Stored {
            ids,
            dropped,
            replaced,
        }))
    }

    /// They are not stored. On a full disk, to delete what is sent may help.
    #[must_use]
    pub fn failed(&self, error: &Error) -> Option<Record> {
        self.gate.shared.change(|it| {
            let transaction = self.transaction.load(Ordering::Relaxed);
            it.messages.rolled_back(transaction);
            if matches!(error, Error::StorageFull { .. }) {
                it.messages.want_sent_deleted();
                it.messages.begin_delete()
            } else {
                None
            }
        })
    }
}
