//! The published SDK's tables `Twins` and `ReportedPropertiesUpdates`: the Desired Properties, and
//! what the device has reported.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Result};
use serde_json::Value;

use super::columns::{Problems, required_text};
use super::{Taken, has_table};
use crate::document::{Document, Versioned, merge_patch, parse_desired_patch, rules};
use crate::store::rows::Transaction;
use crate::store::rows::documents::{self, DocumentKind};

/// What cannot be read is left out: of all but the updates the Platform has its own copy, which is
/// read at every connect.
pub(super) fn copy(
    old: &Connection,
    transaction: &mut Transaction,
    path: &Path,
    taken: &mut Taken,
) -> Result<()> {
    let log = Log(path);
    if let Some(desired) = newest(old, "desired", &log)? {
        taken.desired_version = Some(desired.version);
        save(transaction, DocumentKind::Desired, &desired)?;
    }
    let reported = newest(old, "reported", &log)?;
    let mut wanted = reported
        .as_ref()
        .map_or_else(Document::new, |reported| reported.values.clone());
    taken.reported_updates = apply_updates(old, &mut wanted, &log)?;
    if taken.reported_updates == 0 {
        return match reported {
            Some(reported) => save(transaction, DocumentKind::Reported, &reported),
            None => Ok(()),
        };
    }
    // The stored twin has the updates in it already, so what the Platform has is not known.
    match rules::check_reported(&Value::Object(wanted)) {
        Ok(values) => {
            let version = 0;
            save(
                transaction,
                DocumentKind::Wanted,
                &Versioned { version, values },
            )
        }
        Err(error) => {
            log.error("ReportedPropertiesUpdates", &error.to_string());
            Ok(())
        }
    }
}

/// The newest twin of a kind.
fn newest(old: &Connection, kind: &str, log: &Log<'_>) -> Result<Option<Versioned>> {
    if !has_table(old, "Twins")? {
        return Ok(None);
    }
    let sql = "SELECT properties FROM Twins WHERE type = ?1 ORDER BY id DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| {
        let mut problems = Problems::new();
        let text = required_text(row, "properties", &mut problems);
        Ok((text, problems))
    };
    let Some((text, problems)) = old.query_row(sql, [kind], read).optional()? else {
        return Ok(None);
    };
    // It is written like an update of the Desired Properties: values and `$version`.
    let parsed = match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => parse_desired_patch(text.as_bytes()),
    };
    Ok(log.value_of(parsed, &format!("the {kind} row of Twins")))
}

/// Applies what was to be reported, in its order; returns how many updates there were.
fn apply_updates(old: &Connection, wanted: &mut Document, log: &Log<'_>) -> Result<u64> {
    if !has_table(old, "ReportedPropertiesUpdates")? {
        return Ok(0);
    }
    let mut statement = old.prepare("SELECT * FROM ReportedPropertiesUpdates ORDER BY id")?;
    let mut rows = statement.query(())?;
    let mut applied = 0;
    while let Some(row) = rows.next()? {
        let mut problems = Problems::new();
        let kind = required_text(row, "update_type", &mut problems);
        let patch = required_text(row, "patch", &mut problems);
        let update = match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => parse_update(&kind, &patch),
        };
        let id: i64 = row.get("id")?;
        match log.value_of(update, &format!("row {id} of ReportedPropertiesUpdates")) {
            Some(Update::Full(document)) => *wanted = document,
            Some(Update::Patch(patch)) => merge_patch::apply(wanted, &patch),
            None => continue,
        }
        applied += 1;
    }
    Ok(applied)
}

enum Update {
    /// The whole document.
    Full(Document),
    /// A merge patch.
    Patch(Document),
}

fn parse_update(kind: &str, patch: &str) -> Result<Update, String> {
    let document = match serde_json::from_str(patch) {
        Ok(Value::Object(document)) => document,
        Ok(_) => return Err("not a JSON object".to_owned()),
        Err(error) => return Err(format!("not JSON: {error}")),
    };
    match kind {
        "Full" => Ok(Update::Full(document)),
        "Patch" => Ok(Update::Patch(document)),
        _ => Err("its update_type is unknown".to_owned()),
    }
}

fn save(transaction: &mut Transaction, kind: DocumentKind, properties: &Versioned) -> Result<()> {
    let document = Value::Object(properties.values.clone()).to_string();
    documents::save(transaction, kind, Some(&(properties.version, document)))
}

/// Says what is left out.
struct Log<'a>(&'a Path);

impl Log<'_> {
    fn value_of<T>(&self, parsed: Result<T, String>, place: &str) -> Option<T> {
        parsed.map_err(|problem| self.error(place, &problem)).ok()
    }

    fn error(&self, place: &str, problem: &str) {
        let path = self.0.display();
        log::error!("{path}: {place} is not taken over: {problem}");
    }
}
