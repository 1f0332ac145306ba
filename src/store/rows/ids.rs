//! Ids that never repeat, also after the table was empty. Those of Messages get their [lane] in addition.

use rusqlite::{Connection, Error, Result, ffi};

use super::lane::{self, NUMBER_MAX};

/// Ids are reserved in blocks, so that the reservation costs a write only once a block. A restart
/// skips what is left of its block.
const BLOCK: i64 = 10_000;

/// Gives out ids for Messages, as numbers in their lanes, and cloud-to-device messages, in growing order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowIds {
    next: i64,
    reserved: i64,
}

impl RowIds {
    /// Continues behind every id ever given out.
    pub fn load(connection: &Connection) -> Result<RowIds> {
        let (reserved, inbox) = connection.query_row(
            "SELECT coalesce((SELECT value FROM counter WHERE name = 'reserved_ids'), 1),
                 coalesce((SELECT max(id) FROM inbox), 0)",
            (),
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        // A version without lanes goes on behind the highest id, and takes its lane for a part of the number.
        let newest = lane::number(inbox)
            .max(lane::newest_number(connection, "outbox")?)
            .max(lane::newest_number(connection, "set_aside")?);
        let next = following(newest)?.max(lane::number(reserved));
        Ok(RowIds {
            next,
            reserved: next,
        })
    }

    /// Continues at `next` at the earliest.
    pub fn at_least(self, next: i64) -> RowIds {
        self.skip(next.saturating_sub(self.next).max(0))
    }

    /// Leaves out so many.
    pub fn skip(self, ids: i64) -> RowIds {
        let next = self.next.saturating_add(ids);
        RowIds {
            next,
            reserved: next,
        }
    }

    /// No id below it will be given out any more.
    pub fn peek(&self) -> i64 {
        self.next
    }

    /// Stores what [`load`](Self::load) continues from.
    pub fn save(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached("INSERT OR REPLACE INTO counter VALUES ('reserved_ids', ?1)")?
            .execute([self.reserved])
            .map(drop)
    }

    /// The next id; inside a transaction.
    pub fn next(&mut self, connection: &Connection) -> Result<i64> {
        if self.next >= self.reserved {
            let reserved = self.next.saturating_add(BLOCK);
            let block = RowIds { reserved, ..*self };
            block.save(connection)?;
            *self = block;
        }
        let id = self.next;
        self.next = following(id)?;
        Ok(id)
    }

    /// The transaction was rolled back, and a reservation with it.
    pub fn rolled_back(&mut self) {
        self.reserved = self.next;
    }
}

/// 56 bits last, unless something else has written to the file.
fn following(id: i64) -> Result<i64> {
    if id < NUMBER_MAX {
        return Ok(id + 1);
    }
    let code = ffi::Error::new(ffi::SQLITE_CORRUPT);
    Err(Error::SqliteFailure(
        code,
        Some("the ids of its rows are used up".to_owned()),
    ))
}
