//! The upload that the hub has open for this device. It takes one of the device's ten places there until the
//! hub is told how it ended: what a killed process left open, the next one has to end.

use rusqlite::{OptionalExtension, Result};
use serde::{Deserialize, Serialize};

use super::writer::Writer;

/// By what the hub knows an upload, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenUpload {
    pub correlation_id: String,
    /// `workspace:device`: no other can end it.
    pub device: String,
}

/// Its `kind` in the table `twin`. There is one at most, as content is uploaded one by one.
const KIND: &str = "upload";

pub(crate) fn load(writer: &Writer) -> Result<Option<OpenUpload>> {
    let document: Option<String> = writer
        .sql()?
        .query_row("SELECT document FROM twin WHERE kind = ?1", [KIND], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(document.and_then(|document| serde_json::from_str(&document).ok()))
}

pub(crate) fn save(writer: &mut Writer, upload: &OpenUpload) -> Result<()> {
    let document = serde_json::to_string(upload).unwrap_or_default();
    writer
        .sql()?
        .prepare_cached("INSERT OR REPLACE INTO twin VALUES (?1, 0, ?2)")?
        .execute((KIND, &document))?;
    writer.wrote(document.len());
    Ok(())
}

pub(crate) fn forget(writer: &Writer) -> Result<()> {
    writer
        .sql()?
        .prepare_cached("DELETE FROM twin WHERE kind = ?1")?
        .execute([KIND])
        .map(drop)
}
