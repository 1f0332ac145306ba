//! Step 2: rows of the database on their way into memory.

use std::sync::Arc;

use super::ready::{READY_BYTES, READY_COUNT};
use super::shared::Shared;
use super::state::State;
use crate::store::rows;
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
                let after = state.lock().messages.loaded_through();
                rows::outbox::load(transaction, after, READY_COUNT, READY_BYTES)
            },
            move |loaded| match loaded {
                Ok((rows, more)) => shared.change(|it| {
                    it.messages.loaded(rows, more);
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
    let newest = "SELECT coalesce(max(id), 0) FROM outbox";
    let newest = transaction
        .connection()
        .query_row(newest, (), |row| row.get(0))?;
    let mut messages = State::new(rows::outbox::totals(transaction)?, newest);
    let (rows, more) = rows::outbox::load(transaction, i64::MIN, READY_COUNT, READY_BYTES)?;
    messages.loaded(rows, more);
    Ok(messages)
}
