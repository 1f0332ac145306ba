//! The published SDK's tables `CloudToDeviceMessages` and `CloudToDeviceProperties`: what it has
//! acknowledged to the hub, and no application has processed.

use rusqlite::Result;

use super::columns::{Problems, bytes, required_text};
use super::old_file::OldFile;
use crate::message::property_bag;
use crate::store::rows::{Transaction, inbox};

/// Copies them in their order; returns how many. A broken one is kept as well as it can be: the hub has none to give.
pub(super) fn copy(old: OldFile<'_>, transaction: &mut Transaction) -> Result<u64> {
    let mut copied = 0;
    if !old.has_table("CloudToDeviceMessages")? {
        return Ok(copied);
    }
    let sql = "SELECT * FROM CloudToDeviceMessages ORDER BY id";
    let mut statement = old.connection.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get("id")?;
        let mut problems = Problems::new();
        let properties = properties(old, id, &mut problems)?;
        let body = bytes(row, "content", &mut problems);
        inbox::insert(transaction, &properties, body)?;
        copied += 1;
        for problem in problems {
            old.log(format_args!("row {id} of CloudToDeviceMessages: {problem}"));
        }
    }
    Ok(copied)
}

/// The property bag, as it came in the topic.
fn properties(old: OldFile<'_>, id: i64, problems: &mut Problems) -> Result<String> {
    let mut bag = String::new();
    if !old.has_table("CloudToDeviceProperties")? {
        return Ok(bag);
    }
    let mut statement = old.connection.prepare_cached(
        "SELECT key, value FROM CloudToDeviceProperties WHERE message_id = ?1 ORDER BY rowid",
    )?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let key = required_text(row, "key", problems);
        let value = required_text(row, "value", problems);
        property_bag::push_encoded(&mut bag, &key, &value);
    }
    Ok(bag)
}
