//! Whether a file that cannot be opened is one of ours, with damage.

use std::fs;
use std::io;
use std::path::Path;

use super::damaged::Damaged;
use super::record::{self, Pages};
use crate::error::{Error, Result};
use crate::store::disk::files::behind_links;
use crate::store::disk::sqlite::PAGE_BYTES;
use crate::store::rows::schema;

/// Is in every file of ours, in the schema.
const MARK: &[u8] = b"identity_is_open INTEGER NOT NULL";
const OUR_VERSION: u32 = schema::VERSION.cast_unsigned();

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
            && number(60).is_some_and(|version| version > OUR_VERSION && version < 1000);
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
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let why = "the file was cut off, and its write-ahead log was not".to_owned();
    let error = rusqlite::Error::SqliteFailure(code, Some(why));
    Ok(Some(Error::database(path, "open the database", error)))
}
