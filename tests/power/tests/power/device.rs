//! A device that is recorded, and the ledger: at which operation what was promised.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spotflow_device::{
    CloudMessage, Compression, DeviceClient, DeviceClientBuilder, Durability, Message, StreamSender,
};
use spotflow_emulator::Platform;

use crate::disk::{Disk, Fate};
use crate::recorder::{Recording, Watch, files};
use crate::reopening::DATABASE;

/// Never reached unless something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const DEVICE: &str = "power-device";

/// A Message by its message id, which says what is in it.
pub fn name(thread: usize, number: usize, bytes: usize) -> String {
    format!("{thread}-{number}-{bytes}")
}

/// The content of the Message of this name.
pub fn content(name: &str) -> Vec<u8> {
    let bytes = name.rsplit('-').next().and_then(|bytes| bytes.parse().ok());
    let words = name.bytes().chain([b' ']).cycle();
    words.take(bytes.unwrap_or(0)).collect()
}

pub fn message(name: &str) -> Message {
    Message::new(content(name)).message_id(name)
}

/// What happened when: `at` counts the operations recorded before.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Names of Messages, when the call that stores them had returned.
    pub accepted: Vec<(String, usize)>,
    /// In the order of their first arrival, before they are acknowledged.
    pub received: Vec<(String, usize)>,
    /// Numbers in Reported Properties: when the call began, and when it had returned.
    pub wanted: Vec<(u64, usize, usize)>,
    /// Cloud-to-device messages: when they were handed out, and when the application said that they are
    /// processed.
    pub inbox: Vec<(String, usize, usize)>,
    /// When `start` returned for the first time.
    pub registered_at: Option<usize>,
}

type SharedLedger = Arc<Mutex<Ledger>>;

fn lock(ledger: &SharedLedger) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the device works.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub durability: Durability,
    pub window: usize,
}

pub struct Device {
    pub platform: Platform,
    pub directory: tempfile::TempDir,
    pub kind: Kind,
    watch: Arc<Watch>,
    ledger: SharedLedger,
}

impl Device {
    /// Recorded from before the first start.
    pub fn new(kind: Kind) -> Device {
        Device::in_directory(kind, Platform::start().expect("the Platform"), tempfile::tempdir())
    }

    pub fn in_directory(
        kind: Kind,
        platform: Platform,
        directory: std::io::Result<tempfile::TempDir>,
    ) -> Device {
        let directory = directory.expect("a directory");
        let watch = Arc::new(Watch::begin(directory.path()));
        let ledger = SharedLedger::default();
        let (log, clock) = (Arc::clone(&ledger), Arc::clone(&watch));
        // Sees every Message before it is acknowledged, and refuses none.
        platform.close_on_message(move |message| {
            let name = message.message_id.clone().unwrap_or_default();
            let mut ledger = lock(&log);
            if !ledger.received.iter().any(|(known, _)| *known == name) {
                ledger.received.push((name, clock.now()));
            }
            false
        });
        Device {
            platform,
            directory,
            kind,
            watch,
            ledger,
        }
    }

    pub fn options(&self, database: &Path) -> DeviceClientBuilder {
        options(&self.platform, self.kind, database)
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join(DATABASE)
    }

    pub fn start(&self) -> DeviceClient {
        let options = self.options(&self.database()).on_provisioning(|_| {});
        let client = options.start().expect("the device starts");
        let now = self.now();
        lock(&self.ledger).registered_at.get_or_insert(now);
        client
    }

    pub fn now(&self) -> usize {
        self.watch.now()
    }

    /// Stores these in one commit.
    pub fn store(&self, sender: &StreamSender, names: &[String]) {
        let messages = names.iter().map(|name| message(name));
        sender.enqueue_messages(messages).expect("they are stored");
        let mut ledger = lock(&self.ledger);
        let now = self.now();
        let accepted = names.iter().map(|name| (name.clone(), now));
        ledger.accepted.extend(accepted);
    }

    /// Stores so many in one commit each.
    pub fn store_each(&self, client: &DeviceClient, thread: usize, numbers: std::ops::Range<usize>) {
        let sender = sender(client);
        for number in numbers {
            self.store(&sender, &[name(thread, number, 40 + number % 300)]);
        }
    }

    pub fn report(&self, client: &DeviceClient, number: u64) {
        let began = self.now();
        let document = serde_json::json!({ "number": number });
        client.update_reported_properties(&document).expect("it is stored");
        let now = self.now();
        lock(&self.ledger).wanted.push((number, began, now));
    }

    /// Takes a cloud-to-device message and says that it is processed.
    pub fn process_one(&self, client: &DeviceClient) {
        let message = client.receive_cloud_message(PATIENCE).expect("no error");
        let received = self.now();
        let message: CloudMessage = message.expect("a message in time");
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        // Everything between has it stored.
        let completing = self.now();
        lock(&self.ledger).inbox.push((text, received, completing));
        message.complete().expect("it is deleted");
    }

    pub fn offline(&self, offline: bool) {
        self.platform.accept_connections(!offline).expect("the door moves");
        if offline {
            self.platform.close_connections();
        }
    }

    /// Ends the recording. All clients are closed.
    pub fn end(self, title: &str) -> Run {
        let recording = self.watch.end();
        let disk = recording.operations.iter().fold(Disk::new(&recording), |mut disk, operation| {
            disk.apply(operation);
            disk
        });
        let replayed = disk.survive(Fate::Kept, &mut fastrand::Rng::new());
        assert!(
            replayed == files(self.directory.path()),
            "what is on the disk is not what was recorded"
        );
        let ledger = std::mem::take(&mut *lock(&self.ledger));
        self.platform.accept_all_messages();
        let syncs = recording.operations.iter().filter(|it| it.is_sync()).count();
        let mut line = format!("{title}: {} operations", recording.operations.len());
        let counts = (ledger.accepted.len(), ledger.received.len());
        write!(line, ", {syncs} syncs, {} accepted, {} received", counts.0, counts.1).expect("text");
        println!("{line}");
        Run {
            title: title.to_owned(),
            platform: self.platform,
            kind: self.kind,
            recording,
            ledger,
        }
    }
}

/// A recorded run, which is over.
pub struct Run {
    pub title: String,
    pub platform: Platform,
    pub kind: Kind,
    pub recording: Recording,
    pub ledger: Ledger,
}

impl Run {
    pub fn options(&self, database: &Path) -> DeviceClientBuilder {
        options(&self.platform, self.kind, database)
    }
}

fn options(platform: &Platform, kind: Kind, database: &Path) -> DeviceClientBuilder {
    DeviceClient::builder(platform.provisioning_token(), database)
        .instance(platform.instance())
        .ca_file(platform.ca_file())
        .device_id(DEVICE)
        .cloud_messages(true)
        .durability(kind.durability)
        .in_flight_window(kind.window)
}

pub fn sender(client: &DeviceClient) -> StreamSender {
    client
        .create_stream_sender(None, None, Compression::Uncompressed)
        .expect("a sender")
}
