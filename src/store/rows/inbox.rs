//! The `inbox` table: cloud-to-device messages from their receipt to the application's word that
//! they are processed.

use rusqlite::{Result, Row};

use super::totals::{self, Totals};
use super::transaction::Transaction;

/// A stored cloud-to-device message. `properties` is the property bag of its topic.
#[derive(Debug, Clone)]
pub(crate) struct InboxRow {
    pub id: i64,
    pub properties: String,
    pub body: Vec<u8>,
}

pub(crate) fn insert(transaction: &mut Transaction, properties: &str, body: &[u8]) -> Result<i64> {
    let id = transaction.next_id()?;
    transaction
        .connection()
        .prepare_cached("INSERT INTO inbox (id, properties, body) VALUES (?1, ?2, ?3)")?
        .execute((id, properties, body))?;
    transaction.wrote(properties.len() + body.len());
    Ok(id)
}

/// The oldest message behind `after`.
pub(crate) fn next(transaction: &Transaction, after: i64) -> Result<Option<InboxRow>> {
    let mut statement = transaction.connection().prepare_cached(
        "SELECT id, properties, body FROM inbox WHERE id > ?1 ORDER BY id LIMIT 1",
    )?;
    let mut rows = statement.query([after])?;
    rows.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<InboxRow> {
    Ok(InboxRow {
        id: row.get(0)?,
        properties: row.get(1)?,
        body: row.get_ref(2)?.as_bytes()?.to_vec(),
    })
}

/// Forgets a message; returns its size, or `None` if it was forgotten before.
pub(crate) fn delete(transaction: &mut Transaction, id: i64) -> Result<Option<u64>> {
    let mut statement = transaction
        .connection()
        .prepare_cached("DELETE FROM inbox WHERE id = ?1 RETURNING length(body)")?;
    let bytes = {
        let mut rows = statement.query([id])?;
        let bytes = rows.next()?.map(|row| row.get::<_, i64>(0)).transpose()?;
        while rows.next()?.is_some() {}
        bytes
    };
    drop(statement);
    transaction.wrote(0);
    Ok(bytes.map(i64::unsigned_abs))
}

/// Counts the table, at open.
pub(crate) fn totals(transaction: &Transaction) -> Result<Totals> {
    totals::of_table(transaction, "inbox", "length(body)")
}
