//! Writes files as the published SDK writes them, of every age, and reads what became of them.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Params, params};

use crate::error::Result;
use crate::store::Store;
use crate::store::rows::Transaction;
use crate::store::rows::device::{self, DeviceRow};
use crate::store::rows::documents::{self, DocumentKind, DocumentRow};
use crate::store::rows::inbox::{self, InboxRow};
use crate::store::rows::set_aside::{self, SetAsideRow};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    V0_1_3,
    V1_0_1,
    V1_1_0,
    V1_2_0,
}

pub const AGES: [Age; 4] = [Age::V0_1_3, Age::V1_0_1, Age::V1_1_0, Age::V1_2_0];

impl Age {
    pub fn version(self) -> &'static str {
        match self {
            Age::V0_1_3 => "0.1.3",
            Age::V1_0_1 => "1.0.1",
            Age::V1_1_0 => "1.1.0",
            Age::V1_2_0 => "1.2.0",
        }
    }

    /// Tables that take no wrong types (`STRICT`), or any (an empty word).
    fn tables(self, strict: &str) -> String {
        let requested = match self {
            Age::V0_1_3 => "",
            _ => "requested_device_id TEXT,",
        };
        let slices = match self {
            Age::V0_1_3 | Age::V1_0_1 => "",
            _ => ", batch_slice_id TEXT, chunk_id TEXT",
        };
        let (instance, workspace) = match self {
            Age::V1_2_0 => ("instance_url", "workspace_id TEXT NOT NULL,"),
            _ => ("dps_url", ""),
        };
        let tables = format!(
            "CREATE TABLE Messages (id INTEGER PRIMARY KEY AUTOINCREMENT, site_id TEXT,
                 stream_group TEXT, stream TEXT, batch_id TEXT, message_id TEXT,
                 content BLOB NOT NULL, close_option TEXT NOT NULL, compression TEXT NOT NULL {slices}) STRICT;
             CREATE TABLE CloudToDeviceMessages (
                 id INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB NOT NULL) STRICT;
             CREATE TABLE CloudToDeviceProperties (message_id INTEGER NOT NULL, key TEXT NOT NULL,
                 value TEXT NOT NULL, UNIQUE (message_id, key),
                 FOREIGN KEY (message_id) REFERENCES CloudToDeviceMessages (id)) STRICT;
             CREATE TABLE Twins (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL,
                 properties TEXT NOT NULL) STRICT;
             CREATE TABLE ReportedPropertiesUpdates (id INTEGER PRIMARY KEY AUTOINCREMENT,
                 update_type TEXT NOT NULL, patch TEXT NOT NULL) STRICT;
             CREATE TABLE SdkConfiguration (id INTEGER PRIMARY KEY, db_version TEXT NOT NULL,
                 {instance} TEXT NOT NULL, provisioning_token TEXT NOT NULL,
                 registration_token TEXT NOT NULL, rt_expiration TEXT, {requested} {workspace}
                 device_id TEXT NOT NULL) STRICT;"
        );
        match strict {
            "" => [" NOT NULL", " STRICT", " TEXT", " BLOB"]
                .iter()
                .fold(tables, |tables, word| tables.replace(word, "")),
            _ => tables,
        }
    }
}

/// A file of the published SDK in a directory of its own.
pub struct Published {
    directory: tempfile::TempDir,
    pub path: PathBuf,
    pub age: Age,
    pub connection: Connection,
}

impl Published {
    /// Of the device `wheel-1` in the workspace `ws`, registered with `api.example`.
    pub fn new(age: Age) -> Published {
        Published::with_tables(age, "STRICT")
    }

    /// One whose columns take anything, as no version of the published SDK makes it.
    pub fn lax(age: Age) -> Published {
        Published::with_tables(age, "")
    }

    fn with_tables(age: Age, strict: &str) -> Published {
        Published::started_in(tempfile::tempdir().unwrap(), age, strict)
    }

    /// As the published SDK does it when it is started in a directory that has a database of ours.
    pub fn again_in(directory: tempfile::TempDir) -> Published {
        Published::started_in(directory, Age::V1_2_0, "STRICT")
    }

    fn started_in(directory: tempfile::TempDir, age: Age, strict: &str) -> Published {
        let path = directory.path().join("device.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(&age.tables(strict)).unwrap();
        let published = Published {
            directory,
            path,
            age,
            connection,
        };
        let (columns, values) = match age {
            Age::V0_1_3 => (
                "dps_url, device_id",
                "'https://device-provisioning.api.example/', 'ws:wheel-1'",
            ),
            Age::V1_2_0 => (
                "instance_url, requested_device_id, workspace_id, device_id",
                "'https://api.example/', 'wheel-1', 'ws', 'wheel-1'",
            ),
            _ => (
                "dps_url, requested_device_id, device_id",
                "'https://device-provisioning.api.example/', 'wheel-1', 'ws:wheel-1'",
            ),
        };
        published.sql(
            &format!(
                "INSERT INTO SdkConfiguration
                 (id, db_version, provisioning_token, registration_token, rt_expiration, {columns})
                 VALUES (0, ?1, 'pt', 'rt', '2026-12-07T20:23:51.484524753+00:00', {values})"
            ),
            [age.version()],
        );
        published
    }

    pub fn sql(&self, sql: &str, parameters: impl Params) {
        self.connection.execute(sql, parameters).unwrap();
    }

    pub fn message(&self, row: &Row<'_>) {
        let Row {
            site_id,
            stream_group,
            stream,
            batch_id,
            batch_slice_id,
            message_id,
            chunk_id,
            content,
            close_option,
            compression,
        } = row;
        self.sql(
            "INSERT INTO Messages
             (site_id, stream_group, stream, batch_id, message_id, content, close_option, compression)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                site_id, stream_group, stream, batch_id, message_id, content, close_option, compression
            ],
        );
        if self.age >= Age::V1_1_0 {
            self.sql(
                "UPDATE Messages SET batch_slice_id = ?1, chunk_id = ?2 WHERE id = last_insert_rowid()",
                params![batch_slice_id, chunk_id],
            );
        }
    }

    pub fn numbered_messages(&self, count: usize) {
        for number in 0..count {
            let content = number.to_string().into_bytes();
            self.message(&Row {
                content,
                ..Row::default()
            });
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The names of the files beside each other, in order.
    pub fn files(&self) -> Vec<String> {
        files(self.directory())
    }

    /// Ends the published SDK.
    pub fn end(self) -> tempfile::TempDir {
        drop(self.connection);
        self.directory
    }

    /// Starts our library on it.
    pub fn upgrade(self) -> Upgraded {
        drop(self.connection);
        let store = Store::open(&self.path).expect("the file is taken over");
        Upgraded {
            directory: self.directory,
            store,
        }
    }

    /// Why our library does not start on it.
    pub fn refusal(&self) -> String {
        match Store::open(&self.path) {
            Ok(_) => "the file was taken over".to_owned(),
            Err(error) => error.chain().to_string(),
        }
    }
}

pub fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A row of `Messages`.
pub struct Row<'a> {
    pub site_id: Option<&'a str>,
    pub stream_group: Option<&'a str>,
    pub stream: Option<&'a str>,
    pub batch_id: Option<&'a str>,
    pub batch_slice_id: Option<&'a str>,
    pub message_id: Option<&'a str>,
    pub chunk_id: Option<&'a str>,
    pub content: Vec<u8>,
    pub close_option: &'a str,
    pub compression: &'a str,
}

impl Default for Row<'_> {
    fn default() -> Self {
        Row {
            site_id: None,
            stream_group: None,
            stream: None,
            batch_id: None,
            batch_slice_id: None,
            message_id: None,
            chunk_id: None,
            content: b"content".to_vec(),
            close_option: "None",
            compression: "None",
        }
    }
}

impl Row<'_> {
    /// With everything that a Message can have.
    pub fn full() -> Row<'static> {
        Row {
            site_id: Some("site 1"),
            stream_group: Some("g"),
            stream: Some("s"),
            batch_id: Some("b"),
            batch_slice_id: Some("sl"),
            message_id: Some("m"),
            chunk_id: Some("c"),
            ..Row::default()
        }
    }
}

/// What became of it.
pub struct Upgraded {
    directory: tempfile::TempDir,
    pub store: Store,
}

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub properties: String,
    pub upload: bool,
    pub body: Vec<u8>,
}

impl Upgraded {
    pub fn read<T: Send + 'static>(
        &self,
        run: impl FnMut(&mut Transaction) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store.read(run)
    }

    /// Ends our library; the directory stays for the caller to look at until the end of the test.
    pub fn close(self) -> tempfile::TempDir {
        self.store.close();
        self.directory
    }

    pub fn device(&self) -> Option<DeviceRow> {
        self.read(|transaction| device::load(transaction)).unwrap()
    }

    pub fn outbox(&self) -> Vec<Pending> {
        outbox(&self.store)
    }

    pub fn set_aside(&self) -> Vec<SetAsideRow> {
        self.read(|transaction| set_aside::list(transaction))
            .unwrap()
    }

    pub fn twin(&self, kind: DocumentKind) -> Option<DocumentRow> {
        self.read(move |transaction| documents::load(transaction, kind))
            .unwrap()
    }

    pub fn inbox(&self) -> Vec<InboxRow> {
        self.read(|transaction| {
            let (mut rows, mut after) = (Vec::new(), 0);
            while let Some(row) = inbox::next(transaction, after)? {
                after = row.id;
                rows.push(row);
            }
            Ok(rows)
        })
        .unwrap()
    }
}

pub fn outbox(store: &Store) -> Vec<Pending> {
    store
        .read(|transaction| {
            let mut statement = transaction
                .connection()
                .prepare("SELECT properties, upload, body FROM outbox ORDER BY id")?;
            let rows = statement.query_map((), |row| {
                Ok(Pending {
                    properties: row.get(0)?,
                    upload: row.get(1)?,
                    body: row.get(2)?,
                })
            })?;
            rows.collect()
        })
        .unwrap()
}

/// The payloads of the outbox as text.
pub fn texts(store: &Store) -> Vec<String> {
    outbox(store)
        .into_iter()
        .map(|pending| String::from_utf8(pending.body).unwrap())
        .collect()
}
