//! The database file: its path, permissions, and the SQLite connection to it.
//!
//! One process, one connection: SQLite's exclusive locking mode keeps the WAL index in memory, so
//! there is no `-shm` file, no reader can hold the WAL back, and a commit makes fewer system calls.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::recovery::Recovery;
use super::{published, salvage, schema};
use crate::error::{Error, Result};

/// 1,024 bytes: a 200-byte Message costs one page of WAL; larger pages multiply the flash wear.
pub(super) const PAGE_BYTES: u32 = 1024;
/// SQLite's page cache, negative KiB.
pub(super) const CACHE_KIB: i32 = -512;
/// A WAL that a large Message made longer than this is cut back at its next reset.
pub(super) const WAL_BYTES_KEPT: u32 = 4 << 20;

/// The database path ends in `.db` and names a file, not a directory.
pub(crate) fn validate_path(path: &Path) -> Result<()> {
    if path.extension().is_none_or(|extension| extension != "db") {
        return Err(Error::invalid(
            "database",
            format!("must be a path that ends in .db, but is {}", path.display()),
        ));
    }
    if path.is_dir() {
        return Err(Error::invalid(
            "database",
            format!("{} is a directory, not a file", path.display()),
        ));
    }
    Ok(())
}

/// Opens the database, creating it readable by its owner only. One of the published SDK is taken
/// over; any other that is not ours is refused, and left as it is.
///
/// One of ours that is damaged is set aside, and what can be read of it goes on.
pub(super) fn open(
    path: &Path,
    now_ms: i64,
    same_boot: Option<bool>,
) -> Result<(Connection, Option<Recovery>)> {
    salvage::finish(path, now_ms)?;
    let created = create_private(path)?;
    published::remove_leftover(path);
    let opened = open_or_take_over(path, now_ms, same_boot);
    if opened.is_err() && created {
        remove(&with_suffix(path, "-wal"))?;
        remove(path)?;
    }
    let opened = match opened {
        Err(error) if salvage::is_damage(&error) && salvage::is_damaged_ours(path)? => {
            log::error!("{}: damaged: {}", path.display(), error.chain());
            let recovery = salvage::replace(path, now_ms, 0)?;
            recovery.log(path);
            (open_or_take_over(path, now_ms, same_boot)?, Some(recovery))
        }
        other => (other?, None),
    };
    if created {
        sync_directory(path)?;
    }
    Ok(opened)
}

fn open_or_take_over(path: &Path, now_ms: i64, same_boot: Option<bool>) -> Result<Connection> {
    let failed = |error| open_error(path, error);
    if let Some(error) = salvage::cut_off_from_its_wal(path)? {
        return Err(error);
    }
    let behind = salvage::read_behind(path, now_ms, same_boot)?;
    let mut connection = connect(path).map_err(failed)?;
    if published::is_published(&connection).map_err(failed)? {
        published::take_over(connection, path, now_ms)?;
        connection = connect(path).map_err(failed)?;
    }
    let connection = make_ours(connection, path).map_err(failed)?;
    if let Some(behind) = behind {
        behind.save(&connection, path).map_err(failed)?;
    }
    Ok(connection)
}

/// Opens it again, in the course of its use.
pub(super) fn open_again(path: &Path) -> Result<Connection> {
    let opened = connect(path).and_then(|connection| make_ours(connection, path));
    opened.map_err(|error| open_error(path, error))
}

/// Changes nothing in the file.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // The WAL stays at the end: see `reserve`.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn make_ours(mut connection: Connection, path: &Path) -> rusqlite::Result<Connection> {
    let is_empty = schema::check(&connection)?;
    if is_empty {
        // What a power cut left of its creation is rolled back only now, and SQLite would go by what it read there
        // before: reserved bytes, auto-vacuum.
        drop(connection);
        connection = connect(path)?;
    }
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
    if is_empty {
        schema::create(&connection)?;
    }
    Ok(connection)
}

/// Creates the file before SQLite does, so that it never exists with wider permissions. SQLite gives
/// the WAL the permissions of the database.
pub(super) fn create_private(path: &Path) -> Result<bool> {
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::file(path, "create the file", error)),
    }
}

#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Begins a new database, in one transaction, that will get its name when it is complete. It needs no
/// journal: a crash leaves a file to be thrown away.
pub(super) fn begin_building(path: &Path) -> Result<Connection> {
    let action = "create the file";
    if !create_private(path)? {
        let there = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::database(path, action, there));
    }
    let begin = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let new = Connection::open_with_flags(path, flags)?;
        new.pragma_update(None, "page_size", PAGE_BYTES)?;
        new.pragma_update(None, "cache_size", CACHE_KIB)?;
        new.pragma_update(None, "journal_mode", "OFF")?;
        new.pragma_update(None, "synchronous", "OFF")?;
        schema::create(&new)?;
        new.execute_batch("BEGIN")?;
        Ok(new)
    };
    begin().map_err(|error| sqlite_error(path, action, error))
}

pub(super) fn sync_file(path: &Path) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::file(path, "sync the file", error))
}

/// Removes a file that may be there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file(path, "remove the file", error))
        }
        _ => Ok(()),
    }
}

/// Makes the new file's name durable, too.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::database(path, "sync its directory", error))
}

#[cfg(not(unix))]
pub(super) fn sync_directory(_path: &Path) -> Result<()> {
    Ok(())
}

/// How much is free on the disk of this file, for those without privileges.
#[cfg(unix)]
pub(crate) fn free_disk_bytes(path: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
pub(crate) fn free_disk_bytes(_path: &Path) -> std::io::Result<u64> {
    Ok(u64::MAX)
}

/// The file itself, if the path is a link to it.
pub(crate) fn behind_links(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| Error::file(path, "find the file", error))
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn open_error(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::DatabaseInUse {
            path: path.to_owned(),
            holder: None,
        },
        _ => sqlite_error(path, "open the database", error),
    }
}

/// An error of SQLite as the caller should see it.
pub(crate) fn sqlite_error(path: &Path, action: &'static str, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::StorageFull {
            path: path.to_owned(),
            source: Arc::new(error),
        },
        _ => Error::database(path, action, error),
    }
}
