//! The tables of the database file.

use rusqlite::{Connection, Error, Result, ffi};

/// Marks the file as ours ("SpfD").
pub(in crate::store) const APPLICATION_ID: i32 = 0x5370_6644;
/// Of the tables; files of all before are taken over.
pub(in crate::store) const VERSION: i32 = 2;
/// Of the same tables and [`CHUNKS`], while there is something in that: what does not know it must not send a Message
/// whose content is there.
pub(in crate::store) const VERSION_WITH_CHUNKS: i32 = 3;

/// Content of Messages that was copied from files; see [`chunks`](super::chunks).
const CHUNKS: &str = "CREATE TABLE chunk (id INTEGER PRIMARY KEY, body BLOB NOT NULL);";

/// - `device`: who we are. One row.
/// - `outbox`: Messages not yet acknowledged, oldest id of each [lane](super::lane) first. `properties` is the property
///   bag of the topic as it goes on the wire, with its [terms](crate::message::terms) behind it; `upload` says that `body` goes up as a file first,
///   or, if it is 2, that `body` names content in `chunk` that does.
/// - `set_aside`: Messages that will not be sent, and why, for the application to decide about.
/// - `inbox`: cloud-to-device messages not yet processed by the application.
/// - `document`: one JSON document of each kind: the properties `desired`, `reported` (what the Platform has) and
///   `wanted` (what the application wants reported, while that is not confirmed); `device`, a copy of that table;
///   `upload`, the upload that the hub has open; and `blocks`, how far content is that goes up in blocks.
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
    CREATE TABLE document (kind TEXT PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
";

/// Leads from each version to the next, the first from version 1. A salvaged file comes out with the tables of today,
/// so what a step does with rows must be done in [`repair`](crate::store::repair), too.
const STEPS: [&str; VERSION as usize - 1] = ["ALTER TABLE twin RENAME TO document;
     ALTER TABLE document RENAME COLUMN document TO text;"];

/// What a table is called today, and was before version 2.
const RENAMED: (&str, &str) = ("document", "twin");

/// Whether the file has our tables, of whatever version.
pub(in crate::store) fn is_ours(connection: &Connection) -> Result<bool> {
    Ok(pragma(connection, "application_id")? == APPLICATION_ID)
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Found {
    /// Nothing.
    Empty,
    /// Our tables, of this version.
    Version(i32),
}

/// Refuses a file that has other tables than ours, or those of a newer version.
pub(in crate::store) fn check(connection: &Connection) -> Result<Found> {
    let pragma = |name| pragma(connection, name);
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, version @ 1..=VERSION_WITH_CHUNKS) => Ok(Found::Version(version)),
        (APPLICATION_ID, version) => Err(foreign(format!(
            "its schema has version {version}; this library knows versions up to {VERSION_WITH_CHUNKS}"
        ))),
        (0, 0) if is_empty(connection)? => Ok(Found::Empty),
        _ => Err(foreign("it is not a database of this library".to_owned())),
    }
}

/// Makes the tables those of today, in one transaction.
pub(in crate::store) fn upgrade(connection: &Connection, version: i32) -> Result<()> {
    let done = usize::try_from(version - 1).unwrap_or(0);
    let steps = STEPS.get(done..).unwrap_or_default();
    if steps.is_empty() {
        return Ok(());
    }
    let steps = steps.concat();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

/// What a table of today is called in a file of this version.
pub(in crate::store) fn name_in(version: i32, table: &str) -> &str {
    let (today, before) = RENAMED;
    if version < 2 && table == today {
        before
    } else {
        table
    }
}

/// What a table that was found in a file of any version is called today.
pub(in crate::store) fn name_today(table: &str) -> &str {
    let (today, before) = RENAMED;
    if table == before { today } else { table }
}

/// Creates the tables in an empty file.
pub(in crate::store) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES}
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

/// From now on the file has the table of chunks, and the version that says so.
pub(in crate::store) fn add_chunks(connection: &Connection) -> Result<()> {
    let version = VERSION_WITH_CHUNKS;
    connection.execute_batch(&format!("{CHUNKS} PRAGMA user_version = {version};"))
}

/// The table is empty: from now on the file is again as versions before know it.
pub(in crate::store) fn remove_chunks(connection: &Connection) -> Result<()> {
    connection.execute_batch(&format!(
        "DROP TABLE chunk; PRAGMA user_version = {VERSION};"
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
