//! The published SDK's database, which is only read.

use std::path::Path;

use rusqlite::{Connection, Result};

/// Whether the published SDK has written this database. One of ours can be that, too: see
/// [`ours`](super::ours).
pub(in crate::store) fn is_published(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT count(*) = 2 FROM sqlite_schema
         WHERE type = 'table' AND (name = 'Messages' OR name = 'SdkConfiguration' AND sql LIKE '%db_version%')",
        (),
        |row| row.get(0),
    )
}

/// The database, and its path as the application names it.
#[derive(Clone, Copy)]
pub(super) struct OldFile<'a> {
    pub connection: &'a Connection,
    pub path: &'a Path,
}

impl OldFile<'_> {
    pub fn has_table(&self, name: &str) -> Result<bool> {
        self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)",
            [name],
            |row| row.get(0),
        )
    }

    /// Says what is not taken over, or not as it is.
    pub fn log(&self, problem: impl std::fmt::Display) {
        log::error!("{}: {problem}", self.path.display());
    }
}
