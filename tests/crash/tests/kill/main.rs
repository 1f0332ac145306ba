//! Stored means stored: a device is killed at seeded moments while it stores and sends, and what it
//! accepted is held against what the Platform received.
//!
//! `SEED` repeats a run; `KILLS` sets how often the device is killed (200 unless set); `SLOWER` how much more time
//! it has each time than on a usual machine, for an emulated one (1 unless set).

mod reconciliation;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use reconciliation::{check_commands, check_messages, check_newest, check_reported};
use spotflow_emulator::{AckMode, CutPoint, Platform, Route};

const PATIENCE: Duration = Duration::from_secs(60);
const DEVICE: &str = "crash-device";
/// Stored before under another identity, and so set aside throughout.
const SET_ASIDE: usize = 5;

struct Run {
    platform: Platform,
    directory: tempfile::TempDir,
    window: usize,
    /// As the device's argument.
    lanes: &'static str,
    random: Rng,
    /// How many messages the cloud sent.
    commands: u64,
    /// Where the device was when it was killed, and how often.
    killed_while: BTreeMap<String, usize>,
    /// What the starts found pending.
    pending: Vec<u64>,
}

impl Run {
    fn start(&self, mode: &str, token: &str, durability: &str, time: Duration) -> Child {
        Command::new(env!("CARGO_BIN_EXE_spotflow-crash"))
            .args([mode, &self.platform.instance(), token])
            .arg(self.platform.ca_file())
            .args([self.directory.path().join("device.db"), self.ledger()])
            .args([&self.window.to_string(), durability, self.lanes])
            .arg(time.as_millis().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the device starts")
    }

    fn ledger(&self) -> PathBuf {
        self.directory.path().join("ledger")
    }

    /// Leaves Messages of another Workspace, which no later run may send or forget.
    fn store_as_another(&self) {
        let token = self.platform.add_provisioning_token(None, Some("another"));
        let database = self.directory.path().join("device.db");
        let client = spotflow_device::DeviceClient::builder(token, database)
            .instance(self.platform.instance())
            .ca_file(self.platform.ca_file())
            .device_id("another-device")
            .on_provisioning(|_| {})
            .start()
            .expect("the device starts");
        self.platform.acknowledge(AckMode::Withhold);
        let sender = client
            .create_stream_sender(None, None, spotflow_device::Compression::Uncompressed)
            .expect("a sender");
        let texts = (0..SET_ASIDE).map(|i| format!("of another {i}"));
        sender.enqueue_messages(texts).expect("they are stored");
        client.close();
    }

    /// The hub acknowledges, delays, withholds and cuts; the rest of the Platform fails now and then.
    fn misbehave(&mut self) {
        let (platform, random) = (&self.platform, &mut self.random);
        platform.acknowledge(match random.u8(0..6) {
            0 => AckMode::After(Duration::from_millis(random.u64(1..20))),
            1 => AckMode::Withhold,
            _ => AckMode::Immediately,
        });
        if random.bool() {
            let point = match random.bool() {
                true => CutPoint::BeforeAck,
                false => CutPoint::AfterAck,
            };
            platform.cut_after_messages(random.u64(1..50), point);
        }
        // The device ends an upload that a kill left open, unless it was killed before it had stored which
        // one the hub has opened: rare, but there are ten places only, and many kills.
        if random.u8(0..50) == 0 {
            platform.expire_uploads();
        }
        match random.u8(0..12) {
            0 => platform.forget_sessions(),
            1 => platform.refuse_connects(random.u8(3..=5), Some(1)),
            2 => platform.twin_status(503, 1),
            3 => platform.http_status(Route::FileUpload, 503, None, 1),
            4 => platform.http_status(Route::Register, 503, None, 1),
            // It has to be provisioned again. There is no device before the first start.
            5 => platform.revoke_registration_tokens(DEVICE).unwrap_or(()),
            _ => {}
        }
        for _ in 0..random.u8(0..3) {
            if platform.cloud_messages_waiting(DEVICE) < 40 {
                let text = format!("command {}", self.commands);
                if platform.send_cloud_message(DEVICE, text, &[]).is_ok() {
                    self.commands += 1;
                }
            }
        }
    }

    fn kill_one(&mut self) {
        self.misbehave();
        let token = self.platform.provisioning_token();
        let mode = match self.random.u8(0..10) {
            0 | 1 => "close",
            2 => "drain",
            _ => "run",
        };
        let durability = match self.random.bool() {
            true => "kill-safe",
            false => "power-safe",
        };
        let time = Duration::from_millis(self.random.u64(0..60)) * number("SLOWER", 1);
        let mut child = self.start(mode, &token, durability, time);
        let mut output = child.stdout.take().expect("piped");
        let mut told = Vec::new();
        // Some are killed before they have started.
        if self.random.u8(0..8) > 0 {
            let mut byte = [0];
            let has_started = |told: &[u8]| {
                let text = String::from_utf8_lossy(told);
                told.ends_with(b"\n") && text.lines().any(|line| line.starts_with("started "))
            };
            while !has_started(&told) && output.read(&mut byte).is_ok_and(|count| count > 0) {
                told.push(byte[0]);
            }
        }
        let moment = Duration::from_micros(self.random.u64(0..120_000)) * number("SLOWER", 1);
        std::thread::sleep(moment);
        child.kill().expect("it is ours");
        child.wait().expect("it has ended");
        output.read_to_end(&mut told).expect("text");
        self.note(mode, &String::from_utf8_lossy(&told));
    }

    fn note(&mut self, mode: &str, told: &str) {
        let mut place = match told.is_empty() {
            true => "starting",
            // Nothing else is told before the start is done.
            false => "provisioning",
        };
        for line in told.lines() {
            place = match line.split_once(' ') {
                Some(("started", pending)) => {
                    self.pending.push(pending.parse().expect("a number"));
                    if mode == "drain" {
                        "draining"
                    } else {
                        "storing"
                    }
                }
                None if line == "closing" => "closing",
                None if line == "closed" => "ended",
                _ => place,
            };
        }
        *self.killed_while.entry(place.to_owned()).or_default() += 1;
    }

    /// Lets the device send, report and process all that is left; returns how many it has set aside.
    fn drain(&self) -> usize {
        self.platform.acknowledge(AckMode::Immediately);
        self.platform.clear_http_faults();
        let cloud_is_done = || {
            self.platform
                .send_cloud_message(DEVICE, "last", &[])
                .is_ok()
        };
        assert!(cloud_is_done(), "there is room for the last one");
        let token = self.platform.provisioning_token();
        // A cut that is still planned would come in the middle of the drain: that is fine, too.
        let child = self.start("drain", &token, "power-safe", Duration::ZERO);
        let output = child.wait_with_output().expect("it ends");
        assert!(
            output.status.success(),
            "the last run drains: {}",
            output.status
        );
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let set_aside = told
            .lines()
            .find_map(|line| line.strip_prefix("set aside "));
        set_aside.expect("it tells").parse().expect("a number")
    }
}

fn run(kills: usize, window: usize) -> Run {
    let seed = number("SEED", fastrand::u64(..));
    println!("SEED={seed} KILLS={kills} window {window}");
    let run = Run {
        platform: Platform::start().expect("the Platform starts"),
        directory: tempfile::tempdir().expect("a directory"),
        window,
        lanes: "one",
        random: Rng::with_seed(seed),
        commands: 0,
        killed_while: BTreeMap::new(),
        pending: Vec::new(),
    };
    std::fs::create_dir(run.ledger()).expect("the ledger's directory");
    run.store_as_another();
    run.platform.acknowledge(AckMode::Immediately);
    run
}

fn kill_often(kills: usize, window: usize) {
    kill(run(kills, window), kills);
}

fn kill(mut run: Run, kills: usize) {
    (0..kills).for_each(|_| run.kill_one());
    let set_aside = run.drain();

    println!("kills:  {kills}, while {:?}", run.killed_while);
    let starts = run.pending.len().max(1) as u64;
    println!(
        "        {} of {starts} starts found Messages pending, {} on average, {:?} at most",
        run.pending.iter().filter(|count| **count > 0).count(),
        run.pending.iter().sum::<u64>() / starts,
        run.pending.iter().max(),
    );
    let accepted = check_messages(&run);
    check_newest(&run);
    check_commands(&run);
    check_reported(&run);
    run.platform
        .wait_for_cloud_messages(DEVICE, 0, PATIENCE)
        .expect("all are acknowledged");
    assert_eq!(
        set_aside, SET_ASIDE,
        "set aside before the first kill, and still"
    );
    assert!(accepted > kills, "the device has hardly run");
}

/// What the environment sets.
fn number<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    let set = std::env::var(name).ok();
    set.and_then(|set| set.parse().ok()).unwrap_or(otherwise)
}

fn kills() -> usize {
    number("KILLS", 200)
}

#[test]
fn what_was_accepted_survives_a_kill_and_repeats_only_directly_after_the_original() {
    kill_often(kills() * 3 / 4, 1);
}

#[test]
fn with_lanes_mixed_a_kill_repeats_only_directly_after_the_original() {
    let kills = kills() / 2;
    let run = Run {
        lanes: "of-threads",
        ..run(kills, 1)
    };
    kill(run, kills);
}

#[test]
fn with_a_window_a_kill_repeats_at_most_the_window() {
    kill_often(kills() / 4, 8);
}

/// Reads the device's output until it says this; whether it did before its end.
fn says(output: &mut impl std::io::BufRead, word: &str) -> bool {
    let mut line = String::new();
    while output.read_line(&mut line).is_ok_and(|count| count > 0) {
        if std::mem::take(&mut line).trim_end() == word {
            return true;
        }
    }
    false
}

#[test]
fn a_kill_while_a_large_backlog_drains_and_its_file_shrinks_loses_nothing() {
    let kills = kills() / 5;
    let mut run = run(kills, 8);
    let (mut large, mut small) = (0, 0);
    for kill in 0..kills {
        run.platform.acknowledge(AckMode::Withhold);
        let token = run.platform.provisioning_token();
        let mut child = run.start("backlogs", &token, "power-safe", Duration::ZERO);
        let mut output = std::io::BufReader::new(child.stdout.take().expect("piped"));
        assert!(says(&mut output, "stored"));
        run.platform.acknowledge(AckMode::Immediately);
        run.platform.release_acknowledgements();
        // In the midst, while checkpoints move what was deleted; or at the end, when all of it is rewritten.
        let moment = match kill % 2 {
            0 => run.random.u64(0..200_000),
            _ => {
                assert!(says(&mut output, "drained"));
                run.random.u64(0..40_000)
            }
        };
        std::thread::sleep(Duration::from_micros(moment));
        child.kill().expect("it is ours");
        child.wait().expect("it has ended");
        let file = std::fs::metadata(run.directory.path().join("device.db"));
        match file.expect("the file").len() {
            0..1_000_000 => small += 1,
            _ => large += 1,
        }
    }
    run.drain();
    println!("killed while the file was large {large} times, when it had shrunk {small} times");
    check_messages(&run);
    assert!(large > 0 && small > 0, "the kills came at one time only");
}

#[test]
fn kills_during_uploads_do_not_use_up_the_places_that_the_hub_has() {
    // It has ten.
    const KILLS: usize = 12;
    let run = run(KILLS, 1);
    run.platform.http_hang(Route::BlobPut, true);
    for kill in 1..=KILLS {
        let token = run.platform.provisioning_token();
        let mut child = run.start("large", &token, "kill-safe", Duration::ZERO);
        let uploads = run
            .platform
            .wait_for_request(Route::BlobPut, kill, PATIENCE);
        child.kill().expect("it is ours");
        child.wait().expect("it has ended");
        uploads.unwrap_or_else(|error| panic!("before kill {kill}: {error}"));
        let open = run.platform.uploads().into_iter();
        assert_eq!(open.filter(|it| it.success.is_none()).count(), 1);
    }
    run.platform.http_hang(Route::BlobPut, false);
    run.drain();
    assert!(check_messages(&run) > KILLS / 2);
}
