//! Messages as they lie in their table, a page of them at a time, for tools.

use rusqlite::{OptionalExtension, Result};

use super::chunks::{CONTENT_BYTES, IN_CHUNKS, StoredContent};
use super::lane;
use super::transaction::Transaction;
use crate::identity::HubDeviceId;
use crate::message::priority::Priority;

/// Where Messages lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shelf {
    Outbox,
    SetAside,
}

impl Shelf {
    fn table(self) -> &'static str {
        match self {
            Shelf::Outbox => "outbox",
            Shelf::SetAside => "set_aside",
        }
    }
}

/// A Message that is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredMessage {
    pub id: i64,
    pub stored_at_ms: i64,
    /// The property bag of its topic, as it goes on the wire.
    pub properties: String,
    /// Its content goes up as a file.
    pub upload: bool,
    pub body_bytes: u64,
    /// If it was asked for, and is not in chunks.
    pub body: Option<Vec<u8>>,
    /// Content that lies in chunks.
    pub content: Option<StoredContent>,
    /// Why it will not be sent.
    pub set_aside: Option<WhySetAside>,
}

/// The property bag of the topic: what may follow it, behind a line end, only the device needs to know.
pub(crate) fn bag(properties: &str) -> &str {
    properties
        .split_once('\n')
        .map_or(properties, |(bag, _)| bag)
}

/// A Message that comes from another file.
#[derive(Debug, Clone)]
pub(crate) struct StoredElsewhere {
    pub priority: Priority,
    pub stored_at_ms: i64,
    pub properties: String,
    pub upload: bool,
    pub body: Vec<u8>,
}

/// Why a Message was set aside, when, and as whose.
#[derive(Debug, Clone)]
pub(crate) struct WhySetAside {
    pub at_ms: i64,
    pub reason: String,
    pub identity: HubDeviceId,
}

/// Which Messages are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub shelf: Shelf,
    /// Those behind this id.
    pub after: i64,
    pub rows_max: usize,
    /// A page has one Message at least.
    pub body_bytes_max: u64,
    pub with_bodies: bool,
}

/// The Messages of the range, oldest first. None: there are no more.
pub(crate) fn page(transaction: &Transaction, range: Range) -> Result<Vec<StoredMessage>> {
    let table = range.shelf.table();
    let why = match range.shelf {
        Shelf::Outbox => "NULL, NULL, NULL, NULL",
        Shelf::SetAside => "set_aside_at_ms, reason, workspace_id, device_id",
    };
    let body = if range.with_bodies {
        "CASE WHEN upload <> 2 THEN body END"
    } else {
        "NULL"
    };
    let mut statement = transaction.connection().prepare(&format!(
        "SELECT id, stored_at_ms, properties, upload, {CONTENT_BYTES}, {body}, {why},
             CASE upload WHEN {IN_CHUNKS} THEN body END
         FROM {table} WHERE id > ?1 ORDER BY id"
    ))?;
    let mut rows = statement.query([range.after])?;
    let mut page = Vec::new();
    let mut body_bytes = 0;
    while page.len() < range.rows_max && (body_bytes < range.body_bytes_max || page.is_empty()) {
        let Some(row) = rows.next()? else { break };
        let message = StoredMessage {
            id: row.get(0)?,
            stored_at_ms: row.get(1)?,
            properties: row.get(2)?,
            upload: row.get(3)?,
            body_bytes: row.get::<_, i64>(4)?.unsigned_abs(),
            body: row.get(5)?,
            set_aside: match row.get::<_, Option<i64>>(6)? {
                None => None,
                Some(at_ms) => Some(WhySetAside {
                    at_ms,
                    reason: row.get(7)?,
                    identity: HubDeviceId {
                        workspace_id: row.get(8)?,
                        device_id: row.get(9)?,
                    },
                }),
            },
            content: row
                .get_ref(10)?
                .as_bytes_or_null()?
                .and_then(StoredContent::parse),
        };
        if range.with_bodies && message.content.is_none() {
            body_bytes += message.body_bytes;
        }
        page.push(message);
    }
    Ok(page)
}

/// The ids of all Messages that lie there, oldest first.
pub(crate) fn ids(transaction: &Transaction, shelf: Shelf) -> Result<Vec<i64>> {
    let table = shelf.table();
    let mut statement = transaction
        .connection()
        .prepare(&format!("SELECT id FROM {table} ORDER BY id"))?;
    statement.query_map((), |row| row.get(0))?.collect()
}

/// How many Messages lie there.
pub(crate) fn count(transaction: &Transaction, shelf: Shelf) -> Result<u64> {
    let table = shelf.table();
    let sql = format!("SELECT count(*) FROM {table}");
    let count = transaction
        .connection()
        .query_row(&sql, (), |row| row.get::<_, i64>(0));
    count.map(i64::unsigned_abs)
}

/// How many lines of its input an import has stored that came to no end; nothing if none was interrupted.
pub(crate) fn interrupted_import(transaction: &Transaction) -> Result<Option<u64>> {
    let lines = transaction
        .connection()
        .prepare("SELECT value FROM counter WHERE name = 'imported_lines'")?
        .query_row((), |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(lines.map(i64::unsigned_abs))
}

/// So many lines are stored, and more are to come.
pub(crate) fn note_import(transaction: &mut Transaction, lines: u64) -> Result<()> {
    let lines = i64::try_from(lines).unwrap_or(i64::MAX);
    transaction
        .connection()
        .prepare_cached("INSERT OR REPLACE INTO counter VALUES ('imported_lines', ?1)")?
        .execute([lines])?;
    transaction.wrote(0);
    Ok(())
}

/// No import is under way any more.
pub(crate) fn end_import(transaction: &mut Transaction) -> Result<()> {
    let sql = transaction.connection();
    sql.execute("DELETE FROM counter WHERE name = 'imported_lines'", ())?;
    transaction.wrote(0);
    Ok(())
}

/// Stores a Message that was stored elsewhere before, behind all others of its lane.
pub(crate) fn store(transaction: &mut Transaction, message: &StoredElsewhere) -> Result<()> {
    let id = lane::id(message.priority, transaction.next_id()?);
    let StoredElsewhere {
        priority: _,
        stored_at_ms,
        properties,
        upload,
        body,
    } = message;
    transaction
        .connection()
        .prepare_cached("INSERT INTO outbox (id, stored_at_ms, properties, upload, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((id, stored_at_ms, properties, upload, body))?;
    transaction.wrote(properties.len() + body.len());
    Ok(())
}

/// How many cloud-to-device messages wait for the program.
pub(crate) fn inbox_count(transaction: &Transaction) -> Result<u64> {
    let sql = transaction.connection();
    let count = sql.query_row("SELECT count(*) FROM inbox", (), |row| row.get::<_, i64>(0));
    count.map(i64::unsigned_abs)
}

/// What SQLite finds wrong with the file: nothing, if it is whole.
pub(crate) fn quick_check(transaction: &Transaction) -> Result<Option<String>> {
    let found: String = transaction
        .connection()
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}
