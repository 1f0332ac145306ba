//! A device and its Platform for a test.

#[path = "leaks.rs"]
pub mod leaks;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use spotflow_device::{Compression, DeviceClient, DeviceClientBuilder, StreamSender};
use spotflow_emulator::{Builder, Platform};

use leaks::{Leaks, Text};

/// The deadline for whatever should come promptly: never reached unless something is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The Device ID that tests ask for.
pub const DEVICE: &str = "test-device";

/// A hundred devices at once, each with its Platform, need more files than the 1,024 that a process is given unless it
/// asks for more.
#[cfg(unix)]
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::sync::Once;

    const FILES: u64 = 8192;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|now| now < FILES) {
            let current = Some(limit.maximum.map_or(FILES, |most| most.min(FILES)));
            setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("more files");
        }
    });
}

#[cfg(not(unix))]
fn allow_many_files() {}

/// An embedded Platform, and a directory for the database. At its end nothing of what the process
/// logged since its start may hold one of the Platform's secrets.
pub struct Stage {
    pub platform: Arc<Platform>,
    pub directory: tempfile::TempDir,
    #[allow(dead_code, reason = "looks at the log when it is dropped")]
    pub log: WatchedLog,
}

impl Stage {
    pub fn new() -> Stage {
        Stage::with(Platform::builder())
    }

    pub fn with(builder: Builder) -> Stage {
        allow_many_files();
        let logged_before = LogCapture::install().0.lock().len();
        let platform = Arc::new(builder.start().expect("the embedded Platform starts"));
        Stage {
            log: WatchedLog {
                logged_before,
                platform: Arc::clone(&platform),
            },
            platform,
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join("device.db")
    }

    /// The options of the test's device.
    pub fn device(&self) -> DeviceClientBuilder {
        self.device_on(&self.database())
    }

    /// The same device, with another database.
    pub fn device_on(&self, database: &Path) -> DeviceClientBuilder {
        DeviceClient::builder(self.platform.provisioning_token(), database)
            .instance(self.platform.instance())
            .ca_file(self.platform.ca_file())
            .device_id(DEVICE)
            .on_provisioning(|_| {})
    }

    /// The test's device, started.
    pub fn start(&self) -> DeviceClient {
        self.device().start().expect("the device starts")
    }

    /// Takes the network away from a device that is connected. It has to be: a connection that is
    /// still being made would pass the closed door.
    pub fn cut_off(&self) {
        let connected = |wanted| self.platform.wait_for_connected(DEVICE, wanted, PATIENCE);
        connected(true).expect("the device connects");
        self.platform
            .accept_connections(false)
            .expect("the door closes");
        self.platform.close_connections();
        connected(false).expect("the device is cut off");
    }

    /// Whether methods reach the device.
    pub fn is_callable(&self) -> bool {
        let filters = self.platform.subscriptions(DEVICE);
        filters
            .iter()
            .any(|filter| filter.contains("$iothub/methods"))
    }

    /// Waits until the device is connected, and has subscribed to methods.
    pub fn wait_callable(&self) {
        self.platform
            .wait_for_connected(DEVICE, true, PATIENCE)
            .expect("the device connects");
        eventually("the device subscribes to methods", || self.is_callable());
    }

    /// The payloads that the Platform received, as texts.
    pub fn received(&self) -> Vec<String> {
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        let messages = self.platform.messages();
        messages
            .iter()
            .map(|message| text(&message.payload))
            .collect()
    }
}

/// What the process logs while there is a Platform.
pub struct WatchedLog {
    logged_before: usize,
    platform: Arc<Platform>,
}

impl WatchedLog {
    /// What holds a secret of the Platform.
    pub fn leaks(&self) -> Vec<String> {
        let lines = LogCapture::install().0.lock()[self.logged_before..].to_vec();
        let text = |line: LogLine| Text {
            source: line.target,
            text: line.text,
        };
        let texts: Vec<Text> = lines.into_iter().map(text).collect();
        Leaks::of(self.platform.secrets()).find(&texts)
    }
}

impl Drop for WatchedLog {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let leaks = self.leaks();
            assert!(leaks.is_empty(), "secrets were logged: {leaks:#?}");
        }
    }
}

/// A sender to the default Stream, without compression.
pub fn sender(client: &DeviceClient) -> StreamSender {
    client
        .create_stream_sender(None, None, Compression::Uncompressed)
        .expect("a sender for the default Stream")
}

/// The answer to a registration that names another hub, with a password that is valid for so long.
pub fn registration(hub: &str, hub_device: &str, lifetime: Duration) -> String {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + lifetime;
    let sas = format!(
        "SharedAccessSignature sr=hub&sig=c2VjcmV0&se={}",
        expires.as_secs()
    );
    serde_json::json!({
        "connectionString": format!("HostName={hub};DeviceId={hub_device};SharedAccessSignature={sas}"),
        "iotHubHostName": hub,
        "connectionStringType": "SharedAccessSignature",
    })
    .to_string()
}

/// A list that another thread fills, and a test waits for.
pub struct Seen<T>(Mutex<Vec<T>>, Condvar);

impl<T: Clone> Seen<T> {
    pub fn new() -> std::sync::Arc<Seen<T>> {
        std::sync::Arc::new(Seen(Mutex::new(Vec::new()), Condvar::new()))
    }

    pub fn push(&self, item: T) {
        self.0.lock().push(item);
        self.1.notify_all();
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().clone()
    }

    /// Waits until an item fulfils `wanted`, and returns it.
    pub fn wait(&self, wanted: impl Fn(&T) -> bool) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut items = self.0.lock();
        loop {
            if let Some(item) = items.iter().find(|item| wanted(item)) {
                return item.clone();
            }
            let timed_out = self.1.wait_until(&mut items, deadline).timed_out();
            assert!(!timed_out, "it did not come within {PATIENCE:?}");
        }
    }
}

/// Waits until `condition` holds, by asking every few milliseconds: for what nothing signals.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    within(PATIENCE, what, condition);
}

/// The same for what has a limit of its own.
pub fn within(limit: Duration, what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Set in the process that [`in_a_process_of_its_own`] starts.
const ALONE: &str = "SPOTFLOW_TEST_ALONE";
const DONE: &str = "ran in a process of its own";

/// Runs the body of the test of this name (as the test harness calls it) in a process in which
/// nothing else runs: for what concerns the whole process, such as its threads and its log.
pub fn in_a_process_of_its_own(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return run_alone(body);
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let command = command.args(["--exact", test, "--nocapture"]);
    start_alone(command.env(ALONE, "1"), "a process");
}

/// Runs the body of a test in the process that [`start_alone`] has started for it.
pub fn run_alone(body: impl FnOnce()) {
    body();
    println!("{DONE}");
}

/// Runs a command that runs a test, alone; `given` names what it has to itself, and what that needs.
pub fn start_alone(command: &mut Command, given: &str) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("a test cannot have {given}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    // A wrong name runs no test at all, which is a success, too.
    let passed = output.status.success() && stdout.contains(DONE);
    assert!(
        passed,
        "{}: either the test failed, or it cannot have {given}\n{stdout}\n{stderr}",
        output.status
    );
    print!("{stdout}");
}

/// A line of the log.
#[derive(Debug, Clone)]
pub struct LogLine {
    pub level: log::Level,
    pub target: String,
    pub text: String,
}

/// All that the process logs, at every level; of ureq's, as users are told, up to debug level.
pub struct LogCapture(Mutex<Vec<LogLine>>);

/// What is looked at above that, for a control.
static TRACED: Mutex<Option<&'static str>> = Mutex::new(None);

impl LogCapture {
    /// Captures from now on; the same for all who ask.
    pub fn install() -> &'static LogCapture {
        static CAPTURE: LogCapture = LogCapture(Mutex::new(Vec::new()));
        // Fails if it is installed already.
        if log::set_logger(&CAPTURE).is_ok() {
            log::set_max_level(log::LevelFilter::Trace);
        }
        &CAPTURE
    }

    pub fn lines(&self) -> Vec<LogLine> {
        self.0.lock().clone()
    }

    /// Looks at ureq's target of this name at trace level, too: in a process of its own.
    #[allow(dead_code, reason = "not every program of tests has the control")]
    pub fn trace(&self, target: Option<&'static str>) {
        *TRACED.lock() = target;
    }
}

impl log::Log for LogCapture {
    /// The TLS library dumps each handshake, before any secret is sent: looked at only in a process that
    /// is for one test, as hundreds of handshakes a minute would be gigabytes.
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let target = metadata.target();
        if target.starts_with("ureq") && metadata.level() == log::Level::Trace {
            return TRACED
                .lock()
                .is_some_and(|traced| target.starts_with(traced));
        }
        !target.starts_with("rustls") || std::env::var_os(ALONE).is_some()
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        self.0.lock().push(LogLine {
            level: record.level(),
            target: record.target().to_owned(),
            text: record.args().to_string(),
        });
    }

    fn flush(&self) {}
}
