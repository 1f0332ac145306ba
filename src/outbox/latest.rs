//! Step 1, for Messages of which only the newest is kept: which older ones go, in the transaction that stores it.

use std::collections::HashMap;

use super::admission::Replaced;
use super::new_message::NewMessage;
use super::shared::Shared;
use crate::message::priority::Priority;
use crate::message::terms;
use crate::store::Transaction;
use crate::store::rows::lane;
use crate::store::rows::latest::{self, LatestRow};
use crate::store::rows::outbox::{self, DroppedRows};
use crate::store::rows::totals::Totals;

/// The Messages of one call, of each key the last; and how much the others are.
pub(super) fn newest_of_each_key(messages: Vec<NewMessage>) -> (Vec<NewMessage>, Totals) {
    let mut newest = HashMap::new();
    for (place, message) in messages.iter().enumerate() {
        if let Some(key) = terms::latest(&message.properties) {
            newest.insert(key.to_owned(), place);
        }
    }
    let mut others = Totals::default();
    if newest.is_empty() {
        return (messages, others);
    }
    let mut kept = Vec::with_capacity(messages.len());
    for (place, message) in messages.into_iter().enumerate() {
        let key = terms::latest(&message.properties);
        if key.is_none_or(|key| newest.get(key) == Some(&place)) {
            kept.push(message);
        } else {
            others.count += 1;
            others.bytes += message.body.bytes();
        }
    }
    (kept, others)
}

/// The rows that newer Messages replace, each of its own. The link takes none of them before the transaction has ended,
/// unless they are [released](super::state::State::release).
pub(super) fn hold_older(
    transaction: &mut Transaction,
    newer: &[NewMessage],
    shared: &Shared,
    window: usize,
) -> rusqlite::Result<Vec<DroppedRows>> {
    let mut older = Vec::new();
    for key in newer.iter().filter_map(|it| terms::latest(&it.properties)) {
        let found = latest::find(transaction, key)?;
        let number = transaction.number();
        let messages = &mut shared.lock().messages;
        older.extend(messages.hold_replaceable(number, found, window));
    }
    let row = |LatestRow { id, bytes, .. }| DroppedRows {
        first: id,
        last: id,
        totals: Totals { count: 1, bytes },
    };
    Ok(older.into_iter().map(row).collect())
}

/// How much these are.
pub(super) fn totals(rows: &[DroppedRows]) -> Totals {
    let totals = rows.iter().map(|row| row.totals);
    totals.fold(Totals::default(), Totals::and)
}

/// Deletes the rows that are held. Those that were older in their own call get their numbers all the same: so the log
/// can name every Message.
pub(super) fn replace(
    transaction: &mut Transaction,
    rows: Vec<DroppedRows>,
    at_once: Totals,
    priority: Priority,
) -> rusqlite::Result<Replaced> {
    for row in &rows {
        outbox::delete(transaction, row.first)?;
    }
    let mut numbered: Option<DroppedRows> = None;
    for _ in 0..at_once.count {
        let id = lane::id(priority, transaction.next_id()?);
        let row = DroppedRows {
            first: id,
            last: id,
            totals: Totals::default(),
        };
        numbered = Some(numbered.map_or(row, |before| before.and(row)));
    }
    Ok(Replaced {
        rows,
        at_once: numbered.map(|it| DroppedRows {
            totals: at_once,
            ..it
        }),
    })
}
