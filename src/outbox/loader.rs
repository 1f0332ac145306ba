//! Step 2: rows of the database on their way into memory.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::queues::Loaded;
use super::ready::{READY_BYTES, READY_COUNT};
use super::shared::Shared;
use super::state::{Left, State};
use crate::message::priority::Priority;
use crate::store::rows::{self, lane, sent_lane};
use crate::store::{Durability, Store, Transaction};

/// Loads rows when the ready queue runs low.
pub(super) struct Loader {
    pub store: Arc<Store>,
    pub shared: Arc<Shared>,
}

impl Loader {
    /// Posts the load that [`State::begin_load`] has begun.
    pub fn load_if(&self, is_due: bool) {
        if !is_due {
            return;
        }
        let (state, shared) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        self.store.post(
            Durability::KillSafe,
            move |transaction| {
                let to_load = state.lock().messages.to_load();
                let lanes = to_load.into_iter();
                lanes
                    .map(|(priority, ids)| load(transaction, priority, &ids))
                    .collect::<rusqlite::Result<Vec<Loaded>>>()
            },
            move |loaded| match loaded {
                Ok(loaded) => shared.change(|it| {
                    it.messages.loaded(loaded);
                    // Rows that are missing were lost, and nothing of them is pending any more.
                    it.wake_waiters();
                }),
                Err(error) => {
                    shared.lock().messages.load_failed();
                    shared.disk_failed("stored Messages are not read", &error);
                }
            },
        );
    }
}

/// What an earlier run left.
pub(super) fn first_load(transaction: &mut Transaction) -> rusqlite::Result<State> {
    let newest = lane::newest_number(transaction.connection(), "outbox")?;
    let left = Left {
        pending: rows::outbox::totals(transaction)?,
        stored_through: newest,
        sent_from: sent_lane::load(transaction)?,
    };
    let mut messages = State::new(left);
    let lanes = Priority::ALL.into_iter();
    let loaded = lanes.map(|priority| load(transaction, priority, &lane::ids(priority)));
    messages.loaded(loaded.collect::<rusqlite::Result<_>>()?);
    Ok(messages)
}

fn load(
    transaction: &Transaction,
    priority: Priority,
    ids: &RangeInclusive<i64>,
) -> rusqlite::Result<Loaded> {
    let (rows, more) = rows::outbox::load(transaction, ids, READY_COUNT, READY_BYTES)?;
    Ok(Loaded {
        priority,
        rows,
        more,
    })
}
