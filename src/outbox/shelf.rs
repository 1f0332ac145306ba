//! The shelf: Messages that will not be sent as things stand, until the application retries or drops them. All that
//! puts Messages there is here, and so is how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::contents::Contents;
use super::loader::Loader;
use super::records::SetAside;
use super::shared::Shared;
use super::waiters::NotSent;
use crate::error::Result;
use crate::identity::HubDeviceId;
use crate::store::rows::lane;
use crate::store::rows::set_aside::{Cause, SetAsideRow};
use crate::store::{Durability, Store, Transaction, rows};

/// The Messages set aside.
pub(crate) struct Shelf {
    store: Arc<Store>,
    shared: Arc<Shared>,
    loader: Arc<Loader>,
    contents: Arc<Contents>,
    count: Arc<AtomicU64>,
}

/// That the device has another identity: what was stored under the one before is not sent any more.
pub(crate) struct IdentityChange<Also, Committed> {
    pub before: HubDeviceId,
    pub now_ms: i64,
    /// What else is written in the same transaction.
    pub also: Also,
    /// Called when it is committed, before anything that is committed later.
    pub committed: Committed,
}

impl Shelf {
    /// With `count` Messages on it already.
    pub(super) fn new(
        store: Arc<Store>,
        shared: Arc<Shared>,
        loader: Arc<Loader>,
        contents: Arc<Contents>,
        count: u64,
    ) -> Arc<Shelf> {
        let count = Arc::new(AtomicU64::new(count));
        let saved = Arc::clone(&count);
        store.on_recovery(move |transaction, _| {
            saved.store(rows::set_aside::count(transaction)?, Ordering::Release);
            Ok(())
        });
        Arc::new(Shelf {
            store,
            shared,
            loader,
            contents,
            count,
        })
    }

    /// How many there are. Does not block.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// The Messages, oldest first.
    pub fn list(&self) -> Result<Vec<SetAsideRow>> {
        self.store
            .read(|transaction| rows::set_aside::list(transaction))
    }

    /// Sets a Message aside that is not in flight.
    pub fn set_aside(&self, message: SetAside) -> Result<()> {
        let id = message.id;
        let (shared, count) = (Arc::clone(&self.shared), Arc::clone(&self.count));
        self.store.execute(
            Durability::PowerSafe,
            move |transaction| write(transaction, std::slice::from_ref(&message)),
            move |total| {
                // First: who is told then looks at it.
                count.store(*total, Ordering::Release);
                shared.change(|it| {
                    it.waiters.not_sent(id..=id, NotSent::SetAside);
                    it.messages.set_aside(id);
                    it.wake_waiters();
                });
            },
        )?;
        Ok(())
    }

    /// A record has [written](fn@write) Messages: there are so many now.
    pub(super) fn recorded(&self, count: u64) {
        self.count.store(count, Ordering::Release);
    }

    /// Sets everything aside that is stored, but for what is acknowledged, which is forgotten; returns how many were
    /// set aside. Nothing may be in flight any more.
    pub fn set_all_aside<Also, Committed>(
        &self,
        change: IdentityChange<Also, Committed>,
    ) -> Result<usize>
    where
        Also: FnMut(&mut Transaction) -> rusqlite::Result<()> + Send + 'static,
        Committed: FnOnce() + Send + 'static,
    {
        let IdentityChange {
            before,
            now_ms,
            mut also,
            committed,
        } = change;
        let reason = format!("stored as device {before}");
        let (state, shared) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        let count = Arc::clone(&self.count);
        let (moved, _) = self.store.execute(
            Durability::PowerSafe,
            move |transaction| {
                rows::outbox::delete_all(transaction, &state.lock().messages.sent())?;
                let cause = Cause {
                    reason: &reason,
                    identity: &before,
                    now_ms,
                };
                let moved = rows::set_aside::move_all(transaction, cause)?;
                also(transaction)?;
                Ok((moved, rows::set_aside::count(transaction)?))
            },
            move |(_, total)| {
                count.store(*total, Ordering::Release);
                shared.change(|it| {
                    for oldest in it.messages.oldest_pending() {
                        let through_all = oldest..=*lane::ids(lane::priority(oldest)).end();
                        it.waiters.not_sent(through_all, NotSent::SetAside);
                    }
                    it.messages.all_set_aside();
                    it.wake_waiters();
                });
                committed();
            },
        )?;
        Ok(moved)
    }

    /// Puts those of this identity back, behind all others of their lanes; returns how many.
    pub fn put_back(&self, ids: Vec<i64>, identity: HubDeviceId) -> Result<u64> {
        let (shared, loader) = (Arc::clone(&self.shared), Arc::clone(&self.loader));
        let count = Arc::clone(&self.count);
        let ((totals, _), _) = self.store.execute(
            Durability::PowerSafe,
            move |transaction| {
                let put_back = rows::set_aside::put_back(transaction, &ids, &identity)?;
                Ok((put_back, rows::set_aside::count(transaction)?))
            },
            move |((totals, through), left)| {
                count.store(*left, Ordering::Release);
                if totals.count > 0 {
                    let mut it = shared.lock();
                    it.messages.put_back(*through, *totals);
                    let load_is_due = it.begin_load();
                    drop(it);
                    loader.load_if(load_is_due);
                }
            },
        )?;
        Ok(totals.count)
    }

    /// Deletes these; returns how many there were.
    pub fn drop_messages(&self, ids: Vec<i64>) -> Result<usize> {
        let count = Arc::clone(&self.count);
        let (deleted, _) = self.store.execute(
            Durability::PowerSafe,
            move |transaction| {
                let deleted = rows::set_aside::delete(transaction, &ids)?;
                Ok((deleted, rows::set_aside::count(transaction)?))
            },
            move |(_, left)| count.store(*left, Ordering::Release),
        )?;
        self.contents.sweep();
        Ok(deleted)
    }
}

/// Inside a transaction: sets these aside; returns how many there are then.
pub(super) fn write(transaction: &mut Transaction, messages: &[SetAside]) -> rusqlite::Result<u64> {
    for message in messages {
        let SetAside {
            id,
            reason,
            identity,
            now_ms,
        } = message;
        let cause = Cause {
            reason,
            identity,
            now_ms: *now_ms,
        };
        rows::set_aside::move_one(transaction, *id, cause)?;
    }
    rows::set_aside::count(transaction)
}
