//! Step 1: inside the transaction that stores, the limits hold, or the oldest Messages go, or the call fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::admission::{Answer, Dropped, Request, Stored};
use super::limits::{OutboxLimit, OutboxLimits};
use super::records::Record;
use super::shared::Shared;
use super::state::{NewBody, NewMessage};
use crate::error::{Error, Result};
use crate::message::priority::Priority;
use crate::store::rows;
use crate::store::rows::lane;
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
    /// Of the last of them: those of one call are of one sender.
    priority: Priority,
    /// The transaction in which they were written last.
    transaction: AtomicU64,
}

impl Gate {
    /// Fails if the Messages never fit, as they exceed a limit by themselves.
    pub fn entry(self: &Arc<Self>, messages: Vec<NewMessage>) -> Result<Arc<Entry>> {
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

    /// Sees to it that there is room for `added`, or says which limit is reached.
    fn make_room(
        &self,
        transaction: &mut Transaction,
        added: Totals,
        priority: Priority,
    ) -> rusqlite::Result<Result<Option<Dropped>, OutboxLimit>> {
        let limits = *self.limits.lock();
        if limits.is_unlimited() || added.count == 0 {
            return Ok(Ok(None));
        }
        let request = Request {
            transaction: transaction.number(),
            added,
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
        match rows::outbox::drop_oldest(transaction, &droppable, excess)? {
            Some(rows) => {
                let totals = rows
                    .iter()
                    .fold(Totals::default(), |sum, rows| sum.and(rows.totals));
                let messages = &mut self.shared.lock().messages;
                messages.replaced(totals, added);
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
        let dropped = match self
            .gate
            .make_room(transaction, self.added, self.priority)?
        {
            Ok(dropped) => dropped,
            Err(limit) => return Ok(Err(limit)),
        };
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
        Ok(Ok(Stored { ids, dropped }))
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
