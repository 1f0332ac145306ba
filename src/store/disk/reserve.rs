//! Space on the disk that is ours before it is needed, so that acknowledgements can be recorded when the
//! disk is full: otherwise nothing would ever be deleted again.
//!
//! To delete a row takes frames in the WAL, and now and then a checkpoint, after which the WAL is used
//! again from its start. Neither needs a new block of the disk, as long as
//!
//! 1. the database file has a block for every page of every commit: [`Reserve::grow`] sees to that
//!    *before* the commit, and a commit for which it cannot is refused;
//! 2. the WAL has blocks for the largest delete, also while it is empty and after the client has ended.
//!    So the WAL stays when the client ends, void: what its header says is not what SQLite looks for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::files::{behind_links, private, with_suffix};
use super::space::{allocate, allocate_missing, length};
use super::sqlite::{PAGE_BYTES, WAL_BYTES_KEPT};
use crate::error::{Error, Result};

/// The database file gets its blocks in steps of this, to be asked for them rarely.
const GROWTH_BYTES: u64 = 64 << 10;
/// A delete writes the pages from the root to the row, their neighbours, the first page, and one page of
/// the list of free pages for about 250 pages that become free.
pub(crate) const WAL_BYTES_MIN: u64 = 64 << 10;
const PAGES_PER_FREE_LIST_PAGE: u64 = 200;
/// The largest Message has 64 MiB. Deletes of several are recorded one by one if they do not fit.
const WAL_BYTES_MAX: u64 = 512 << 10;

/// As long as the header of a WAL, and in its place when everything in the WAL is in the database, too.
pub(crate) const VOID: &[u8; 32] = b"void: all of it is in the file  ";

/// The blocks of one database.
pub(crate) struct Reserve {
    path: PathBuf,
    wal: PathBuf,
    /// Closed only behind SQLite's connection: closing any handle of the file takes the process's locks
    /// away from it.
    database: File,
    /// The first so many bytes of the database are known to have blocks.
    database_bytes: u64,
}

impl Reserve {
    /// For a database that a connection has open.
    pub fn open(path: &Path) -> Result<Reserve> {
        let file = behind_links(path)?;
        let failed = |error| Error::file(path, "reserve space", error);
        let database = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&file)
            .map_err(failed)?;
        Ok(Reserve {
            path: path.to_owned(),
            wal: with_suffix(&file, "-wal"),
            database,
            database_bytes: 0,
        })
    }

    /// Whether the database is known to have a block for each of so many pages.
    pub fn has(&self, pages: u64) -> bool {
        pages.saturating_mul(PAGE_BYTES.into()) <= self.database_bytes
    }

    /// Makes sure that a checkpoint can write this many pages, and that a delete finds space in the WAL.
    pub fn grow(&mut self, pages: u64) -> Result<()> {
        if self.has(pages) {
            return Ok(());
        }
        let needed = pages.saturating_mul(PAGE_BYTES.into());
        let known = self.database_bytes;
        let reserved = match allocate(&self.database, known, needed + GROWTH_BYTES) {
            Ok(()) => Ok(needed + GROWTH_BYTES),
            Err(_) => allocate_missing(&self.database, known, needed).map(|()| needed),
        };
        self.database_bytes = reserved
            .and_then(|reserved| self.keep_wal(reserved).map(|()| reserved))
            .map_err(|error| Error::file(&self.path, "reserve space", error))?;
        Ok(())
    }

    fn keep_wal(&self, database_bytes: u64) -> io::Result<()> {
        let wal = private(OpenOptions::new().write(true).create(true)).open(&self.wal)?;
        allocate_missing(&wal, 0, wal_bytes(database_bytes))
    }

    /// A checkpoint may have cut the file to the pages in use.
    pub fn checkpointed(&mut self) {
        let left = length(&self.database).unwrap_or(0);
        self.database_bytes = self.database_bytes.min(left);
    }

    /// Behind the end of the connection, when everything in the WAL is in the database too: makes the WAL
    /// void, and keeps what a delete needs of it. That it is void must be on the disk before it is cut:
    /// a WAL that holds some of its frames would put old pages in the place of newer ones.
    pub fn void_wal(self) -> io::Result<()> {
        let mut wal = OpenOptions::new().write(true).open(&self.wal)?;
        wal.write_all(VOID)?;
        wal.sync_data()?;
        let kept = wal_bytes(self.database.metadata()?.len());
        if wal.metadata()?.len() > kept {
            wal.set_len(kept)?;
        }
        Ok(())
    }
}

fn wal_bytes(database_bytes: u64) -> u64 {
    let wanted = WAL_BYTES_MIN + database_bytes / PAGES_PER_FREE_LIST_PAGE;
    wanted.min(WAL_BYTES_MAX).min(WAL_BYTES_KEPT.into())
}
