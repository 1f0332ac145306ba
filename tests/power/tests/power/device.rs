//! A device that is recorded, and the ledger: at which operation what was promised.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use spotflow_device::{
    CloudMessage, DeviceClient, DeviceClientBuilder, Durability, Error, Message, Priority,
    SenderOptions, StreamSender, UploadStatus,
};
use spotflow_emulator::Platform;

use crate::disk::{Disk, Fate};
use crate::recorder::{Recording, Watch, files};
use crate::reopening::{DATABASE, Options, write};

/// Never reached unless something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The lifetime of Messages that are kept [briefly](Keeps::Briefly).
pub const BRIEF: Duration = Duration::from_millis(100);
pub const DEVICE: &str = "power-device";

/// A Message by its message id, which says what is in it.
pub fn name(thread: usize, number: usize, bytes: usize) -> String {
    format!("{thread}-{number}-{bytes}")
}

/// Which thread has stored the Message of this name.
pub fn thread(name: &str) -> usize {
    let thread = name.split('-').next().and_then(|it| it.parse().ok());
    thread.expect("a thread's number")
}

/// The content of the Message of this name.
pub fn content(name: &str) -> Vec<u8> {
    let bytes = name.rsplit('-').next().and_then(|bytes| bytes.parse().ok());
    let bytes: usize = bytes.unwrap_or(0);
    let word = format!("{name} ");
    let mut content = word.repeat(bytes.div_ceil(word.len())).into_bytes();
    content.truncate(bytes);
    content
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
    /// Those that somebody was told are expired.
    pub expired: Vec<(String, usize)>,
    /// From when on there was no network any more, or one again.
    pub networks: Vec<(usize, bool)>,
    /// How large contents are whose upload got on, and how much of each was up.
    pub uploaded: Vec<(UploadStatus, usize)>,
    /// Cloud-to-device messages: when they were handed out, and when the application said that they are
    /// processed.
    pub inbox: Vec<(String, usize, usize)>,
    /// When `start` returned for the first time.
    pub registered_at: Option<usize>,
}

impl Ledger {
    /// Whether there was a network at any time between. Without one the turn of no Message comes, so that none expires.
    pub fn was_online(&self, from: usize, to: usize) -> bool {
        let mut networks = self.networks.iter();
        let before = networks.clone().rfind(|(at, _)| *at <= from);
        before.is_none_or(|(_, is_online)| *is_online)
            || networks.any(|(at, is_online)| *is_online && (from..to).contains(at))
    }
}

type SharedLedger = Arc<Mutex<Ledger>>;

fn lock(ledger: &SharedLedger) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stays of the unsent Messages of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeps {
    All,
    /// Those that are not too old.
    Briefly,
    /// The newest, of all threads without a key that keep the latest.
    Latest,
    /// The newest of a key, of all threads that have it.
    LatestOf(&'static str),
}

/// How the device works.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The lane of each thread.
    pub lanes: fn(usize) -> Priority,
    pub keeps: fn(usize) -> Keeps,
    pub durability: Durability,
    pub window: usize,
    pub device_id: &'static str,
}

/// The default.
pub const POWER_SAFE: Kind = Kind {
    lanes: |_| Priority::Normal,
    keeps: |_| Keeps::All,
    durability: Durability::PowerSafe,
    window: 1,
    device_id: DEVICE,
};

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
        Device::in_directory(
            kind,
            Platform::start().expect("the Platform"),
            tempfile::tempdir(),
        )
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

    pub fn database(&self) -> PathBuf {
        self.directory.path().join(DATABASE)
    }

    pub fn start(&self) -> DeviceClient {
        self.start_as(self.kind)
    }

    pub fn try_start(&self) -> Result<DeviceClient, spotflow_device::Error> {
        self.options(self.kind).start()
    }

    fn options(&self, kind: Kind) -> DeviceClientBuilder {
        options(&self.platform, kind, &self.database()).on_provisioning(|_| {})
    }

    pub fn start_as(&self, kind: Kind) -> DeviceClient {
        self.started(self.options(kind))
    }

    pub fn start_with(
        &self,
        with: impl FnOnce(DeviceClientBuilder) -> DeviceClientBuilder,
    ) -> DeviceClient {
        self.started(with(self.options(self.kind)))
    }

    fn started(&self, options: DeviceClientBuilder) -> DeviceClient {
        let client = options.start().expect("the device starts");
        let now = self.now();
        lock(&self.ledger).registered_at.get_or_insert(now);
        client
    }

    pub fn now(&self) -> usize {
        self.watch.now()
    }

    /// Lets calls to its files fail.
    pub fn disk(&self) -> &Watch {
        &self.watch
    }

    fn message(&self, name: &str) -> Message {
        match (self.kind.keeps)(thread(name)) {
            Keeps::LatestOf(key) => message(name).latest_key(key),
            Keeps::All | Keeps::Briefly | Keeps::Latest => message(name),
        }
    }

    /// What stores the Messages of this thread.
    pub fn sender_of_thread(&self, client: &DeviceClient, thread: usize) -> StreamSender {
        let options = SenderOptions::new().priority((self.kind.lanes)(thread));
        let options = match (self.kind.keeps)(thread) {
            Keeps::All => options,
            Keeps::Briefly => options.time_to_live(BRIEF),
            Keeps::Latest => options.keep_latest(),
            // Far more than a test takes.
            Keeps::LatestOf(_) => options.keep_latest().time_to_live(LIFETIME),
        };
        sender_with(client, options)
    }

    /// Stores these in one commit.
    pub fn store(&self, sender: &StreamSender, names: &[String]) {
        let messages = names.iter().map(|name| self.message(name));
        sender.enqueue_messages(messages).expect("they are stored");
        let mut ledger = lock(&self.ledger);
        let now = self.now();
        let accepted = names.iter().map(|name| (name.clone(), now));
        ledger.accepted.extend(accepted);
    }

    /// The call that stores it has returned.
    pub fn accepted(&self, name: String) {
        let mut ledger = lock(&self.ledger);
        let now = self.now();
        ledger.accepted.push((name, now));
    }

    /// The application was told so.
    pub fn uploaded(&self, upload: UploadStatus) {
        let mut ledger = lock(&self.ledger);
        let now = self.now();
        ledger.uploaded.push((upload, now));
    }

    /// Stores so many in one commit each.
    pub fn store_each(
        &self,
        client: &DeviceClient,
        thread: usize,
        numbers: std::ops::Range<usize>,
    ) {
        let sender = self.sender_of_thread(client, thread);
        for number in numbers {
            self.store(&sender, &[name(thread, number, 40 + number % 300)]);
        }
    }

    /// Stores one that is too old when its turn comes, and waits until that is told.
    pub fn send_too_old(&self, client: &DeviceClient, thread: usize, number: usize) {
        let sender = self.sender_of_thread(client, thread);
        let (name, began) = (name(thread, number, 40), Instant::now());
        let sent = sender.send_message_timeout(self.message(&name), PATIENCE);
        assert!(matches!(sent, Err(Error::Expired)), "{sent:?}");
        assert!(began.elapsed() > BRIEF, "before its time");
        let mut ledger = lock(&self.ledger);
        let now = self.now();
        ledger.accepted.push((name.clone(), now));
        ledger.expired.push((name, now));
    }

    /// All that live briefly, and are not received, are told as expired: the status counts them.
    pub fn all_brief_are_told(&self) {
        let mut ledger = lock(&self.ledger);
        let (now, ledger) = (self.now(), &mut *ledger);
        for (name, _) in &ledger.accepted {
            let is_known = |of: &[(String, usize)]| of.iter().any(|(known, _)| known == name);
            let is_brief = (self.kind.keeps)(thread(name)) == Keeps::Briefly;
            if is_brief && !is_known(&ledger.received) && !is_known(&ledger.expired) {
                ledger.expired.push((name.clone(), now));
            }
        }
    }

    pub fn report(&self, client: &DeviceClient, number: u64) {
        let began = self.now();
        let document = serde_json::json!({ "number": number });
        client
            .update_reported_properties(&document)
            .expect("it is stored");
        let now = self.now();
        lock(&self.ledger).wanted.push((number, began, now));
    }

    /// Takes a cloud-to-device message, processes it, and says so. In between it is stored.
    pub fn process_one(&self, client: &DeviceClient, process: impl FnOnce()) {
        let message = client.receive_cloud_message(PATIENCE).expect("no error");
        let message: CloudMessage = message.expect("a message in time");
        let received = self.now();
        process();
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        let completing = self.now();
        lock(&self.ledger).inbox.push((text, received, completing));
        message.complete().expect("it is deleted");
    }

    pub fn offline(&self, offline: bool) {
        let now = self.now();
        lock(&self.ledger).networks.push((now, !offline));
        self.platform
            .accept_connections(!offline)
            .expect("the door moves");
        if offline {
            self.platform.close_connections();
        }
    }

    /// Takes the network away from a device that is online. A connection that is still being made would pass the
    /// closed door.
    pub fn cut_off(&self) {
        let connected = |wanted| {
            self.platform
                .wait_for_connected(self.kind.device_id, wanted, PATIENCE)
        };
        connected(true).expect("the device connects");
        self.offline(true);
        connected(false).expect("the device is cut off");
    }

    /// Ends the recording. All clients are closed.
    pub fn end(self, title: &str) -> Run {
        let recording = self.watch.end();
        let ledger = std::mem::take(&mut *lock(&self.ledger));
        self.platform.accept_all_messages();
        let syncs = recording
            .operations
            .iter()
            .filter(|it| it.is_sync())
            .count();
        let mut line = format!("{title}: {} operations", recording.operations.len());
        let counts = (ledger.accepted.len(), ledger.received.len());
        write!(
            line,
            ", {syncs} syncs, {} accepted, {} received",
            counts.0, counts.1
        )
        .expect("text");
        println!("{line}");
        let run = Run {
            title: title.to_owned(),
            platform: self.platform,
            kind: self.kind,
            recording,
            ledger,
        };
        let disk = run.disk(run.recording.operations.len());
        let replayed = disk.survive(Fate::Kept, &mut fastrand::Rng::new());
        let found = files(self.directory.path());
        let names = found.keys().chain(replayed.keys());
        let others: BTreeSet<&String> = names
            .filter(|name| found.get(*name) != replayed.get(*name))
            .collect();
        assert!(others.is_empty(), "not as recorded: {others:?}");
        run
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

impl Options for Run {
    fn options(&self, database: &Path) -> DeviceClientBuilder {
        options(&self.platform, self.kind, database)
    }
}

impl Run {
    /// The disk before this operation.
    pub fn disk(&self, at: usize) -> Disk {
        let mut disk = Disk::new(&self.recording);
        self.recording.operations[..at]
            .iter()
            .for_each(|operation| disk.apply(operation));
        disk
    }

    /// A run that is killed at this operation and goes on with a second one.
    pub fn killed(mut self, at: usize, go_on: impl FnOnce(Device) -> Run) -> Run {
        let disk = self.disk(at);
        let directory = write(&disk.survive(Fate::Kept, &mut fastrand::Rng::new()));
        let then = go_on(Device::in_directory(
            self.kind,
            self.platform,
            Ok(directory),
        ));
        self.recording.operations.truncate(at);
        self.recording
            .operations
            .extend(disk.goes_on(&then.recording));
        let Ledger {
            accepted, received, ..
        } = &mut self.ledger;
        for (mine, later) in [
            (accepted, then.ledger.accepted),
            (received, then.ledger.received),
        ] {
            mine.retain(|(_, when)| *when <= at);
            for (name, when) in later {
                if !mine.iter().any(|(known, _)| *known == name) {
                    mine.push((name, when + at));
                }
            }
        }
        Run {
            platform: then.platform,
            ..self
        }
    }
}

pub fn options(platform: &Platform, kind: Kind, database: &Path) -> DeviceClientBuilder {
    DeviceClient::builder(platform.provisioning_token(), database)
        .instance(platform.instance())
        .ca_file(platform.ca_file())
        .device_id(kind.device_id)
        .cloud_messages(true)
        .durability(kind.durability)
        .in_flight_window(kind.window)
}

pub fn sender(client: &DeviceClient) -> StreamSender {
    sender_of(client, Priority::Normal)
}

pub fn sender_of(client: &DeviceClient, priority: Priority) -> StreamSender {
    sender_with(client, SenderOptions::new().priority(priority))
}

fn sender_with(client: &DeviceClient, options: SenderOptions) -> StreamSender {
    client
        .create_stream_sender_with(None, None, options)
        .expect("a sender")
}
