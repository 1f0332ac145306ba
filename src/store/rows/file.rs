//! The file with our tables: the one in use, and a new one that is filled before it gets its name.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::schema::{self, Found};
use super::transaction::Transaction;
use crate::error::{Error, Result};
use crate::store::disk::files::{create_private, with_suffix, write_in_place};
use crate::store::disk::sqlite::{self, open_error, sqlite_error};

/// Opens the file. One that is empty gets our tables, one of an earlier version those of today; any other that is not
/// ours is refused.
pub(in crate::store) fn open(path: &Path) -> Result<Connection> {
    sqlite::connect(path)
        .and_then(|connection| make_ours(connection, path))
        .map_err(|error| open_error(path, error))
}

/// The same, with a connection that is there.
pub(in crate::store) fn make_ours(
    mut connection: Connection,
    path: &Path,
) -> rusqlite::Result<Connection> {
    let found = schema::check(&connection)?;
    if found == Found::Empty {
        // What a power cut left of its creation is rolled back only now, and SQLite would go by what it read there
        // before: reserved bytes, auto-vacuum.
        drop(connection);
        connection = sqlite::connect(path)?;
    }
    sqlite::configure(&connection)?;
    mark_wal(&connection, path)?;
    match found {
        Found::Empty => schema::create(&connection)?,
        Found::Version(version) => schema::upgrade(&connection, version)?,
    }
    Ok(connection)
}

/// Lets the write-ahead log be written in place, which can be said of it only while it is empty. It is SQLite that makes
/// it, at the first read: so its name is synced with its content.
fn mark_wal(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))?;
    if let Ok(wal) = File::open(with_suffix(path, "-wal")) {
        write_in_place(&wal);
    }
    Ok(())
}

/// Begins a new database, in one transaction, that will get its name when it is complete.
pub(in crate::store) fn begin(path: &Path) -> Result<Connection> {
    let action = "create the file";
    if !create_private(path)? {
        let there = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(Error::database(path, action, there));
    }
    let begin = || -> rusqlite::Result<Connection> {
        let new = sqlite::connect_to_new(path)?;
        schema::create(&new)?;
        new.execute_batch("BEGIN")?;
        Ok(new)
    };
    begin().map_err(|error| sqlite_error(path, action, error))
}

/// The new database is complete.
pub(in crate::store) fn finish(new: Transaction, path: &Path) -> rusqlite::Result<()> {
    new.connection().execute_batch("COMMIT")?;
    sqlite::close(new.into_connection(), path);
    Ok(())
}
