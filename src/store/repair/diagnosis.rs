//! Whether a file that cannot be opened is one of ours, with damage.

use std::fs;
use std::io;
use std::path::Path;

use super::damaged::Damaged;
use super::record::{self, Pages};
use crate::error::{Error, Result};
use crate::store::disk::files::{behind_links, with_suffix};
use crate::store::disk::sqlite::{self, PAGE_BYTES};
use crate::store::rows::{in_use, schema};

/// Is in every file of ours, in the schema.
const MARK: &[u8] = b"identity_is_open INTEGER NOT NULL";
const NEWEST_VERSION: u32 = schema::VERSION_WITH_CHUNKS.cast_unsigned();

/// Whether the file, which SQLite or we could not open, is one of ours with damage: not another
/// application's, nor of a newer version of this library.
pub(in crate::store) fn is_damaged_ours(path: &Path) -> Result<bool> {
    let look = || -> io::Result<bool> {
        let damaged = Damaged::open(&behind_links(path).map_err(io::Error::other)?)?;
        let header = damaged
            .page(1)
            .filter(|page| page.starts_with(b"SQLite format 3\0"));
        let number = |at| header.and_then(|page| record::be32(&page, at));
        let is_newer = number(68) == Some(schema::APPLICATION_ID.cast_unsigned())
            && number(60).is_some_and(|version| version > NEWEST_VERSION && version < 1000);
        Ok(!is_newer && (damaged.contains(MARK)? || damaged.is_zero()?))
    };
    look().map_err(|error| Error::file(path, "read the damaged database", error))
}

/// SQLite removes the WAL of a file without a page: not before what is in it was saved.
pub(in crate::store) fn cut_off_from_its_wal(path: &Path) -> Result<Option<Error>> {
    let file = behind_links(path)?;
    let failed = |error| Error::file(path, "open the database", error);
    let has_no_page = fs::metadata(&file).map_err(failed)?.len() < PAGE_BYTES.into();
    if !has_no_page || Damaged::open(&file).map_err(failed)?.count() <= 1 {
        return Ok(None);
    }
    let why = "the file was cut off, and its write-ahead log was not";
    Ok(Some(damage(path, why)))
}

/// Whether the log of a file that was not closed in order is gone, and with it what was stored last. What a checkpoint
/// had not come to is damaged then, too.
pub(in crate::store) fn has_lost_its_log(path: &Path) -> bool {
    // Whoever looks into the file makes an empty one.
    let wal_bytes = fs::metadata(with_suffix(path, "-wal")).map(|it| it.len());
    let is_gone = match wal_bytes {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(bytes) => bytes == 0,
    };
    is_gone
        && sqlite::connect(path)
            .and_then(|connection| in_use::is_set(&connection))
            .unwrap_or(false)
}

/// As what the loss of the log is told.
pub(in crate::store) fn lost_log(path: &Path) -> Error {
    let why = "it was not closed in order, and its write-ahead log is gone: what was stored last is lost with it";
    damage(path, why)
}

fn damage(path: &Path, why: &str) -> Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let error = rusqlite::Error::SqliteFailure(code, Some(why.to_owned()));
    Error::database(path, "open the database", error)
}
