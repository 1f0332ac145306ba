//! The sent log: which Messages the Platform has, until their rows are deleted. A few bytes each, in a small file
//! beside the database. To note one takes one write: no transaction, no sync, nobody's turn. So the link does it
//! itself. Rows are deleted many at a time, as that writes hardly more than to delete one.
//!
//! The database names the generation under which entries of the file count. Each delete gives it a new one in the
//! same transaction, a random one, and so makes the file empty.
//!
//! Without the file, or if it fails, rows are deleted at once. When the link goes on with another lane, the file is synced
//! first.

mod log;
mod rows;
#[cfg(test)]
mod tests;

pub(super) use log::SentLog;
#[cfg(feature = "tool")]
pub(crate) use log::noted;
#[cfg(test)]
pub(super) use rows::ROWS_KEPT;
pub(super) use rows::SentRows;

use crate::error::Result;
use crate::store::rows::outbox;
use crate::store::{Durability, Store, Transaction};

/// Deletes the rows that an earlier run has noted, and opens the file for this one.
pub(super) fn open(store: &Store) -> Result<SentLog> {
    let mut log = SentLog::open(store.path());
    let generation = store.read(|transaction| outbox::sent_generation(transaction))?;
    let found = generation.map(|generation| log.read(generation));
    let generation = match (generation, found) {
        (Some(generation), Some(found)) if found.is_clean => generation,
        (_, found) => {
            let sent = found.map_or(Vec::new(), |found| found.sent);
            store.execute(
                Durability::PowerSafe,
                move |transaction| delete(transaction, &sent),
                |_| {},
            )?
        }
    };
    log.begin(generation);
    Ok(log)
}

/// Deletes the rows that the last run has noted, for whoever changes the file without an outbox.
#[cfg(feature = "tool")]
pub(crate) fn settle(store: &Store) -> Result<()> {
    open(store).map(|mut log| log.close())
}

/// Inside a transaction: deletes these rows, which must be all that are noted, and with it what the file says.
/// Returns the generation to [begin](SentLog::begin) with once that is committed.
pub(super) fn delete(transaction: &mut Transaction, rows: &[i64]) -> rusqlite::Result<i64> {
    outbox::delete_all(transaction, rows)?;
    let generation = fastrand::i64(1..);
    outbox::set_sent_generation(transaction, generation)?;
    Ok(generation)
}
