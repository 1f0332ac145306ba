//! SQLite's connection to the file, what we set on it, and its errors.
//!
//! One process, one connection: SQLite's exclusive locking mode keeps the WAL index in memory, so
//! there is no `-shm` file, no reader can hold the WAL back, and a commit makes fewer system calls.

use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::refusal::{self, Doing};
use crate::error::Error;

/// 1,024 bytes: a 200-byte Message costs one page of WAL; larger pages multiply the flash wear.
pub(crate) const PAGE_BYTES: u32 = 1024;
/// SQLite's page cache, negative KiB.
const CACHE_KIB: i32 = -512;
/// A WAL that a large Message made longer than this is cut back at its next reset.
pub(crate) const WAL_BYTES_KEPT: u32 = 4 << 20;

/// Opens a file that is there. Changes nothing in it.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // The WAL stays at the end: see `reserve`.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// For a database in use.
pub(crate) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A bad page is found when it is read, not when it has led astray.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Opens a new, empty file, to fill it. It needs no journal: a crash leaves a file to be thrown away.
pub(crate) fn connect_to_new(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let new = Connection::open_with_flags(path, flags)?;
    new.pragma_update(None, "page_size", PAGE_BYTES)?;
    new.pragma_update(None, "cache_size", CACHE_KIB)?;
    new.pragma_update(None, "journal_mode", "OFF")?;
    new.pragma_update(None, "synchronous", "OFF")?;
    Ok(new)
}

/// Closes the connection. What is committed is in the files, whether that succeeds or not.
pub(crate) fn close(connection: Connection, path: &Path) {
    if let Err((_, error)) = connection.close() {
        log::warn!("{}: cannot close: {error}", path.display());
    }
}

/// Why the file could not be opened.
pub(crate) fn open_error(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::DatabaseInUse {
            path: path.to_owned(),
            holder: None,
        },
        _ => sqlite_error(path, "open the database", error),
    }
}

/// An error of SQLite as the caller should see it. Where SQLite has none, it has the system's own words, which also say
/// whether it is space that is missing: SQLite knows of full disks, but not of quotas.
pub(crate) fn sqlite_error(path: &Path, action: &'static str, error: rusqlite::Error) -> Error {
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        return Error::StorageFull {
            path: path.to_owned(),
            source: Arc::new(error),
        };
    }
    match failed_call(&error).and_then(|doing| refusal::find(path, doing)) {
        Some(refused) => Error::file(path, action, refused),
        None => Error::database(path, action, error),
    }
}

/// What the system did not do, if it is the system that failed.
fn failed_call(error: &rusqlite::Error) -> Option<Doing> {
    let failure = error.sqlite_error()?;
    match failure.code {
        ErrorCode::CannotOpen => Some(Doing::Opening),
        ErrorCode::SystemIoFailure => Some(match failure.extended_code {
            ffi::SQLITE_IOERR_WRITE => Doing::Writing,
            ffi::SQLITE_IOERR_FSYNC => Doing::Syncing,
            _ => Doing::Else,
        }),
        _ => None,
    }
}

/// Whether SQLite found the file damaged, or a row has what we never store.
pub(crate) fn is_damage(error: &Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    let Error::Database { source, .. } = error else {
        return false;
    };
    match source.downcast_ref::<rusqlite::Error>() {
        None => false,
        Some(
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..),
        ) => true,
        Some(error) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ),
    }
}
