//! The Messages of the outbox of which only the newest is kept, by their [key](crate::message::terms). They have an
//! index, which is made when the first of them is stored: a program without any does not pay for it.

use rusqlite::Result;

use super::blocks_up;
use super::chunks::CONTENT_BYTES;
use super::transaction::Transaction;

/// The key is the end of the column.
const INDEX: &str = "CREATE INDEX outbox_latest
    ON outbox (substr(properties, instr(properties, char(10) || 'latest=') + 8))
    WHERE instr(properties, char(10) || 'latest=') > 0";
/// In the index's words.
const FIND: &str = "FROM outbox
    WHERE instr(properties, char(10) || 'latest=') > 0
        AND substr(properties, instr(properties, char(10) || 'latest=') + 8) = ?1
    ORDER BY id";

/// A Message with the key that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LatestRow {
    pub id: i64,
    /// Of its content.
    pub bytes: u64,
    /// Some of its content is in the hub's storage.
    pub is_partly_up: bool,
}

/// The Messages with this key, oldest first.
pub(crate) fn find(transaction: &mut Transaction, key: &str) -> Result<Vec<LatestRow>> {
    make_index(transaction)?;
    let sql = format!("SELECT id, upload, {CONTENT_BYTES} {FIND}");
    let mut statement = transaction.connection().prepare_cached(&sql)?;
    let found = statement.query_map([key], |row| {
        let bytes = row.get::<_, i64>(2)?.unsigned_abs();
        Ok((row.get(0)?, row.get(1)?, bytes))
    })?;
    let mut rows = Vec::new();
    for row in found {
        let (id, upload, bytes) = row?;
        let is_partly_up = upload && blocks_up::load(transaction, id)?.is_some();
        rows.push(LatestRow {
            id,
            bytes,
            is_partly_up,
        });
    }
    Ok(rows)
}

/// Unless there is one. A file that was rebuilt has none.
fn make_index(transaction: &mut Transaction) -> Result<()> {
    let is_there: bool = transaction
        .connection()
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'outbox_latest')")?
        .query_row((), |row| row.get(0))?;
    if !is_there {
        transaction.connection().execute_batch(INDEX)?;
        transaction.wrote_uncounted();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::terms;

    #[test]
    fn the_index_has_the_term_as_it_is_stored_and_is_used() {
        for sql in [INDEX, FIND] {
            let term = format!(
                "char(10) || '{}') + {}",
                terms::LATEST,
                terms::LATEST.len() + 1
            );
            assert!(sql.contains(&term), "{sql}");
        }
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let table = "CREATE TABLE outbox (id INTEGER PRIMARY KEY, properties TEXT, upload INTEGER, body BLOB)";
        connection.execute_batch(table).unwrap();
        connection.execute_batch(INDEX).unwrap();
        let plan = format!("EXPLAIN QUERY PLAN SELECT id {FIND}");
        let plan: String = connection
            .query_row(&plan, ["key"], |row| row.get(3))
            .unwrap();
        assert!(plan.contains("USING INDEX outbox_latest"), "{plan}");
    }
}
