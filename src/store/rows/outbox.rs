//! The `outbox` table: Messages from their commit to their acknowledgement.

use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};

use bytes::Bytes;
use rusqlite::{MAIN_DB, OptionalExtension, Result, Row};

use super::chunks::{self, CONTENT_BYTES, IN_CHUNKS, StoredContent};
use super::lane;
use super::totals::{self, Totals};
use super::transaction::Transaction;
use crate::message::outgoing::{Body, Outgoing};
use crate::message::priority::Priority;
use crate::message::terms;

/// The oldest rows of a lane but those in flight, without a gap: what is dropped to make space for newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DroppedRows {
    pub first: i64,
    pub last: i64,
    pub totals: Totals,
}

impl DroppedRows {
    /// These, and others of their lane.
    pub fn and(self, next: DroppedRows) -> DroppedRows {
        DroppedRows {
            first: self.first.min(next.first),
            last: self.last.max(next.last),
            totals: self.totals.and(next.totals),
        }
    }
}

/// Deletes the oldest Messages of these ranges, of one lane each, in their order, until they are as much as `enough`;
/// none, if all of them are not. Those `but` these count for nothing.
pub(crate) fn drop_oldest(
    transaction: &mut Transaction,
    ranges: &[RangeInclusive<i64>],
    but: &[i64],
    enough: Totals,
) -> Result<Option<Vec<DroppedRows>>> {
    let mut all = Vec::new();
    let mut missing = enough;
    for range in ranges {
        let Some(dropped) = oldest(transaction, range, but, missing)? else {
            continue;
        };
        all.push(dropped);
        missing = missing.without(dropped.totals);
        if missing == Totals::default() {
            break;
        }
    }
    if missing != Totals::default() {
        return Ok(None);
    }
    for dropped in &all {
        transaction
            .connection()
            .prepare_cached("DELETE FROM outbox WHERE id BETWEEN ?1 AND ?2")?
            .execute((dropped.first, dropped.last))?;
        // One page of the list of free pages for about 250 that become free.
        transaction.wrote(usize::try_from(dropped.totals.bytes / 64).unwrap_or(usize::MAX));
    }
    Ok(Some(all))
}

/// As many of the oldest as it takes, or all if that is not enough.
fn oldest(
    transaction: &Transaction,
    ids: &RangeInclusive<i64>,
    but: &[i64],
    enough: Totals,
) -> Result<Option<DroppedRows>> {
    let mut statement = transaction.connection().prepare_cached(&format!(
        "SELECT id, {CONTENT_BYTES} FROM outbox WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
    ))?;
    let mut rows = statement.query((ids.start(), ids.end()))?;
    let mut found: Option<DroppedRows> = None;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if but.contains(&id) {
            continue;
        }
        let row = DroppedRows {
            first: id,
            last: id,
            totals: Totals {
                count: 1,
                bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            },
        };
        let dropped = found.map_or(row, |found| found.and(row));
        found = Some(dropped);
        if dropped.totals.count >= enough.count && dropped.totals.bytes >= enough.bytes {
            break;
        }
    }
    Ok(found)
}

/// Stores a Message; returns its id.
pub(crate) fn insert(
    transaction: &mut Transaction,
    priority: Priority,
    stored_at_ms: i64,
    properties: &str,
    upload: bool,
    body: &[u8],
) -> Result<i64> {
    let upload = i64::from(upload);
    insert_row(
        transaction,
        priority,
        stored_at_ms,
        properties,
        (upload, body),
    )
}

/// Stores a Message whose content is in chunks; returns its id.
pub(crate) fn insert_with_content(
    transaction: &mut Transaction,
    priority: Priority,
    stored_at_ms: i64,
    properties: &str,
    content: StoredContent,
) -> Result<i64> {
    let reference = content.reference();
    let body = (IN_CHUNKS, reference.as_bytes());
    let id = insert_row(transaction, priority, stored_at_ms, properties, body)?;
    chunks::give_to(transaction, content, id)?;
    Ok(id)
}

fn insert_row(
    transaction: &mut Transaction,
    priority: Priority,
    stored_at_ms: i64,
    properties: &str,
    (upload, body): (i64, &[u8]),
) -> Result<i64> {
    let id = lane::id(priority, transaction.next_id()?);
    transaction
        .connection()
        .prepare_cached("INSERT INTO outbox (id, stored_at_ms, properties, upload, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((id, stored_at_ms, properties, upload, body))?;
    wrote(transaction, properties, body.len());
    Ok(id)
}

/// Stores a Message again, under the id that it had.
pub(crate) fn put_back(
    transaction: &mut Transaction,
    message: &Outgoing,
    body: &[u8],
) -> Result<()> {
    transaction
        .connection()
        .prepare_cached("INSERT OR IGNORE INTO outbox (id, stored_at_ms, properties, upload, body) VALUES (?1, ?2, ?3, 0, ?4)")?
        .execute((message.id, message.stored_at_ms, &message.properties, body))?;
    wrote(transaction, &message.properties, body.len());
    Ok(())
}

/// Notes that a Message was written, and its entry in the [index](super::latest), if it may have one.
pub(super) fn wrote(transaction: &mut Transaction, properties: &str, body_bytes: usize) {
    transaction.wrote(properties.len() + body_bytes);
    if terms::latest(properties).is_some() {
        transaction.wrote(properties.len());
    }
}

/// The ids of these rows.
pub(crate) fn ids(transaction: &Transaction, ids: RangeInclusive<i64>) -> Result<HashSet<i64>> {
    transaction
        .connection()
        .prepare_cached("SELECT id FROM outbox WHERE id BETWEEN ?1 AND ?2")?
        .query_map((ids.start(), ids.end()), |row| row.get(0))?
        .collect()
}

/// Deletes Messages; with fewer statements if their ids are in order.
pub(crate) fn delete_all(transaction: &mut Transaction, ids: &[i64]) -> Result<()> {
    for run in ids.chunk_by(|id, next| id.checked_add(1) == Some(*next)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        transaction
            .connection()
            .prepare_cached("DELETE FROM outbox WHERE id BETWEEN ?1 AND ?2")?
            .execute((first, last))?;
        transaction.wrote(0);
    }
    Ok(())
}

/// Under which generation entries of the sent log count.
pub(crate) fn sent_generation(transaction: &Transaction) -> Result<Option<i64>> {
    transaction
        .connection()
        .prepare("SELECT value FROM counter WHERE name = 'sent_generation'")?
        .query_row((), |row| row.get(0))
        .optional()
}

/// Entries of the sent log count under this generation.
pub(crate) fn set_sent_generation(transaction: &mut Transaction, generation: i64) -> Result<()> {
    transaction
        .connection()
        .prepare_cached("INSERT OR REPLACE INTO counter VALUES ('sent_generation', ?1)")?
        .execute([generation])?;
    transaction.wrote(0);
    Ok(())
}

/// Deletes a Message.
pub(crate) fn delete(transaction: &mut Transaction, id: i64) -> Result<()> {
    transaction
        .connection()
        .prepare_cached("DELETE FROM outbox WHERE id = ?1")?
        .execute([id])?;
    transaction.wrote(0);
    Ok(())
}

/// Where content lies that is to be uploaded.
enum Content {
    /// So many bytes, in the row itself.
    InRow(u64),
    InChunks(StoredContent),
}

impl Content {
    /// `None` if the Message is gone, or is a link already.
    fn of(transaction: &Transaction, id: i64) -> Result<Option<Content>> {
        let sql = transaction.connection();
        // Not the body, which can be large.
        let mut statement = sql.prepare_cached(
            "SELECT CASE WHEN typeof(body) IN ('blob', 'text') THEN octet_length(body) END,
                 CASE upload WHEN 2 THEN body END
             FROM outbox WHERE id = ?1 AND upload",
        )?;
        let content = statement.query_row([id], |row| {
            let reference = row.get_ref(1)?.as_bytes_or_null()?;
            let content = match reference {
                None => Some(Content::InRow(row.get::<_, i64>(0)?.unsigned_abs())),
                Some(reference) => StoredContent::parse(reference).map(Content::InChunks),
            };
            content.ok_or_else(|| chunks::corrupt("a reference to content is none"))
        });
        content.optional()
    }

    fn bytes(&self) -> u64 {
        match self {
            Content::InRow(bytes) => *bytes,
            Content::InChunks(content) => content.bytes,
        }
    }
}

/// How large the content is that is to be uploaded, or `None` if the Message is gone, or is a link already.
pub(crate) fn content_bytes(transaction: &Transaction, id: i64) -> Result<Option<u64>> {
    let content = Content::of(transaction, id)?;
    Ok(content.map(|content| content.bytes()))
}

/// A part of the content that is to be uploaded, of which no more is held in memory; less at its end, and `None` if
/// the Message is gone.
pub(crate) fn content(
    transaction: &Transaction,
    id: i64,
    part: Range<u64>,
) -> Result<Option<Vec<u8>>> {
    match Content::of(transaction, id)? {
        None => Ok(None),
        Some(Content::InRow(bytes)) => in_row(transaction, id, bytes, part).map(Some),
        Some(Content::InChunks(content)) => {
            let part = chunks::read(transaction, content, part)?;
            let part = part.ok_or_else(|| chunks::corrupt("a chunk of content is missing"))?;
            Ok(Some(part))
        }
    }
}

fn in_row(transaction: &Transaction, id: i64, bytes: u64, part: Range<u64>) -> Result<Vec<u8>> {
    let index = |at: u64| usize::try_from(at.min(bytes)).unwrap_or(usize::MAX);
    let (start, end) = (index(part.start), index(part.end));
    let blob = transaction
        .connection()
        .blob_open(MAIN_DB, "outbox", "body", id, true)?;
    let mut content = vec![0; end.saturating_sub(start)];
    blob.read_at_exact(&mut content, start)?;
    Ok(content)
}

/// Puts the link in the place of content that was uploaded.
pub(crate) fn replace_content(transaction: &mut Transaction, id: i64, link: &[u8]) -> Result<()> {
    transaction
        .connection()
        .prepare_cached("UPDATE outbox SET body = ?2, upload = 0 WHERE id = ?1")?
        .execute((id, link))?;
    transaction.wrote(link.len());
    Ok(())
}

/// What a Message is if it has no content to be uploaded (any more).
pub(crate) fn link(transaction: &Transaction, id: i64) -> Result<Option<Bytes>> {
    transaction
        .connection()
        .prepare_cached("SELECT body FROM outbox WHERE id = ?1 AND NOT upload")?
        .query_row([id], |row| {
            Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_bytes()?))
        })
        .optional()
}

/// The Messages of these ids, which are of one lane, oldest first, until they hold `budget_bytes` of memory or are
/// `most`; and whether there are more. At least one is returned if there is one.
pub(crate) fn load(
    transaction: &Transaction,
    ids: &RangeInclusive<i64>,
    most: usize,
    budget_bytes: usize,
) -> Result<(Vec<Outgoing>, bool)> {
    let mut statement = transaction.connection().prepare_cached(
        "SELECT id, stored_at_ms, properties, upload,
             CASE upload WHEN 0 THEN body WHEN 2 THEN CAST(body AS INTEGER) ELSE octet_length(body) END
         FROM outbox WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    )?;
    let mut rows = statement.query((ids.start(), ids.end()))?;
    let mut loaded = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if loaded.len() >= most || (bytes >= budget_bytes && !loaded.is_empty()) {
            return Ok((loaded, true));
        }
        let message = read(row)?;
        bytes += message.memory_bytes();
        loaded.push(message);
    }
    Ok((loaded, false))
}

/// Content that is to be uploaded stays in the database: only its size is read.
fn read(row: &Row<'_>) -> Result<Outgoing> {
    let body = if row.get(3)? {
        Body::Upload(usize::try_from(row.get::<_, i64>(4)?).unwrap_or(usize::MAX))
    } else {
        Body::Inline(Bytes::copy_from_slice(row.get_ref(4)?.as_bytes()?))
    };
    Ok(Outgoing {
        id: row.get(0)?,
        stored_at_ms: row.get(1)?,
        properties: row.get(2)?,
        body,
    })
}

/// Counts what is stored.
pub(crate) fn totals(transaction: &Transaction) -> Result<Totals> {
    totals::of_messages(transaction, "outbox")
}
