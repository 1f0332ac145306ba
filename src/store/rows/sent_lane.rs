//! Which lane was sent from last: behind a restart the first Message is of this one, so that what was in flight is
//! repeated before anything else.

use rusqlite::{OptionalExtension, Result};

use super::lane::{code, of_code};
use super::transaction::Transaction;
use crate::message::priority::Priority;

/// The lane that was sent from last.
pub(crate) fn load(transaction: &Transaction) -> Result<Priority> {
    let code: Option<i64> = transaction
        .connection()
        .prepare("SELECT value FROM counter WHERE name = 'lane'")?
        .query_row((), |row| row.get(0))
        .optional()?;
    Ok(of_code(code.unwrap_or(0)))
}

/// From now on it is sent from this lane.
pub(crate) fn save(transaction: &mut Transaction, priority: Priority) -> Result<()> {
    transaction
        .connection()
        .prepare_cached("INSERT OR REPLACE INTO counter VALUES ('lane', ?1)")?
        .execute([code(priority)])?;
    transaction.wrote(0);
    Ok(())
}
