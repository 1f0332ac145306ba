//! Stored means stored: a device is killed at seeded moments while it stores and sends, and what it
//! accepted is held against what the Platform received.
//!
//! `SEED` repeats a run; `KILLS` sets how often the device is killed (200 unless set).

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use spotflow_emulator::{AckMode, CutPoint, Platform};

const PATIENCE: Duration = Duration::from_secs(60);

struct Run {
    platform: Platform,
    directory: tempfile::TempDir,
    window: usize,
}

impl Run {
    fn start(&self, mode: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_spotflow-crash"))
            .args([
                mode,
                &self.platform.instance(),
                &self.platform.provisioning_token(),
            ])
            .arg(self.platform.ca_file())
            .args([self.directory.path().join("device.db"), self.ledger()])
            .arg(self.window.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the device starts")
    }

    fn ledger(&self) -> std::path::PathBuf {
        self.directory.path().join("ledger")
    }

    fn kill_one(&self, random: &mut Rng) {
        match random.u8(0..6) {
            0 => self
                .platform
                .acknowledge(AckMode::After(Duration::from_millis(random.u64(1..20)))),
            1 => self.platform.acknowledge(AckMode::Withhold),
            _ => self.platform.acknowledge(AckMode::Immediately),
        }
        if random.bool() {
            let point = if random.bool() {
                CutPoint::BeforeAck
            } else {
                CutPoint::AfterAck
            };
            self.platform.cut_after_messages(random.u64(1..50), point);
        }
        let mut child = self.start("run");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // Some are killed before they have started.
        if random.u8(0..10) > 0 {
            lines.next();
        }
        std::thread::sleep(Duration::from_micros(random.u64(0..120_000)));
        child.kill().expect("it is running");
        child.wait().expect("it has ended");
    }

    fn drain(&self) {
        self.platform.acknowledge(AckMode::Immediately);
        // A cut that is still planned would come in the middle of the drain: that is fine, too.
        let status = self.start("drain").wait().expect("it ends");
        assert!(status.success(), "the last run drains: {status}");
    }
}

/// What the threads accepted and tried.
fn read_ledger(path: &Path) -> (HashSet<String>, u64) {
    let (mut accepted, mut tried) = (HashSet::new(), 0);
    for entry in std::fs::read_dir(path).expect("the ledger") {
        let entry = entry.expect("an entry");
        let thread = entry.file_name().into_string().expect("a thread's number");
        for line in std::fs::read_to_string(entry.path()).expect("text").lines() {
            match line.split_once(' ') {
                Some(("ok", number)) => drop(accepted.insert(format!("{thread} {number}"))),
                _ => tried += 1,
            }
        }
    }
    (accepted, tried)
}

/// The order of first arrivals keeps each thread's order, and a repeat is at most `window` back.
fn check_order(received: &[String], window: usize) -> usize {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut last_of_thread: HashMap<&str, u64> = HashMap::new();
    let mut repeated = 0;
    for (at, text) in received.iter().enumerate() {
        let arrived = first.len();
        if let Some(place) = first.get(text.as_str()) {
            repeated += 1;
            assert!(
                arrived - place <= window,
                "at {at}: {text} was repeated {} Messages after itself",
                arrived - place
            );
            if window == 1 {
                assert_eq!(
                    received[at - 1],
                    *text,
                    "a repeat directly follows its original"
                );
            }
            continue;
        }
        first.insert(text, arrived);
        let (thread, number) = text.split_once(' ').expect("thread and number");
        let number = number.parse().expect("a number");
        if let Some(last) = last_of_thread.insert(thread, number) {
            assert!(last < number, "at {at}: {text} came after {last}");
        }
    }
    repeated
}

fn kill_often(kills: usize, window: usize) {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed} KILLS={kills} window {window}");
    let mut random = Rng::with_seed(seed);
    let run = Run {
        platform: Platform::start().expect("the Platform starts"),
        directory: tempfile::tempdir().expect("a directory"),
        window,
    };
    std::fs::create_dir(run.ledger()).expect("the ledger's directory");
    for _ in 0..kills {
        run.kill_one(&mut random);
    }
    run.drain();

    let (accepted, tried) = read_ledger(&run.ledger());
    let messages = run
        .platform
        .wait_for_messages(1, PATIENCE)
        .expect("Messages");
    let received: Vec<String> = messages
        .iter()
        .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
        .collect();
    let distinct: HashSet<&String> = received.iter().collect();
    let lost: Vec<&String> = accepted
        .iter()
        .filter(|text| !distinct.contains(text))
        .collect();
    let repeated = check_order(&received, window);
    println!(
        "ledger: {kills} kills, {tried} calls, {} accepted, {} received, {} lost, {repeated} repeated",
        accepted.len(),
        received.len(),
        lost.len(),
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(accepted.len() > kills, "the device has hardly run");
}

fn kills() -> usize {
    std::env::var("KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(200)
}

#[test]
fn what_was_accepted_survives_a_kill_and_repeats_only_directly_after_the_original() {
    kill_often(kills() * 3 / 4, 1);
}

#[test]
fn with_a_window_a_kill_repeats_at_most_the_window() {
    kill_often(kills() / 4, 8);
}
