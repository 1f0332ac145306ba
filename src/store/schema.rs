//! The tables of the database file.

use rusqlite::{Connection, Error, Result, ffi};

/// Marks the file as ours ("SpfD").
pub(super) const APPLICATION_ID: i32 = 0x5370_6644;
const VERSION: i32 = 1;

/// - `device`: who we are. One row.
/// - `outbox`: Messages not yet acknowledged, oldest id first. `properties` is the property bag of the
///   topic as it goes on the wire; `upload` says that `body` goes up as a file first.
/// - `set_aside`: Messages that will not be sent, and why, for the application to decide about.
/// - `inbox`: cloud-to-device messages not yet processed by the application.
/// - `twin`: the last known documents: `desired`, `reported` (what the Platform has) and `wanted`
///   (what the application wants reported, while that is not confirmed). Also two documents of other kinds:
///   `device`, a copy of that table, and `upload`, the upload that the hub has open.
const TABLES: &str = "
    CREATE TABLE device (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        instance TEXT NOT NULL,
        provisioning_token TEXT NOT NULL,
        requested_device_id TEXT,
        registration_token TEXT,
        workspace_id TEXT,
        device_id TEXT,
        identity_is_open INTEGER NOT NULL
    );
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        stored_at_ms INTEGER NOT NULL,
        properties TEXT NOT NULL,
        upload INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE TABLE set_aside (
        id INTEGER PRIMARY KEY,
        set_aside_at_ms INTEGER NOT NULL,
        reason TEXT NOT NULL,
        workspace_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        stored_at_ms INTEGER NOT NULL,
        properties TEXT NOT NULL,
        upload INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE TABLE inbox (
        id INTEGER PRIMARY KEY,
        properties TEXT NOT NULL,
        body BLOB NOT NULL
    );
    CREATE TABLE twin (kind TEXT PRIMARY KEY, version INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
";

/// Whether the file has our tables, of whatever version.
pub(super) fn is_ours(connection: &Connection) -> Result<bool> {
    Ok(pragma(connection, "application_id")? == APPLICATION_ID)
}

/// Accepts an empty file, for which it returns true, and one with our tables; refuses any other.
pub(super) fn check(connection: &Connection) -> Result<bool> {
    let pragma = |name| pragma(connection, name);
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, VERSION) => Ok(false),
        (APPLICATION_ID, version) => Err(foreign(format!(
            "its schema has version {version}; this library knows version {VERSION}"
        ))),
        (0, 0) if is_empty(connection)? => Ok(true),
        _ => Err(foreign("it is not a database of this library".to_owned())),
    }
}

/// Creates the tables in an empty file.
pub(super) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES}
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

fn pragma(connection: &Connection, name: &str) -> Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn is_empty(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)",
        (),
        |row| row.get(0),
    )
}

fn foreign(why: String) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_NOTADB), Some(why))
}
