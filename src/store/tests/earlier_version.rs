//! Files of earlier versions of the tables.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::json;

use crate::identity::HubDeviceId;
use crate::message::outgoing::Body;
use crate::store::rows::documents::{self, DocumentKind};
use crate::store::rows::open_upload::{self, OpenUpload};
use crate::store::rows::{device, inbox, outbox, set_aside};
use crate::store::{Durability, Recovery, Store, repair, rows};

/// The tables of version 1, as they were.
const VERSION_1: &str = "
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

/// So many are in the outbox.
pub(in crate::store) const MESSAGES: i64 = 50;

fn create_version_1(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             BEGIN; {VERSION_1} PRAGMA application_id = 1399875140; PRAGMA user_version = 1; COMMIT"
        ))
        .unwrap();
    let application_id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .unwrap();
    assert_eq!(application_id.to_be_bytes(), *b"SpfD");
    connection
}

fn fill(connection: &Connection) {
    let device = json!({"instance": "i", "provisioning_token": "p", "requested_device_id": null,
        "registration_token": "r", "workspace_id": "w", "device_id": "d", "identity_is_open": false});
    let upload = json!({"correlation_id": "c", "device": "w:d"});
    for (kind, version, document) in [
        ("desired", 7, json!({"a": 1})),
        ("reported", 8, json!({"b": 2})),
        ("wanted", 0, json!({"b": 3})),
        ("device", 0, device),
        ("upload", 0, upload),
    ] {
        let row = (kind, version, document.to_string());
        let insert = "INSERT INTO twin VALUES (?1, ?2, ?3)";
        connection.execute(insert, row).unwrap();
    }
    connection
        .execute_batch(
            "INSERT INTO device VALUES (0, 'i', 'p', NULL, 'r', 'w', 'd', 0);
             INSERT INTO counter VALUES ('reserved_ids', 10001), ('sent_generation', 77);
             INSERT INTO set_aside VALUES (1, 5, 'reason', 'w', 'd', 4, 'p', 0, x'01');
             INSERT INTO inbox VALUES (2, 'q', x'02');",
        )
        .unwrap();
    for number in 0..MESSAGES {
        let insert = "INSERT INTO outbox VALUES (?1, ?2, 'a=b', 0, ?3)";
        let row = (number + 3, number, body(number));
        connection.execute(insert, row).unwrap();
    }
}

fn body(number: i64) -> Vec<u8> {
    format!("{number} {}", "x".repeat(300)).into_bytes()
}

/// A file of version 1 with rows of all kinds, as a kill leaves it: all of them in the WAL.
fn killed(directory: &Path) -> PathBuf {
    let connection = create_version_1(&directory.join("other.db"));
    fill(&connection);
    for suffix in ["", "-wal"] {
        let name = |name: &str| directory.join(format!("{name}.db{suffix}"));
        fs::copy(name("other"), name("device")).unwrap();
    }
    directory.join("device.db")
}

/// The same, as an orderly end leaves it: all of them in the file.
pub(in crate::store) fn closed(directory: &Path) -> PathBuf {
    let path = directory.join("device.db");
    fill(&create_version_1(&path));
    assert!(!directory.join("device.db-wal").exists());
    path
}

/// Everything is there, as today's library reads it, and the tables are those of today.
fn assert_all_there(path: &Path) -> Option<Recovery> {
    let store = Store::open(path).unwrap_or_else(|error| panic!("{}", error.chain()));
    store
        .execute(
            Durability::PowerSafe,
            |transaction| {
                let device = device::load(transaction)?.expect("the device");
                let token = device.registration_token.expect("a token");
                assert_eq!(token.expose(), "r");
                let identity = HubDeviceId::parse("w:d");
                assert_eq!(device.identity, identity);

                let (rows, _) = outbox::load(transaction, &(0..=i64::MAX), usize::MAX, usize::MAX)?;
                let mut expected = 0..MESSAGES;
                for row in &rows {
                    let number = expected.next().expect("no Message twice");
                    assert_eq!((row.id, row.stored_at_ms), (number + 3, number));
                    let is_same = matches!(&row.body, Body::Inline(it) if *it == body(number));
                    assert!(is_same, "{row:?}");
                }
                assert!(expected.is_empty());
                assert_eq!(outbox::sent_generation(transaction)?, Some(77));
                assert_eq!(set_aside::list(transaction)?[0].reason, "reason");
                assert_eq!(inbox::next(transaction, 0)?.expect("a row").body, [2]);

                for (kind, version, document) in [
                    (DocumentKind::Desired, 7, json!({"a": 1})),
                    (DocumentKind::Reported, 8, json!({"b": 2})),
                    (DocumentKind::Wanted, 0, json!({"b": 3})),
                ] {
                    let found = documents::load(transaction, kind)?;
                    assert_eq!(found, Some((version, document.to_string())));
                }
                let upload = OpenUpload {
                    correlation_id: "c".to_owned(),
                    device: "w:d".to_owned(),
                };
                assert_eq!(open_upload::load(transaction)?, Some(upload));
                assert!(transaction.next_id()? >= 10_001);
                Ok(())
            },
            |()| {},
        )
        .unwrap();
    let recovery = store.recovery();
    drop(store);
    let (version, tables) = shape(path);
    assert_eq!(version, 2);
    assert_eq!(tables, tables_of_a_new_file());
    recovery
}

/// The version of a file, and its tables with their columns.
fn shape(path: &Path) -> (i32, Vec<(String, String)>) {
    let connection = Connection::open(path).unwrap();
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let sql =
        "SELECT t.name, group_concat(c.name) FROM sqlite_schema t, pragma_table_info(t.name) c
               WHERE t.type = 'table' GROUP BY t.name ORDER BY t.name";
    let mut statement = connection.prepare(sql).unwrap();
    let tables = statement
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    (version.unwrap(), tables.map(|row| row.unwrap()).collect())
}

fn tables_of_a_new_file() -> Vec<(String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("device.db");
    drop(Store::open(&path).unwrap());
    shape(&path).1
}

#[test]
fn a_file_of_version_1_opens_with_all_that_is_in_it() {
    for make in [killed, closed] {
        let directory = tempfile::tempdir().unwrap();
        let path = make(directory.path());
        for start in 1..=2 {
            let recovery = assert_all_there(&path);
            assert!(recovery.is_none(), "start {start}: {recovery:?}");
        }
    }
}

/// A full disk has no block for another.
#[test]
fn the_step_from_version_1_takes_no_page_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = closed(directory.path());
    let pages = |path: &Path| -> i64 {
        let connection = Connection::open(path).unwrap();
        let pages = connection.pragma_query_value(None, "page_count", |row| row.get(0));
        pages.unwrap()
    };
    let before = pages(&path);
    drop(Store::open(&path).unwrap());
    assert_eq!(pages(&path), before);
}

/// What was not synced of the WAL is cut off, or torn, or zeros.
#[test]
fn a_power_cut_at_any_byte_of_the_step_from_version_1_leaves_a_file_that_opens() {
    for make in [killed, closed] {
        let directory = tempfile::tempdir().unwrap();
        let path = make(directory.path());
        let wal = directory.path().join("device.db-wal");
        let before = fs::read(&wal).unwrap_or_default();
        let database = fs::read(&path).unwrap();
        drop(rows::file::open(&path).unwrap());
        let after = fs::read(&wal).unwrap();
        assert!(after.starts_with(&before) && after.len() > before.len());
        for end in (before.len()..=after.len()).step_by(191) {
            for behind in [None, Some(0), Some(0xa5)] {
                let mut cut = after[..end].to_vec();
                if let Some(byte) = behind {
                    cut.resize(after.len(), byte);
                }
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("device.db");
                fs::write(&path, &database).unwrap();
                fs::write(directory.path().join("device.db-wal"), &cut).unwrap();
                let recovery = assert_all_there(&path);
                assert!(recovery.is_none(), "{end}, {behind:?}: {recovery:?}");
            }
        }
    }
}

#[test]
fn a_damaged_file_of_version_1_is_saved_with_all_that_can_be_read() {
    for damaged_page in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let path = closed(directory.path());
        let mut bytes = fs::read(&path).unwrap();
        // The header and the schema, or the table `device`, of which there is a copy.
        bytes[(damaged_page - 1) * 1024..damaged_page * 1024].fill(0x99);
        fs::write(&path, bytes).unwrap();
        let recovery = assert_all_there(&path).expect("it is reported");
        assert!(recovery.has_registration);
        assert_eq!(recovery.messages, MESSAGES as u64);
    }
}

#[test]
fn a_whole_file_of_version_1_is_rebuilt_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = closed(directory.path());
    let connection = Connection::open(&path).unwrap();
    // The table begins on another page than in a new file: only its name leads there.
    connection
        .execute_batch(
            "ALTER TABLE twin RENAME TO old; CREATE TABLE twin (kind TEXT PRIMARY KEY, version, document) WITHOUT ROWID;
             INSERT INTO twin SELECT * FROM old; DROP TABLE old;",
        )
        .unwrap();
    drop(connection);
    let recovery = repair::rebuild(&path, 0, repair::Known::Nothing).unwrap();
    assert!(recovery.is_complete, "{recovery:?}");
    assert_all_there(&path);
}
