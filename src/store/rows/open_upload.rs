//! The upload that the hub has open for this device. It takes one of the device's ten places there until the
//! hub is told how it ended: what a killed process left open, the next one has to end.

use rusqlite::Result;
use serde::{Deserialize, Serialize};

use super::documents::{self, DocumentKind};
use super::transaction::Transaction;

/// By what the hub knows an upload, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenUpload {
    pub correlation_id: String,
    /// `workspace:device`: no other can end it.
    pub device: String,
}

/// There is one at most, as content is uploaded one by one.
pub(crate) fn load(transaction: &Transaction) -> Result<Option<OpenUpload>> {
    let row = documents::load(transaction, DocumentKind::OpenUpload)?;
    Ok(row.and_then(|(_, document)| serde_json::from_str(&document).ok()))
}

pub(crate) fn save(transaction: &mut Transaction, upload: &OpenUpload) -> Result<()> {
    let document = serde_json::to_string(upload).unwrap_or_default();
    documents::save(transaction, DocumentKind::OpenUpload, Some(&(0, document)))
}

pub(crate) fn forget(transaction: &mut Transaction) -> Result<()> {
    documents::forget(transaction, DocumentKind::OpenUpload)
}
