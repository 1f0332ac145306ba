//! Starts the library on what a power cut left, without a network, and reads what it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use spotflow_device::{Compression, DeviceClient, DeviceClientBuilder, Error};

use crate::content::{contents, in_chunks};
use crate::device::{content, message};
use crate::recorder::{Image, files};

pub const DATABASE: &str = "device.db";
/// In a Message that the reopening itself stores.
const PROBE: &str = "probe-0-5";
/// A start that has all it needs does not take longer without a network.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Where images are put: memory, if there is such a file system, as nothing there has to last.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory)
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}

pub fn write(image: &Image) -> tempfile::TempDir {
    let directory = scratch();
    for (name, bytes) in image {
        write_private(&directory.path().join(name), bytes).expect("a file");
    }
    directory
}

/// With the rights that the device gives its files, which the recording does not have.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

/// What the database has.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Found {
    /// The names of pending Messages, by id.
    pub pending: BTreeMap<i64, String>,
    pub set_aside: BTreeMap<i64, String>,
    pub inbox: BTreeMap<i64, String>,
    /// How many blocks of a Message's content are noted to be up.
    pub blocks_up: BTreeMap<i64, usize>,
    /// Messages whose content is up.
    pub links: BTreeSet<i64>,
    /// The number in the Reported Properties that the application wants.
    pub wanted: Option<u64>,
    pub has_token: bool,
    /// The id of the Message that the reopening itself has stored.
    pub probe: Option<i64>,
    /// What stands in an id for the lane that was sent from last.
    pub sent_from: i64,
}

/// What stands in an id for the lane, and the number in it.
pub fn lane(id: i64) -> i64 {
    id >> 56
}

/// The number of a Message: ids of a lane are in their order, numbers of all.
pub fn number(id: i64) -> i64 {
    id & ((1 << 56) - 1)
}

/// The lanes as they stand in ids, the highest first.
const LANES: [i64; 5] = [4, 3, 0, 2, 1];

/// The Messages in the order in which they are sent behind a start: one of the lane that was sent from last, then lane
/// after lane.
pub fn in_order(pending: &BTreeMap<i64, String>, sent_from: i64) -> Vec<String> {
    let mut ids: Vec<i64> = pending.keys().copied().collect();
    let place = |id: i64| LANES.iter().position(|it| *it == lane(id));
    let first = ids.iter().copied().find(|id| lane(*id) == sent_from);
    ids.sort_by_key(|id| (Some(*id) != first, place(*id), *id));
    ids.iter().map(|id| pending[id].clone()).collect()
}

/// Whose database it is.
pub trait Options {
    fn options(&self, database: &Path) -> DeviceClientBuilder;
}

impl<F: Fn(&Path) -> DeviceClientBuilder> Options for F {
    fn options(&self, database: &Path) -> DeviceClientBuilder {
        self(database)
    }
}

/// How the client is started on an image.
pub struct Start<'a> {
    pub options: &'a dyn Options,
    /// Whether the device is registered, so that the start must succeed.
    pub is_registered: bool,
    /// Whether to store a Message, too, once it has started.
    pub probes: bool,
}

impl Start<'_> {
    /// Starts the library on the directory and ends it; returns what is stored then. Panics if it does
    /// not start, finds damage, asks for an approval, or leaves something beside its files.
    pub fn on(&self, directory: &Path) -> Found {
        let database = directory.join(DATABASE);
        // Behind a power cut the system has another boot id than the one in there.
        let lock = std::fs::remove_file(directory.join("device.db-lock"));
        assert!(lock.is_ok() || !directory.join("device.db-lock").exists());
        let log = Complaints::about(directory);
        let asked = Arc::new(AtomicBool::new(false));
        let (asks, began) = (Arc::clone(&asked), Instant::now());
        let limit = match self.is_registered {
            true => START_LIMIT,
            false => Duration::ZERO,
        };
        let started = self
            .options
            .options(&database)
            .on_provisioning(move |_| asks.store(true, Ordering::Release))
            .interrupt_check(move || began.elapsed() >= limit)
            .start();
        match started {
            Ok(client) => self.look(client, &database),
            Err(Error::Interrupted) if !self.is_registered => {}
            Err(error) => panic!("it does not start: {error:?}"),
        }
        assert!(!asked.load(Ordering::Acquire), "it asks for an approval");
        assert_eq!(log.lines(), [""; 0]);
        let known = [
            DATABASE,
            "device.db-lock",
            "device.db-sent",
            "device.db-wal",
        ];
        for (name, bytes) in files(directory) {
            // SQLite leaves a journal that is void; ours would have no rows in it.
            let is_void = name == "device.db-journal" && bytes.first().is_none_or(|it| *it == 0);
            assert!(
                is_void || known.contains(&name.as_str()),
                "{name} is left behind"
            );
        }
        if self.is_registered {
            self.clear(&database);
        }
        let mut found = read(&database);
        if self.probes {
            let probe = found.pending.iter().find(|(_, name)| *name == PROBE);
            let id = *probe.expect("the probe is stored").0;
            found.pending.remove(&id);
            found.probe = Some(id);
            let others = found.pending.keys().chain(found.set_aside.keys());
            let mut others = others.chain(found.inbox.keys());
            let is_older = |other: &i64| number(*other) < number(id);
            assert!(
                others.all(is_older),
                "the newest Message has the highest number"
            );
        }
        found
    }

    /// Closing does not wait until content without a Message is cleared away: then the next start goes on with it.
    fn clear(&self, database: &Path) {
        let began = Instant::now();
        loop {
            let (all, of_messages) = contents(database);
            if all == of_messages {
                return;
            }
            assert!(began.elapsed() < START_LIMIT, "{all} contents stay");
            let client = self.options.options(database).start();
            client.expect("it starts again").close();
        }
    }

    fn look(&self, client: DeviceClient, database: &Path) {
        let status = client.status();
        let pending = client.pending_messages_count();
        if self.probes {
            let sender = client.create_stream_sender(None, None, Compression::Uncompressed);
            sender
                .and_then(|sender| sender.enqueue_message(message(PROBE)))
                .expect("a Message is stored");
        }
        client.close();
        let found = read(database);
        assert_eq!(
            (pending + u64::from(self.probes), status.set_aside_messages),
            (found.pending.len() as u64, found.set_aside.len() as u64),
            "the counts are of what is there"
        );
    }
}

/// The Messages that the sent log beside the database notes: entries of an id and its seal, 8 bytes each.
pub fn noted(database: &Path) -> Vec<i64> {
    let Ok(log) = std::fs::read(database.with_extension("db-sent")) else {
        return Vec::new();
    };
    let connection = Connection::open(database).expect("the database opens");
    let sql = "SELECT value FROM counter WHERE name = 'sent_generation'";
    let generation: i64 = connection
        .query_row(sql, (), |row| row.get(0))
        .expect("a generation");
    let (words, _) = log.as_chunks::<8>();
    let entries = words.chunks_exact(2).map(|entry| {
        let [id, seal] = [entry[0], entry[1]].map(i64::from_le_bytes);
        let factor = 0x9e37_79b9_7f4a_7c15_u64.cast_signed();
        (seal == (id ^ generation).wrapping_mul(factor)).then_some(id)
    });
    entries.map_while(|id| id).collect()
}

/// Reads a database of ours that nobody has open, and checks that it is whole.
pub fn read(database: &Path) -> Found {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .expect("the database opens");
    let problems: String = connection
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .expect("it can be checked");
    assert_eq!(problems, "ok");
    let mut found = Found::default();
    if !connection.table_exists(None, "outbox").expect("a schema") {
        return found;
    }
    let rows = |table: &str, is_in_chunks: &str| {
        let sql = format!("SELECT id, properties, body, {is_in_chunks} FROM {table} ORDER BY id");
        let mut statement = connection.prepare(&sql).expect("the table");
        let rows = statement.query_map((), |row| {
            let body: Vec<u8> = row.get_ref(2)?.as_bytes()?.to_owned();
            let body = match row.get(3)? {
                true => in_chunks(&connection, &body),
                false => body,
            };
            Ok((row.get(0)?, row.get(1)?, body))
        });
        rows.and_then(Iterator::collect::<rusqlite::Result<Vec<Row>>>)
            .expect("rows")
    };
    let pending = rows("outbox", "upload = 2");
    let links = pending.iter().filter(|(.., body)| body.starts_with(LINK));
    found.links = links.map(|(id, ..)| *id).collect();
    found.pending = pending.into_iter().map(named).collect();
    found.set_aside = rows("set_aside", "upload = 2")
        .into_iter()
        .map(named)
        .collect();
    let text = |(id, _, body)| (id, String::from_utf8(body).expect("text"));
    found.inbox = rows("inbox", "0").into_iter().map(text).collect();
    let twin = |kind: &str| -> Option<serde_json::Value> {
        let sql = "SELECT text FROM document WHERE kind = ?1";
        let document: String = connection.query_row(sql, [kind], |row| row.get(0)).ok()?;
        Some(serde_json::from_str(&document).expect("JSON"))
    };
    found.wanted = twin("wanted").and_then(|document| document["number"].as_u64());
    let blocks_up = twin("blocks");
    for up in blocks_up
        .iter()
        .filter_map(serde_json::Value::as_array)
        .flatten()
    {
        let (id, count) = (up["message"].as_i64(), up["count"].as_u64());
        let (id, count) = id.zip(count).expect("numbers");
        found.blocks_up.insert(id, count as usize);
    }
    // Others are read anew from the hub; what is there must be whole.
    for kind in ["desired", "reported"] {
        twin(kind);
    }
    let sql = "SELECT value FROM counter WHERE name = 'lane'";
    found.sent_from = connection.query_row(sql, (), |row| row.get(0)).unwrap_or(0);
    let sql = "SELECT registration_token IS NOT NULL AND workspace_id IS NOT NULL FROM device";
    found.has_token = connection
        .query_row(sql, (), |row| row.get(0))
        .unwrap_or(false);
    found
}

const LINK: &[u8] = br#"{"link":"#;

/// Id, properties and body.
type Row = (i64, String, Vec<u8>);

/// A Message by its name, if its content is what it was.
fn named((id, properties, body): Row) -> (i64, String) {
    // Behind the bag stands what the device alone needs to know.
    let bag = properties.lines().next().unwrap_or_default();
    let name = bag.split('&').find_map(|it| it.strip_prefix("message-id="));
    let name = name.expect("a message id").to_owned();
    let is_link = body.starts_with(LINK) && content(&name).len() > 250_000;
    assert!(is_link || body == content(&name), "{name} has changed");
    (id, name)
}

/// What the library complains about, by the directory that it is about.
struct Complaints(PathBuf);

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn && metadata.target().starts_with("spotflow_device")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{}: {}", record.level(), record.args());
            LINES
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    }

    fn flush(&self) {}
}

impl Complaints {
    fn about(directory: &Path) -> Complaints {
        // Fails if it is installed already.
        if log::set_logger(&Logger).is_ok() {
            log::set_max_level(log::LevelFilter::Warn);
        }
        Complaints(directory.to_owned())
    }

    /// Every line about a database names it.
    fn lines(&self) -> Vec<String> {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.0.to_str().expect("a plain path");
        let about = lines.extract_if(.., |line| line.contains(path));
        about.collect()
    }
}
