//! When the WAL is moved into the database, and when the file shrinks.

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB, Result};

use crate::store::rows::Transaction;

/// WAL pages after which a checkpoint moves them into the database. So many pages at most are not
/// synced, beside those of the last commit: until the checkpoint comes, each commit is synced.
const CHECKPOINT_PAGES: usize = 1000;
/// Free pages above which an almost empty file is rewritten to its small size.
const SHRINK_FREE_PAGES: i64 = 2000;

/// Whether the WAL has grown enough.
pub(super) fn is_due(transaction: &Transaction) -> bool {
    transaction.written().wal() >= CHECKPOINT_PAGES
}

/// Moves the WAL into the database; returns whether all of it was moved.
pub(super) fn move_wal(connection: &Connection) -> Result<bool> {
    let (frames, moved) = connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE)?;
    Ok(frames == moved)
}

/// Whether the file is almost all free pages, as after a large backlog has drained.
pub(super) fn is_shrinkable(connection: &Connection) -> Result<bool> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (pages, free) = (pragma("page_count")?, pragma("freelist_count")?);
    let used = pages - free;
    Ok(free > SHRINK_FREE_PAGES && used * 4 < free && used < SHRINK_FREE_PAGES)
}

/// Rewrites the file, if it is.
pub(super) fn shrink(connection: &Connection) -> Result<()> {
    if is_shrinkable(connection)? {
        connection.execute_batch("VACUUM")?;
    }
    Ok(())
}
