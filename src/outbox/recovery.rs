//! A damaged database was rebuilt from what could be read: what is in memory goes back into it.

use std::collections::HashSet;

use super::sent::SentLog;
use super::shared::Shared;
use super::waiters::NotSent;
use crate::store::rows;
use crate::store::{Recovery, Transaction};
use crate::sync::Mutex;

/// Inside the first transaction of the rebuilt database. Whoever waits for what is lost is told.
pub(super) fn write_back(
    shared: &Shared,
    sent_log: &Mutex<SentLog>,
    transaction: &mut Transaction,
    recovery: &mut Recovery,
) -> rusqlite::Result<()> {
    let generation = sent_log.lock().generation();
    let mut it = shared.lock();
    rows::outbox::delete_all(transaction, it.messages.noted())?;
    rows::outbox::set_sent_generation(transaction, generation)?;
    rows::sent_lane::save(transaction, it.messages.sent_from())?;
    let mut rows = HashSet::new();
    for ids in it.messages.ids_loaded() {
        rows.extend(rows::outbox::ids(transaction, ids)?);
    }
    for (message, body) in it.messages.missing(&rows) {
        rows::outbox::put_back(transaction, &message, &body)?;
    }
    let stored = rows::outbox::totals(transaction)?;
    let lost = it.messages.rebuilt(&rows, stored);
    recovery.lost_messages = Some(lost);
    recovery.messages = stored.count;
    if lost > 0 {
        for ids in &recovery.gaps {
            it.waiters.not_sent(ids.clone(), NotSent::Lost);
        }
    }
    it.wake_waiters();
    Ok(())
}
