//! Reads a database without a lock, beside a client that is using it, which notices nothing of it: for tools.
//!
//! A client has its file to itself (see [`sqlite`](super::disk::sqlite)), so no other connection of SQLite's gets in. But
//! pages of the file change only when the write-ahead log is moved into it, and the log only grows until it begins anew
//! after that. So whoever reads both without a lock has what was committed when he began, for as long as nothing of what
//! was logged since is in the file. Whether that is so is seen afterwards ([`began`]): if not, what was read counts for
//! nothing, and is read again. Reads are to be short for that reason: a page of rows, not a table.
//!
//! Nothing is created, written or removed, and no lock is taken that the client could run into.

mod began;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::disk::files::with_suffix;
use super::disk::place;
use super::disk::sqlite::sqlite_error;
use super::rows::ids::RowIds;
use super::rows::{Transaction, schema};
use super::upgrade::is_published;
use crate::error::{Error, Result};
use began::Began;

/// SQLite's own way to the file without locks.
#[cfg(unix)]
const VFS: &str = "unix-none";
#[cfg(windows)]
const VFS: &str = "win32-none";

/// A client under load moves its log several times a second; a read that never fits between is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A file that is shorter has no page yet, and SQLite would take a log beside it for a leftover.
const SMALLEST_FILE_BYTES: u64 = 512;

/// Reads one database.
pub(crate) struct SnapshotReader {
    path: PathBuf,
    wal: PathBuf,
    open: Option<(Began, Transaction)>,
}

impl SnapshotReader {
    /// Of a file that is there.
    pub fn open(path: &Path) -> Result<SnapshotReader> {
        let path = place::resolve(path)?;
        if let Err(error) = fs::metadata(&path) {
            return Err(Error::database(&path, "find the file", error));
        }
        place::check_file(&path)?;
        Ok(SnapshotReader {
            wal: with_suffix(&path, "-wal"),
            path,
            open: None,
        })
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `run` on what is committed now, or was when an earlier read began. It runs again if the client has rewritten
    /// the file meanwhile.
    pub fn read<T>(
        &mut self,
        mut run: impl FnMut(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (began, transaction) = match self.open.take() {
                Some(open) => open,
                None => self.open_now()?,
            };
            let result = run(&transaction);
            if self.is_as_it_was(&began)? {
                self.open = Some((began, transaction));
                return result
                    .map_err(|error| sqlite_error(&self.path, "read the database", error));
            }
            if Instant::now() >= end {
                let why = "its client rewrites it faster than it can be read: try again";
                return Err(Error::database(&self.path, "read the database", why));
            }
        }
    }

    fn is_as_it_was(&self, began: &Began) -> Result<bool> {
        let is_it = began.is_as_it_was(&self.path, &self.wal);
        is_it.map_err(|error| Error::file(&self.path, "read the file", error))
    }

    fn open_now(&self) -> Result<(Began, Transaction)> {
        let began = Began::now(&self.path, &self.wal);
        let began = began.map_err(|error| Error::file(&self.path, "read the file", error))?;
        let not_ours = |why: &str| Error::database(&self.path, "read the database", why);
        if began.file_bytes() < SMALLEST_FILE_BYTES {
            return Err(not_ours("it is empty: no client has written to it yet"));
        }
        let failed = |error| sqlite_error(&self.path, "open the database", error);
        let connection = connect(&self.path).map_err(failed)?;
        let published = is_published(&connection);
        // What goes wrong can be the fault of a client that writes at this moment.
        if self.is_as_it_was(&began)? {
            if published.map_err(failed)? && !schema::is_ours(&connection).map_err(failed)? {
                return Err(not_ours(
                    "it is a file of the published SDK: the first start of a client takes it over",
                ));
            }
            schema::check(&connection).map_err(failed)?;
        }
        Ok((began, Transaction::new(connection, RowIds::default())))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, VFS)?;
    // With that, the index of the log is in this process's memory, and no file is made for it.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}
