//! The `document` table: JSON documents of which there is one of each kind.

use rusqlite::{OptionalExtension, Result};

use super::transaction::Transaction;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    /// Desired Properties, as last received.
    Desired,
    /// Reported Properties, as the Platform has them.
    Reported,
    /// Reported Properties that the Platform has yet to confirm.
    Wanted,
    /// A copy of the table `device`, on another page.
    Device,
    /// The upload that the hub has open.
    OpenUpload,
    /// By which way the hub was reached last.
    LastWay,
    /// How far content is that goes up in blocks.
    BlocksUp,
}

impl DocumentKind {
    fn name(self) -> &'static str {
        match self {
            DocumentKind::Desired => "desired",
            DocumentKind::Reported => "reported",
            DocumentKind::Wanted => "wanted",
            DocumentKind::Device => "device",
            DocumentKind::OpenUpload => "upload",
            DocumentKind::LastWay => "way",
            DocumentKind::BlocksUp => "blocks",
        }
    }
}

/// A stored document: its version, which is 0 where there is none, and its JSON text.
pub(crate) type DocumentRow = (u64, String);

pub(crate) fn load(transaction: &Transaction, kind: DocumentKind) -> Result<Option<DocumentRow>> {
    transaction
        .connection()
        .query_row(
            "SELECT version, text FROM document WHERE kind = ?1",
            [kind.name()],
            |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)),
        )
        .optional()
}

/// Replaces the document; `None` forgets it.
pub(crate) fn save(
    transaction: &mut Transaction,
    kind: DocumentKind,
    row: Option<&DocumentRow>,
) -> Result<()> {
    let Some((version, text)) = row else {
        return forget(transaction, kind);
    };
    let version = i64::try_from(*version).unwrap_or(i64::MAX);
    transaction
        .connection()
        .prepare_cached("INSERT OR REPLACE INTO document VALUES (?1, ?2, ?3)")?
        .execute((kind.name(), version, text))?;
    transaction.wrote(text.len());
    Ok(())
}

pub(crate) fn forget(transaction: &mut Transaction, kind: DocumentKind) -> Result<()> {
    transaction
        .connection()
        .prepare_cached("DELETE FROM document WHERE kind = ?1")?
        .execute([kind.name()])?;
    transaction.wrote(0);
    Ok(())
}
