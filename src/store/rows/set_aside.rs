//! The `set_aside` table: Messages that will not be sent as things stand, and why.

use rusqlite::{OptionalExtension, Result};

use super::chunks::{CONTENT_BYTES, IN_CHUNKS, StoredContent, corrupt};
use super::lane;
use super::outbox;
use super::totals::Totals;
use super::transaction::Transaction;
use crate::identity::HubDeviceId;
use crate::message::priority::Priority;
use crate::message::rules::check_rendered;
use crate::message::terms;

/// A row of the table, without its payload.
#[derive(Debug, Clone)]
pub(crate) struct SetAsideRow {
    pub id: i64,
    pub reason: String,
    pub workspace_id: String,
    pub device_id: String,
    pub properties: String,
    pub body_bytes: u64,
}

/// Why Messages are set aside, as whose, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cause<'a> {
    pub reason: &'a str,
    pub identity: &'a HubDeviceId,
    pub now_ms: i64,
}

/// Moves every Message of the outbox aside: they were stored under another identity. Those that are sent must be
/// deleted before.
pub(crate) fn move_all(transaction: &mut Transaction, cause: Cause<'_>) -> Result<usize> {
    let (workspace_id, device_id) = (&cause.identity.workspace_id, &cause.identity.device_id);
    let moved = transaction
        .connection()
        .execute(COPY, (cause.now_ms, cause.reason, workspace_id, device_id))?;
    transaction.connection().execute("DELETE FROM outbox", ())?;
    transaction.wrote_uncounted();
    Ok(moved)
}

/// Moves one Message of the outbox aside; returns whether it was there.
pub(crate) fn move_one(transaction: &mut Transaction, id: i64, cause: Cause<'_>) -> Result<bool> {
    let (workspace_id, device_id) = (&cause.identity.workspace_id, &cause.identity.device_id);
    let moved = transaction.connection().execute(
        &format!("{COPY} WHERE id = ?5"),
        (cause.now_ms, cause.reason, workspace_id, device_id, id),
    )?;
    transaction.wrote_uncounted();
    outbox::delete(transaction, id)?;
    Ok(moved > 0)
}

const COPY: &str = "INSERT INTO set_aside (id, set_aside_at_ms, reason, workspace_id, device_id, stored_at_ms, properties, upload, body)
    SELECT id, ?1, ?2, ?3, ?4, stored_at_ms, properties, upload, body FROM outbox";

/// The Messages set aside, oldest first.
pub(crate) fn list(transaction: &Transaction) -> Result<Vec<SetAsideRow>> {
    let mut statement = transaction.connection().prepare(&format!(
        "SELECT id, reason, workspace_id, device_id, properties, {CONTENT_BYTES} FROM set_aside ORDER BY id"
    ))?;
    let rows = statement.query_map((), |row| {
        Ok(SetAsideRow {
            id: row.get(0)?,
            reason: row.get(1)?,
            workspace_id: row.get(2)?,
            device_id: row.get(3)?,
            properties: row.get(4)?,
            body_bytes: row.get::<_, i64>(5)?.unsigned_abs(),
        })
    })?;
    let mut rows = rows.collect::<Result<Vec<SetAsideRow>>>()?;
    rows.sort_by_key(|row| lane::number(row.id));
    Ok(rows)
}

/// Puts these Messages of this identity back, behind all others of their lanes; returns how many, their bytes, and
/// the newest number. What no packet can hold stays: that can be with what the published SDK stored.
pub(crate) fn put_back(
    transaction: &mut Transaction,
    ids: &[i64],
    identity: &HubDeviceId,
) -> Result<(Totals, i64)> {
    let (mut totals, mut newest) = (Totals::default(), 0);
    for id in ids {
        let Some(found) = Found::load(transaction, *id, identity)? else {
            continue;
        };
        if found.fits() {
            newest = lane::number(found.insert(transaction, lane::priority(*id))?);
            totals.count += 1;
            totals.bytes += found.content_bytes;
            delete(transaction, &[*id])?;
        }
    }
    Ok((totals, newest))
}

/// A row that is to be put back.
struct Found {
    stored_at_ms: i64,
    properties: String,
    upload: i64,
    content_bytes: u64,
    body: Vec<u8>,
}

impl Found {
    fn load(transaction: &Transaction, id: i64, identity: &HubDeviceId) -> Result<Option<Found>> {
        transaction
            .connection()
            .prepare_cached(&format!(
                "SELECT stored_at_ms, properties, upload, {CONTENT_BYTES}, body FROM set_aside
                 WHERE id = ?1 AND workspace_id = ?2 AND device_id = ?3"
            ))?
            .query_row((id, &identity.workspace_id, &identity.device_id), |row| {
                Ok(Found {
                    stored_at_ms: row.get(0)?,
                    properties: row.get(1)?,
                    upload: row.get(2)?,
                    content_bytes: row.get::<_, i64>(3)?.unsigned_abs(),
                    body: row.get_ref(4)?.as_bytes()?.to_vec(),
                })
            })
            .optional()
    }

    /// Whether a packet can hold it.
    fn fits(&self) -> bool {
        let inline_bytes = match self.upload {
            0 => self.body.len(),
            _ => 0,
        };
        check_rendered(terms::bag(&self.properties), inline_bytes).is_ok()
    }

    /// Stores it behind all others of the lane; returns its id.
    fn insert(&self, transaction: &mut Transaction, priority: Priority) -> Result<i64> {
        let (at_ms, properties) = (self.stored_at_ms, &self.properties);
        if self.upload == IN_CHUNKS {
            let content = StoredContent::parse(&self.body);
            let content = content.ok_or_else(|| corrupt("a reference to content is none"))?;
            return outbox::insert_with_content(transaction, priority, at_ms, properties, content);
        }
        let upload = self.upload != 0;
        outbox::insert(transaction, priority, at_ms, properties, upload, &self.body)
    }
}

/// How many there are.
pub(crate) fn count(transaction: &Transaction) -> Result<u64> {
    transaction
        .connection()
        .query_row("SELECT count(*) FROM set_aside", (), |row| {
            row.get::<_, i64>(0)
        })
        .map(i64::unsigned_abs)
}

/// Forgets these Messages; returns how many there were.
pub(crate) fn delete(transaction: &mut Transaction, ids: &[i64]) -> Result<usize> {
    let sql = transaction.connection();
    let mut statement = sql.prepare_cached("DELETE FROM set_aside WHERE id = ?1")?;
    let mut deleted = 0;
    for id in ids {
        deleted += statement.execute([id])?;
    }
    Ok(deleted)
}
