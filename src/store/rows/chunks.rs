//! The `chunk` table: content that was copied from files, in parts that a commit can hold. It is there only while there
//! is such content: then the file has a version of its own, so that a library that does not know the table refuses the
//! file instead of sending what stands in the content's place.
//!
//! The ids of a content's rows begin with its own number. The first row is its head, which says whose the content is;
//! the others are its chunks. Content that no Message has is deleted bit by bit, by [`sweep`].

use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};

use rusqlite::{Connection, Error, MAIN_DB, OptionalExtension, Result, ffi};

use super::schema;
use super::transaction::Transaction;

/// Of each chunk but the last: what one commit writes, and others wait for.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// So many bits of an id are the chunk's number: four times as many as the largest content has.
const NUMBER_BITS: u32 = 14;
const ROWS_MAX: u64 = 1 << NUMBER_BITS;
/// The highest number that a content can have.
const CONTENT_MAX: i64 = i64::MAX >> NUMBER_BITS;
/// So many chunks are deleted in one transaction.
const SWEPT_AT_ONCE: i64 = 4;
/// What the head says while no Message has the content yet.
const NOBODY: i64 = 0;

/// What `upload` is in the row of a Message whose content lies in chunks; 1 is for content that lies in the row itself.
pub(crate) const IN_CHUNKS: i64 = 2;

/// SQL: how many bytes the content of a row of `outbox` or `set_aside` has.
pub(super) const CONTENT_BYTES: &str =
    "CASE upload WHEN 2 THEN CAST(body AS INTEGER) ELSE length(body) END";

/// Content that lies in chunks, as its Message's row names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredContent {
    pub id: i64,
    pub bytes: u64,
}

impl StoredContent {
    /// What its Message has as `body`. The size stands first, for [`CONTENT_BYTES`].
    pub fn reference(self) -> String {
        format!("{} {}", self.bytes, self.id)
    }

    /// The content that this is the reference of.
    pub fn parse(reference: &[u8]) -> Option<StoredContent> {
        let text = std::str::from_utf8(reference).ok()?;
        let (bytes, id) = text.split_once(' ')?;
        let content = StoredContent {
            id: id.parse().ok()?,
            bytes: bytes.parse().ok()?,
        };
        let has_rows = (1..=CONTENT_MAX).contains(&content.id) && content.chunk_count() < ROWS_MAX;
        has_rows.then_some(content)
    }

    fn chunk_count(self) -> u64 {
        self.bytes.div_ceil(CHUNK_BYTES as u64)
    }
}

/// The rows of a content, its head first.
fn rows(content: i64) -> RangeInclusive<i64> {
    let head = content << NUMBER_BITS;
    head..=head | (ROWS_MAX as i64 - 1)
}

/// Whether the file has the table.
pub(crate) fn is_there(connection: &Connection) -> Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'chunk')")?
        .query_row((), |row| row.get(0))
}

/// Begins a content; returns its id.
pub(crate) fn begin(transaction: &mut Transaction) -> Result<i64> {
    if !is_there(transaction.connection())? {
        schema::add_chunks(transaction.connection())?;
        transaction.wrote(0);
        transaction.wrote(0);
    }
    let content = transaction.next_id()?;
    if content > CONTENT_MAX {
        return Err(corrupt("the ids of its contents are used up"));
    }
    insert(transaction, *rows(content).start(), NOBODY, 0)?;
    Ok(content)
}

/// Stores a chunk of it; they are numbered from 0.
pub(crate) fn append(
    transaction: &mut Transaction,
    content: i64,
    number: u32,
    chunk: &[u8],
) -> Result<()> {
    let row = rows(content).start() + 1 + i64::from(number);
    if !rows(content).contains(&row) {
        return Err(corrupt("the ids of a content's chunks are used up"));
    }
    insert(transaction, row, chunk, chunk.len())
}

fn insert(
    transaction: &mut Transaction,
    row: i64,
    body: impl rusqlite::ToSql,
    bytes: usize,
) -> Result<()> {
    transaction
        .connection()
        .prepare_cached("INSERT INTO chunk (id, body) VALUES (?1, ?2)")?
        .execute((row, body))?;
    transaction.wrote(bytes);
    Ok(())
}

/// The content is this Message's. Fails if it is not all there: that can be if the file was damaged meanwhile.
pub(crate) fn give_to(
    transaction: &mut Transaction,
    content: StoredContent,
    message: i64,
) -> Result<()> {
    if !is_whole(transaction.connection(), content)? {
        let text = "what was copied before is no longer there: the file was damaged meanwhile";
        return Err(failure(ffi::SQLITE_ABORT, text));
    }
    transaction
        .connection()
        .prepare_cached("UPDATE chunk SET body = ?2 WHERE id = ?1")?
        .execute((rows(content.id).start(), message))?;
    transaction.wrote(0);
    Ok(())
}

fn is_whole(connection: &Connection, content: StoredContent) -> Result<bool> {
    let rows = rows(content.id);
    let found: i64 = connection
        .prepare_cached("SELECT count(*) FROM chunk WHERE id BETWEEN ?1 AND ?2")?
        .query_row((rows.start(), rows.end()), |row| row.get(0))?;
    Ok(found.unsigned_abs() == content.chunk_count() + 1)
}

/// A part of a content, or what there is of that part; `None` if a chunk of it is not there.
pub(crate) fn read(
    transaction: &Transaction,
    content: StoredContent,
    part: Range<u64>,
) -> Result<Option<Vec<u8>>> {
    let connection = transaction.connection();
    let chunk_bytes = CHUNK_BYTES as u64;
    let end = part.end.min(content.bytes);
    let mut at = part.start.min(end);
    let mut bytes = Vec::new();
    while at < end {
        let (number, offset) = (at / chunk_bytes, (at % chunk_bytes) as usize);
        let wanted = (chunk_bytes - at % chunk_bytes).min(end - at) as usize;
        let row = rows(content.id).start() + 1 + number as i64;
        let found: Option<i64> = connection
            .prepare_cached("SELECT octet_length(body) FROM chunk WHERE id = ?1")?
            .query_row([row], |row| row.get(0))
            .optional()?;
        if found.is_none_or(|found| (found as usize) < offset + wanted) {
            return Ok(None);
        }
        let blob = connection.blob_open(MAIN_DB, "chunk", "body", row, true)?;
        let read = bytes.len();
        bytes.resize(read + wanted, 0);
        blob.read_at_exact(bytes.get_mut(read..).unwrap_or_default(), offset)?;
        at += wanted as u64;
    }
    Ok(Some(bytes))
}

/// The same from a file that may have no chunks at all, any more.
#[cfg(feature = "tool")]
pub(crate) fn read_if_there(
    transaction: &Transaction,
    content: StoredContent,
    part: Range<u64>,
) -> Result<Option<Vec<u8>>> {
    if is_there(transaction.connection())? {
        read(transaction, content, part)
    } else {
        Ok(None)
    }
}

/// What a [`sweep`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swept {
    /// All that is there is wanted.
    Nothing,
    /// It has deleted something, and there may be more.
    Some,
    /// Nothing is left, and the table is gone.
    All,
}

/// Deletes a little of the content that no Message has; not of those that are under way.
pub(crate) fn sweep(transaction: &mut Transaction, under_way: &HashSet<i64>) -> Result<Swept> {
    if !is_there(transaction.connection())? {
        return Ok(Swept::Nothing);
    }
    let mut first = first_behind(transaction, i64::MIN)?;
    if first.is_none() {
        schema::remove_chunks(transaction.connection())?;
        transaction.wrote(0);
        return Ok(Swept::All);
    }
    while let Some((row, message)) = first {
        let content = row >> NUMBER_BITS;
        if !under_way.contains(&content) && !is_wanted(transaction, message)? {
            delete_some(transaction, content)?;
            return Ok(Swept::Some);
        }
        first = first_behind(transaction, *rows(content).end())?;
    }
    Ok(Swept::Nothing)
}

/// The first row behind this one, and whose it is if it is a head.
fn first_behind(transaction: &Transaction, row: i64) -> Result<Option<(i64, i64)>> {
    transaction
        .connection()
        .prepare_cached(
            "SELECT id, CASE typeof(body) WHEN 'integer' THEN body ELSE 0 END
             FROM chunk WHERE id > ?1 ORDER BY id LIMIT 1",
        )?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn is_wanted(transaction: &Transaction, message: i64) -> Result<bool> {
    transaction
        .connection()
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox WHERE id = ?1 AND upload = 2)
                 OR EXISTS (SELECT 1 FROM set_aside WHERE id = ?1 AND upload = 2)",
        )?
        .query_row([message], |row| row.get(0))
}

/// Its last chunks; at the end its head.
fn delete_some(transaction: &mut Transaction, content: i64) -> Result<()> {
    let rows = rows(content);
    transaction
        .connection()
        .prepare_cached(
            "DELETE FROM chunk WHERE id IN
                 (SELECT id FROM chunk WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3)",
        )?
        .execute((rows.start(), rows.end(), SWEPT_AT_ONCE))?;
    // One page of the list of free pages for about 250 that become free.
    transaction.wrote(SWEPT_AT_ONCE as usize * CHUNK_BYTES / 64);
    Ok(())
}

/// Of a file that was damaged: whether a Message has its content in chunks.
pub(in crate::store) fn are_wanted(connection: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE upload = 2)
                   OR EXISTS (SELECT 1 FROM set_aside WHERE upload = 2)";
    connection.query_row(sql, (), |row| row.get(0))
}

/// Of such a file: deletes the Messages whose content is not all there; returns their tables and ids.
pub(in crate::store) fn delete_broken(connection: &Connection) -> Result<Vec<(&'static str, i64)>> {
    let mut deleted = Vec::new();
    for table in ["outbox", "set_aside"] {
        for id in broken(connection, table)? {
            connection.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id])?;
            deleted.push((table, id));
        }
    }
    Ok(deleted)
}

fn broken(connection: &Connection, table: &'static str) -> Result<Vec<i64>> {
    let sql = format!("SELECT id, body FROM {table} WHERE upload = {IN_CHUNKS}");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(())?;
    let has_chunks = is_there(connection)?;
    let mut broken = Vec::new();
    while let Some(row) = rows.next()? {
        let content = StoredContent::parse(row.get_ref(1)?.as_bytes()?);
        let is_whole = match content {
            Some(content) => has_chunks && is_whole(connection, content)?,
            None => false,
        };
        if !is_whole {
            broken.push(row.get(0)?);
        }
    }
    Ok(broken)
}

/// The file is not as we write it.
pub(super) fn corrupt(text: &str) -> Error {
    failure(ffi::SQLITE_CORRUPT, text)
}

fn failure(code: i32, text: &str) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::ids::RowIds;

    #[test]
    fn a_reference_names_the_content_it_was_made_of_and_other_text_none() {
        for content in [
            StoredContent { id: 1, bytes: 0 },
            StoredContent {
                id: 1 << 40,
                bytes: 1 << 30,
            },
        ] {
            let reference = content.reference();
            assert_eq!(StoredContent::parse(reference.as_bytes()), Some(content));
        }
        for other in [
            "", "1", "1 ", " 1", "a 1", "1 1 1", "-1 1", "1 0", "1 9e9", "\u{e4}",
        ] {
            assert_eq!(StoredContent::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn content_of_which_a_chunk_is_missing_is_no_messages() {
        let connection = Connection::open_in_memory().unwrap();
        schema::create(&connection).unwrap();
        let mut transaction = Transaction::new(connection, RowIds::default());
        let id = begin(&mut transaction).unwrap();
        append(&mut transaction, id, 0, &[1; CHUNK_BYTES]).unwrap();
        let mut give = |chunks: usize| {
            let bytes = (chunks * CHUNK_BYTES) as u64;
            give_to(&mut transaction, StoredContent { id, bytes }, 1)
        };
        assert!(give(2).is_err());
        give(1).unwrap();
    }

    #[test]
    fn contents_have_rows_of_their_own_and_enough_of_them() {
        assert!(rows(7).end() < rows(8).start());
        let chunks = (1 << 30) / CHUNK_BYTES;
        assert!(rows(7).count() > 2 * chunks);
    }
}
