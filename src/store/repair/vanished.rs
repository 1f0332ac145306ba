//! The database was deleted or replaced under its name while it is in use. What is open still has every
//! row, and is written back: otherwise the next start would not find what was stored.
//!
//! The names are looked up at every commit, which costs a microsecond and wakes nobody.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::switch::{building, complete, mark_complete};
use crate::error::Result;
use crate::store::disk::file_id::{self, FileId};
use crate::store::disk::files::{
    behind_links, create_private, remove, rename, sync_directory, sync_file, with_suffix,
};
use crate::store::disk::kept::KeptFile;
use crate::store::disk::sqlite::sqlite_error;
use crate::store::rows::in_use;

const ACTION: &str = "write the database back, which was deleted or replaced under its name";

/// Which files the connection has open.
pub(super) struct OpenFiles {
    path: PathBuf,
    file: PathBuf,
    wal: PathBuf,
    database_id: FileId,
    wal_id: FileId,
}

impl OpenFiles {
    /// Of a connection that was just opened.
    pub fn of(path: &Path) -> Result<OpenFiles> {
        let file = behind_links(path)?;
        let wal = with_suffix(&file, "-wal");
        Ok(OpenFiles {
            path: path.to_owned(),
            database_id: file_id::of_name(&file),
            wal_id: file_id::of_name(&wal),
            file,
            wal,
        })
    }

    /// Whether both are still there under their names.
    pub fn are_in_place(&self) -> bool {
        file_id::of_name(&self.file) == self.database_id
            && file_id::of_name(&self.wal) == self.wal_id
    }

    /// Writes everything into a new file, which then has the name. The connection is of no use behind
    /// that. What others have put under the names is kept.
    pub fn write_back(&self, connection: &Connection, now_ms: i64) -> Result<()> {
        log::error!(
            "{}: it, or its write-ahead log, was deleted or replaced while in use; writing it back",
            self.path.display()
        );
        let new_file = building(&self.file);
        remove(&new_file)?;
        create_private(&new_file)?;
        // The new file has no log at first, and misses none.
        let copied = in_use::clear(connection)
            .and_then(|()| connection.execute("VACUUM INTO ?1", [name_for_sqlite(&new_file)]))
            .map_err(|error| sqlite_error(&self.path, ACTION, error))
            .and_then(|_| sync_file(&new_file));
        if let Err(error) = copied {
            remove(&new_file)?;
            return Err(error);
        }
        mark_complete(&self.file)?;
        self.make_way(now_ms)?;
        rename(&complete(&self.file), &self.file, ACTION)?;
        sync_directory(&self.file)?;
        log::error!(
            "{}: everything that was stored is in it again",
            self.path.display()
        );
        Ok(())
    }

    fn make_way(&self, now_ms: i64) -> Result<()> {
        if file_id::of_name(&self.wal) == self.wal_id {
            remove(&self.wal)?;
        }
        let found = KeptFile::choose(&self.file, "found", now_ms);
        for (name, suffix, ours) in [
            (&self.wal, "-wal", self.wal_id),
            (&self.file, "", self.database_id),
        ] {
            let id = file_id::of_name(name);
            if id.is_some() && id != ours {
                rename(name, &found.with(suffix), ACTION)?;
                log::error!(
                    "{}: what was there is kept as {}",
                    name.display(),
                    found.with(suffix).display()
                );
            }
        }
        sync_directory(&self.file)
    }
}

/// The name byte for byte: it need not be UTF-8.
fn name_for_sqlite(path: &Path) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(path.as_os_str().as_encoded_bytes()))
}
