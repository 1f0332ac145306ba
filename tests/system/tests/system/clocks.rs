//! Clocks that are wrong, jump, or stand still.
//!
//! Here a device runs as a process whose wall clock libfaketime sets, while its Platform's is right: all
//! that asks the system for the time gets the wrong one. What jumps of the clocks do to a client in
//! detail, and suspension, is tested with the clock seam: `src/client/clock_tests.rs`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spotflow_device::{DeviceClient, Error};
use spotflow_emulator::Route;

use crate::support::{DEVICE, LogCapture, PATIENCE, Stage, eventually, sender};

/// Set in the process of the device: its database. The other settings come by these names, too.
const DATABASE: &str = "CLOCKS_DATABASE";
const INSTANCE: &str = "CLOCKS_INSTANCE";
const TOKEN: &str = "CLOCKS_TOKEN";
const CA_FILE: &str = "CLOCKS_CA_FILE";

/// A device as a process of its own, and the file that sets its wall clock.
struct Device {
    process: Child,
    clock: PathBuf,
}

impl Device {
    /// Runs the test of this name once more, as a device. `time` is in libfaketime's words.
    fn start(stage: &Stage, test: &str, time: &str) -> Device {
        let clock = stage.directory.path().join("clock");
        set(&clock, time);
        let process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", test, "--nocapture"])
            .env("LD_PRELOAD", libfaketime())
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .env("FAKETIME_NO_CACHE", "1")
            // The monotonic clocks of a machine are right whatever its wall clock says.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env(DATABASE, stage.database())
            .env(INSTANCE, stage.platform.instance())
            .env(TOKEN, stage.platform.provisioning_token())
            .env(CA_FILE, stage.platform.ca_file())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the device's process starts");
        Device { process, clock }
    }

    /// The lines that the device says up to the one that begins with `last`.
    fn says(&mut self, last: &str) -> Vec<String> {
        let output = self.process.stdout.as_mut().expect("its output");
        let mut lines = Vec::new();
        for line in BufReader::with_capacity(1, output).lines() {
            let line = line.expect("a line of text");
            let is_last = line.starts_with(last);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
        panic!("it ended without {last:?}: {lines:#?}");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It has ended by itself unless the test failed.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn libfaketime() -> PathBuf {
    let libraries = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    libraries
        .flatten()
        .map(|directory| directory.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime, of the package of the same name (see .ci/install)")
}

fn set(clock: &Path, time: &str) {
    let new = clock.with_extension("new");
    let mut file = std::fs::File::create(&new).expect("the clock's file");
    writeln!(file, "{time}").expect("the clock is written");
    std::fs::rename(new, clock).expect("the clock is set");
}

/// What the device's process does: it starts, says why it is offline if it is, sends a Message, and
/// tells what it has logged.
fn run_as_device() {
    let log = LogCapture::install();
    let setting = |name| std::env::var(name).expect(name);
    let client = DeviceClient::builder(setting(TOKEN), setting(DATABASE))
        .instance(setting(INSTANCE))
        .ca_file(setting(CA_FILE))
        .device_id(DEVICE)
        .on_provisioning(|_| println!("\nPROVISIONING"))
        .start()
        .expect("the device starts");
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    println!("\nSTARTED in {}", 1970 + wall.as_secs() / 31_557_600);
    sender(&client)
        .enqueue_message("from the device")
        .expect("it is stored");
    eventually("it is connected, or tells why not", || {
        let status = client.status();
        status.is_connected || status.last_error.is_some()
    });
    let status = client.status();
    if let Some(error @ Error::Tls { .. }) = &status.last_error {
        println!(
            "OFFLINE {error}: {}",
            std::error::Error::source(error).expect("a cause")
        );
    }
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("it is sent");
    let status = client.status();
    let ages = [Some(status.connection_age), status.last_error_age];
    let absurd = ages
        .into_iter()
        .flatten()
        .any(|age| age > Duration::from_secs(3600));
    client.close();
    let of_the_clock = |line: &&str| line.contains("clock");
    let lines = log.lines();
    let count = lines
        .iter()
        .map(|line| line.text.as_str())
        .filter(of_the_clock)
        .count();
    println!("SENT with absurd ages: {absurd}, lines about the clock: {count}");
}

/// A Platform that has approved the device.
fn approved() -> Stage {
    let stage = Stage::new();
    let client = stage.start();
    sender(&client).send_message("approved").unwrap();
    client.close();
    stage
}

#[test]
fn a_process_that_starts_in_1970_connects_when_its_clock_is_set_without_a_restart() {
    if std::env::var_os(DATABASE).is_some() {
        return run_as_device();
    }
    let stage = approved();
    let test =
        "clocks::a_process_that_starts_in_1970_connects_when_its_clock_is_set_without_a_restart";
    let mut device = Device::start(&stage, test, "@1970-01-01 01:00:00");
    let lines = device.says("OFFLINE");
    assert!(lines.contains(&"STARTED in 1970".to_owned()), "{lines:#?}");
    let offline = lines.last().expect("a line");
    assert!(
        offline.contains("is this machine's clock behind?"),
        "{offline}"
    );
    set(&device.clock, "+0");
    let lines = device.says("SENT");
    // Once, however often it tried.
    assert!(
        lines.contains(&"SENT with absurd ages: false, lines about the clock: 1".to_owned()),
        "{lines:#?}"
    );
    assert_eq!(stage.received(), ["approved", "from the device"]);
    assert_eq!(stage.platform.operations().len(), 1, "no further approval");
}

#[test]
fn a_process_that_is_50_years_ahead_uses_its_stored_token() {
    if std::env::var_os(DATABASE).is_some() {
        return run_as_device();
    }
    let stage = approved();
    let test = "clocks::a_process_that_is_50_years_ahead_uses_its_stored_token";
    let mut device = Device::start(&stage, test, "+50y");
    let lines = device.says("SENT");
    let started = lines
        .iter()
        .find_map(|line| line.strip_prefix("STARTED in "));
    let year: u64 = started.and_then(|year| year.parse().ok()).expect("a year");
    assert!(year > 2070, "{year}");
    assert!(
        lines.contains(&"SENT with absurd ages: false, lines about the clock: 0".to_owned()),
        "{lines:#?}"
    );
    assert_eq!(stage.received(), ["approved", "from the device"]);
    assert_eq!(stage.platform.operations().len(), 1, "no further approval");
    assert_eq!(stage.platform.http_request_count(Route::Register), 2);
}
