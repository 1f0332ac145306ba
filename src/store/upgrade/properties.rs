//! The published SDK's tables `Twins` and `ReportedPropertiesUpdates`: the Desired Properties, and
//! what the device has reported.

use rusqlite::{OptionalExtension, Result, Row};
use serde_json::Value;

use super::columns::{Problems, required_text};
use super::old_file::OldFile;
use crate::document::{Document, Versioned, merge_patch, parse_desired_patch, rules};
use crate::store::rows::Transaction;
use crate::store::rows::documents::{self, DocumentKind};

/// What was copied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub reported_updates: u64,
    pub desired_version: Option<u64>,
}

/// What cannot be read is left out: of all but the updates the Platform has its own copy, which is
/// read at every connect.
pub(super) fn copy(old: OldFile<'_>, transaction: &mut Transaction) -> Result<Copied> {
    let mut copied = Copied::default();
    if let Some(desired) = newest(old, "desired")? {
        copied.desired_version = Some(desired.version);
        save(transaction, DocumentKind::Desired, &desired)?;
    }
    let reported = newest(old, "reported")?;
    let mut wanted = reported
        .as_ref()
        .map_or_else(Document::new, |reported| reported.values.clone());
    copied.reported_updates = apply_updates(old, &mut wanted)?;
    if copied.reported_updates == 0 {
        if let Some(reported) = reported {
            save(transaction, DocumentKind::Reported, &reported)?;
        }
        return Ok(copied);
    }
    // The stored twin has the updates in it already, so what the Platform has is not known.
    match rules::check_reported(&Value::Object(wanted)) {
        Ok(values) => {
            let wanted = Versioned { version: 0, values };
            save(transaction, DocumentKind::Wanted, &wanted)?;
        }
        Err(error) => leave_out(old, "ReportedPropertiesUpdates", &error.to_string()),
    }
    Ok(copied)
}

/// The newest twin of a kind.
fn newest(old: OldFile<'_>, kind: &str) -> Result<Option<Versioned>> {
    if !old.has_table("Twins")? {
        return Ok(None);
    }
    let sql = "SELECT properties FROM Twins WHERE type = ?1 ORDER BY id DESC LIMIT 1";
    let read = |row: &Row<'_>| {
        let mut problems = Problems::new();
        let text = required_text(row, "properties", &mut problems);
        Ok((text, problems))
    };
    let Some((text, problems)) = old.connection.query_row(sql, [kind], read).optional()? else {
        return Ok(None);
    };
    // It is written like an update of the Desired Properties: values and `$version`.
    let parsed = match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => parse_desired_patch(text.as_bytes()),
    };
    Ok(parsed_of(old, &format!("the {kind} row of Twins"), parsed))
}

/// Applies what was to be reported, in its order; returns how many updates there were.
fn apply_updates(old: OldFile<'_>, wanted: &mut Document) -> Result<u64> {
    if !old.has_table("ReportedPropertiesUpdates")? {
        return Ok(0);
    }
    let sql = "SELECT * FROM ReportedPropertiesUpdates ORDER BY id";
    let mut statement = old.connection.prepare(sql)?;
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
        let place = format!("row {id} of ReportedPropertiesUpdates");
        match parsed_of(old, &place, update) {
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

/// What was parsed; says so if nothing could be.
fn parsed_of<T>(old: OldFile<'_>, place: &str, parsed: Result<T, String>) -> Option<T> {
    parsed
        .map_err(|problem| leave_out(old, place, &problem))
        .ok()
}

fn leave_out(old: OldFile<'_>, place: &str, problem: &str) {
    old.log(format_args!("{place} is not taken over: {problem}"));
}
