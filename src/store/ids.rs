//! Ids that never repeat, also after the table was empty.

use rusqlite::{Connection, Result};

/// Ids are reserved in blocks, so that the reservation costs a write only once a block. A restart
/// skips what is left of its block; 63 bits last.
const BLOCK: i64 = 10_000;

/// Gives out ids for Messages and cloud-to-device messages, in growing order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageIds {
    next: i64,
    reserved: i64,
}

impl MessageIds {
    /// Continues behind every id ever given out.
    pub fn load(connection: &Connection) -> Result<MessageIds> {
        let next = connection.query_row(
            "SELECT max(
                 coalesce((SELECT value FROM counter WHERE name = 'reserved_ids'), 1),
                 coalesce((SELECT max(id) + 1 FROM outbox), 1),
                 coalesce((SELECT max(id) + 1 FROM set_aside), 1),
                 coalesce((SELECT max(id) + 1 FROM inbox), 1))",
            (),
            |row| row.get(0),
        )?;
        Ok(MessageIds {
            next,
            reserved: next,
        })
    }

    /// The next id; inside a transaction.
    pub fn next(&mut self, connection: &Connection) -> Result<i64> {
        if self.next >= self.reserved {
            let reserved = self.next.saturating_add(BLOCK);
            connection
                .prepare_cached("INSERT OR REPLACE INTO counter VALUES ('reserved_ids', ?1)")?
                .execute([reserved])?;
            self.reserved = reserved;
        }
        let id = self.next;
        self.next += 1;
        Ok(id)
    }

    /// The transaction was rolled back, and a reservation with it.
    pub fn rolled_back(&mut self) {
        self.reserved = self.next;
    }
}
