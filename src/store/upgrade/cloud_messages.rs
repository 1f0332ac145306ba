//! The published SDK's tables `CloudToDeviceMessages` and `CloudToDeviceProperties`: what it has
//! acknowledged to the hub, and no application has processed.

use std::path::Path;

use rusqlite::{Connection, Result};

use super::columns::{Problems, bytes, required_text};
use super::{Taken, has_table};
use crate::message::property_bag;
use crate::store::rows::{Transaction, inbox};

/// Copies them in their order. A broken one is kept as well as it can be: the hub has none to give.
pub(super) fn copy(
    old: &Connection,
    transaction: &mut Transaction,
    path: &Path,
    taken: &mut Taken,
) -> Result<()> {
    if !has_table(old, "CloudToDeviceMessages")? {
        return Ok(());
    }
    let mut statement = old.prepare("SELECT * FROM CloudToDeviceMessages ORDER BY id")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get("id")?;
        let mut problems = Problems::new();
        let properties = properties(old, id, &mut problems)?;
        let body = bytes(row, "content", &mut problems);
        inbox::insert(transaction, &properties, body)?;
        taken.cloud_messages += 1;
        for problem in problems {
            let path = path.display();
            log::error!("{path}: row {id} of CloudToDeviceMessages: {problem}");
        }
    }
    Ok(())
}

/// The property bag, as it came in the topic.
fn properties(old: &Connection, id: i64, problems: &mut Problems) -> Result<String> {
    let mut bag = String::new();
    if !has_table(old, "CloudToDeviceProperties")? {
        return Ok(bag);
    }
    let mut statement = old.prepare_cached(
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
