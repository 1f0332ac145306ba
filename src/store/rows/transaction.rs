//! What a job works with.

use rusqlite::{Connection, Result};

use super::ids::RowIds;
use super::pages_written::PagesWritten;

/// The connection, inside a transaction. It is also what fills a new file.
pub(crate) struct Transaction {
    connection: Connection,
    ids: RowIds,
    written: PagesWritten,
    number: u64,
}

impl Transaction {
    pub(in crate::store) fn new(connection: Connection, ids: RowIds) -> Transaction {
        Transaction {
            connection,
            ids,
            written: PagesWritten::new(),
            number: 0,
        }
    }

    /// SQLite's connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Which transaction this is, of those of this run. When the next begins, the callers of this one's jobs have
    /// been told of its end.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// An id for a new row; of a Message, its number.
    pub fn next_id(&mut self) -> Result<i64> {
        self.ids.next(&self.connection)
    }

    /// Notes that a row of `bytes` was written: that decides when to checkpoint, and when to reserve more of the disk.
    pub fn wrote(&mut self, bytes: usize) {
        self.written.add_row(bytes);
    }

    /// Notes that nobody knows how much was written.
    pub fn wrote_uncounted(&mut self) {
        self.written.add_uncounted();
    }

    /// Another one begins.
    pub(in crate::store) fn begins(&mut self, number: u64) {
        self.number = number;
    }

    /// It was rolled back, and what it reserved of the ids with it.
    pub(in crate::store) fn rolled_back(&mut self) {
        self.ids.rolled_back();
    }

    pub(in crate::store) fn ids(&self) -> &RowIds {
        &self.ids
    }

    pub(in crate::store) fn written(&self) -> &PagesWritten {
        &self.written
    }

    pub(in crate::store) fn written_mut(&mut self) -> &mut PagesWritten {
        &mut self.written
    }

    pub(in crate::store) fn into_connection(self) -> Connection {
        self.connection
    }

    #[cfg(test)]
    pub(in crate::store) fn set_ids(&mut self, ids: RowIds) {
        self.ids = ids;
    }
}
