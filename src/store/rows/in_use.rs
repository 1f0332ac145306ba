//! The mark of a file that is in use: a row of `counter`.
//!
//! It is in the file itself, and not in the write-ahead log beside it: each checkpoint moves it into the file, and the
//! first commit behind that takes it away in the log. So a file that has it, and no log, has lost with that what was
//! stored last; and one that has it not misses nothing: it was closed in order, or another program has moved all of the
//! log into it. That costs two small commits without a sync at each checkpoint, and nothing for each Message.

use rusqlite::{Connection, Result};

/// Whether the file has the mark. It has not if it was closed in order, is new, or is not ours.
pub(in crate::store) fn is_set(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM counter WHERE name = 'in_use')",
        (),
        |row| row.get(0),
    )
}

/// Sets it.
pub(in crate::store) fn set(connection: &Connection) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO counter VALUES ('in_use', 1)";
    connection.execute(sql, ()).map(drop)
}

/// Takes it away: all is in the file, or in one that is made of it.
pub(in crate::store) fn clear(connection: &Connection) -> Result<()> {
    let sql = "DELETE FROM counter WHERE name = 'in_use'";
    connection.execute(sql, ()).map(drop)
}
