//! The database file is damaged: it is set aside, and what can be read is saved.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use spotflow_device::{DeviceClient, Error};

use crate::support::{
    LogCapture, LogLine, PATIENCE, Stage, eventually, in_a_process_of_its_own, sender,
};

const PAGE: u64 = 1024;

fn text(number: usize) -> String {
    format!("{number:04} {}", "x".repeat([20, 300, 2500][number % 3]))
}

/// A device with so many unsent Messages, offline.
fn offline_with(stage: &Stage, count: usize) -> (DeviceClient, Vec<String>) {
    let client = stage.start();
    stage.cut_off();
    let texts: Vec<String> = (0..count).map(text).collect();
    sender(&client).enqueue_messages(texts.clone()).unwrap();
    (client, texts)
}

/// Overwrites a page of the file, as a failing flash would.
fn damage(path: &Path, page: u64) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start((page - 1) * PAGE)).unwrap();
    file.write_all(&[0x99; PAGE as usize]).unwrap();
}

/// The first page of which the content fulfils this.
fn find_page(path: &Path, wanted: impl Fn(&[u8]) -> bool) -> u64 {
    let bytes = fs::read(path).unwrap();
    let place = bytes.chunks(PAGE as usize).position(wanted);
    place.expect("such a page") as u64 + 1
}

fn holds(text: &str) -> impl Fn(&[u8]) -> bool {
    move |page| page.windows(text.len()).any(|part| part == text.as_bytes())
}

fn set_aside_files(stage: &Stage) -> Vec<PathBuf> {
    let entries = fs::read_dir(stage.directory.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().contains("-damaged-"))
        .collect()
}

#[cfg(unix)]
fn assert_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[cfg(not(unix))]
fn assert_private(_path: &Path) {}

#[test]
fn a_file_with_a_damaged_header_costs_neither_an_approval_nor_a_message() {
    let stage = Stage::new();
    let (client, texts) = offline_with(&stage, 50);
    client.close();
    damage(&stage.database(), 1);
    stage.platform.accept_connections(true).unwrap();
    let client = stage
        .device()
        .on_provisioning(|_| panic!("a new approval"))
        .start()
        .unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert!(stage.received() == texts);
    let recovery = client.status().recovery.expect("the application is told");
    assert!(recovery.has_registration && recovery.is_complete);
    assert_eq!((recovery.messages, recovery.lost_messages), (50, Some(0)));
    assert!(set_aside_files(&stage).contains(&recovery.set_aside));
    assert_private(&recovery.set_aside);
    assert_private(&stage.database());
}

#[test]
fn the_registration_survives_the_loss_of_its_page() {
    let stage = Stage::new();
    let client = stage.start();
    client.close();
    // The table's page: the copy, on another one, is JSON.
    let token = stage.platform.provisioning_token();
    let page = find_page(&stage.database(), |page| {
        holds(&token)(page) && !holds("identity_is_open\":")(page)
    });
    damage(&stage.database(), page);
    let client = stage
        .device()
        .on_provisioning(|_| panic!("a new approval"))
        .start()
        .unwrap();
    assert!(client.status().recovery.unwrap().has_registration);
}

#[test]
fn damage_found_while_running_is_mended_and_loses_only_what_was_on_the_page() {
    let stage = Stage::new();
    let (client, texts) = offline_with(&stage, 1500);
    client.close();
    let client = stage.start();
    // Far behind what is in memory.
    damage(
        &stage.database(),
        find_page(&stage.database(), holds("1202 xxx")),
    );
    stage.platform.accept_connections(true).unwrap();
    let waited = client.wait_enqueued_messages_sent_timeout(PATIENCE);
    assert!(matches!(waited, Err(Error::Lost)), "{waited:?}");
    sender(&client).enqueue_message("later").unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    let recovery = client.status().recovery.expect("the application is told");
    let received = stage.received();
    let lost = texts.len() + 1 - received.len();
    assert_eq!(recovery.lost_messages, Some(lost as u64));
    assert!((1..=20).contains(&lost), "{lost} are lost");
    assert!(received.is_sorted() && received.last().unwrap() == "later");
    assert_eq!(client.pending_messages_count(), 0);
    assert!(recovery.has_registration);
}

#[test]
fn what_is_in_memory_is_written_back_when_its_page_is_damaged_while_running() {
    let stage = Stage::new();
    let (client, mut texts) = offline_with(&stage, 60);
    client.close();
    let client = stage.start();
    // So many that SQLite keeps none of the first ones in its own memory.
    for number in 60..1500 {
        texts.push(text(number));
        sender(&client).enqueue_message(text(number)).unwrap();
    }
    damage(
        &stage.database(),
        find_page(&stage.database(), holds("0004 xxx")),
    );
    stage.platform.accept_connections(true).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert!(stage.received() == texts);
    assert_eq!(client.status().recovery.unwrap().lost_messages, Some(0));
}

#[test]
fn messages_set_aside_that_are_lost_while_running_are_not_counted_any_more() {
    let stage = Stage::new();
    let (client, texts) = offline_with(&stage, 1500);
    client.close();
    stage.platform.accept_connections(true).unwrap();
    let as_another = || stage.device().device_id("another").start().unwrap();
    as_another().close();
    let client = as_another();
    assert_eq!(client.status().set_aside_messages, texts.len() as u64);
    // Not the free page on which the Message was before.
    let page = find_page(&stage.database(), |page| {
        holds("1201 xxx")(page) && holds("stored as device")(page)
    });
    damage(&stage.database(), page);
    let left = client.set_aside_messages().unwrap().len();
    assert!(left < texts.len());
    assert_eq!(client.status().set_aside_messages, left as u64);
}

#[test]
fn a_file_of_another_application_is_refused_and_left_alone() {
    let stage = Stage::new();
    for content in ["hello".repeat(1000).into_bytes(), vec![7; 1024]] {
        fs::write(stage.database(), &content).unwrap();
        let refused = stage.device().start();
        assert!(
            matches!(refused, Err(Error::Database { .. })),
            "{refused:?}"
        );
        assert_eq!(fs::read(stage.database()).unwrap(), content);
        assert!(set_aside_files(&stage).is_empty());
    }
}

#[test]
fn a_busy_file_is_not_taken_for_a_damaged_one() {
    let stage = Stage::new();
    let client = stage.start();
    damage(&stage.database(), 1);
    let second = stage.device().start();
    assert!(
        matches!(second, Err(Error::DatabaseInUse { .. })),
        "{second:?}"
    );
    assert!(set_aside_files(&stage).is_empty());
    client.close();
}

/// What the random rounds start from: files as after an orderly end, and as after a kill.
struct Original {
    files: Vec<(&'static str, Vec<u8>)>,
    texts: Vec<String>,
}

fn originals(stage: &Stage) -> Vec<Original> {
    let (client, texts) = offline_with(stage, 120);
    // With the lock's file, which says that there was no power cut.
    let files = || {
        ["device.db", "device.db-wal", "device.db-lock"]
            .map(|name| (name, fs::read(stage.directory.path().join(name)).unwrap()))
            .to_vec()
    };
    let killed = files();
    client.close();
    let closed = files();
    let original = |files| Original {
        files,
        texts: texts.clone(),
    };
    vec![original(killed), original(closed)]
}

/// Damages a file at a random place in a random way; returns what was done.
fn damage_at_random(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) -> String {
    let place = random.usize(..bytes.len());
    let until = bytes.len().min(place + random.usize(1..3000));
    match random.u8(..5) {
        0 => {
            bytes[place] ^= 1 << random.u8(..8);
            format!("a bit of byte {place}")
        }
        1 => {
            bytes[place..until].fill(0);
            format!("zeros at {place}..{until}")
        }
        2 => {
            bytes[place..until].fill_with(|| random.u8(..));
            format!("noise at {place}..{until}")
        }
        3 => {
            bytes.truncate(place);
            format!("cut off at {place}")
        }
        _ => {
            let from = random.usize(..bytes.len() - (until - place));
            bytes.copy_within(from..from + (until - place), place);
            format!("bytes of {from} at {place}..{until}")
        }
    }
}

/// A device with one of the damaged files.
struct Round<'a> {
    stage: &'a Stage,
    log: &'a LogCapture,
    original: &'a Original,
}

#[derive(Default)]
struct Totals {
    refused: usize,
    reported: usize,
    lost: usize,
}

impl Round<'_> {
    /// Starts a device on what random damage leaves of the files, and looks for what it does not send.
    fn run(&self, random: &mut fastrand::Rng, totals: &mut Totals) {
        let directory = tempfile::tempdir_in(self.stage.directory.path()).unwrap();
        let database = directory.path().join("device.db");
        let damaged = random.usize(..2);
        let mut done = String::new();
        for (number, (name, bytes)) in self.original.files.iter().enumerate() {
            let mut bytes = bytes.clone();
            if number == damaged {
                done = format!("{name}: {}", damage_at_random(random, &mut bytes));
            }
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        let (platform, before) = (&self.stage.platform, self.stage.received().len());
        let client = DeviceClient::builder(platform.provisioning_token(), &database)
            .instance(platform.instance())
            .ca_file(platform.ca_file())
            .device_id(crate::support::DEVICE)
            .on_provisioning(|_| {})
            .start();
        let client = match client {
            Ok(client) => client,
            Err(error) => {
                assert!(matches!(error, Error::Database { .. }), "{done}: {error:?}");
                totals.refused += 1;
                return;
            }
        };
        sender(&client).enqueue_message("the last").unwrap();
        let sent = client.wait_enqueued_messages_sent_timeout(PATIENCE);
        assert!(
            matches!(sent, Ok(()) | Err(Error::Lost | Error::SetAside)),
            "{done}: {sent:?}"
        );
        eventually("all are sent", || client.pending_messages_count() == 0);
        // By a bit that is another in the name of the device, for instance.
        let set_aside = usize::try_from(client.status().set_aside_messages).unwrap();
        client.close();
        let received = self.stage.received().split_off(before);
        assert_eq!(received.last().unwrap(), "the last", "{done}");

        let tells = |line: &LogLine| {
            line.text.contains(database.to_str().unwrap())
                && (line.level == log::Level::Error
                    || line.text.contains("a commit that was not completed"))
        };
        let is_reported = self.log.lines().iter().any(tells);
        // By their numbers: the rest of a text may be damaged without anybody being able to tell.
        let number = |text: &String| text.get(..4).map(str::to_owned);
        let found: BTreeSet<_> = received.iter().filter_map(number).collect();
        let wanted = self.original.texts.iter().filter_map(number);
        let missing = wanted.filter(|number| !found.contains(number)).count();
        let is_altered = |text: &&String| !self.original.texts.contains(text);
        let altered = received.iter().filter(is_altered).count() - 1;
        assert!(
            is_reported || missing <= altered + set_aside,
            "{done}: {missing} are missing, and nobody says so"
        );
        totals.reported += usize::from(is_reported);
        totals.lost += missing;
    }
}

#[test]
fn random_damage_never_ends_in_a_panic_or_an_unreported_loss() {
    in_a_process_of_its_own(
        "corruption::random_damage_never_ends_in_a_panic_or_an_unreported_loss",
        || {
            const THREADS: usize = 4;
            let log = LogCapture::install();
            let given = |name| std::env::var(name).ok().map(|it| it.parse().unwrap());
            let seed = given("SEED").unwrap_or_else(|| fastrand::u64(..));
            let rounds = given("ROUNDS").unwrap_or(240) as usize;
            println!("SEED={seed}");
            let run = |thread: usize| {
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(thread as u64));
                let stage = Stage::new();
                let originals = originals(&stage);
                stage.platform.accept_connections(true).unwrap();
                let mut totals = Totals::default();
                for round in 0..rounds / THREADS {
                    let original = &originals[round % originals.len()];
                    let (stage, log) = (&stage, log);
                    let round = Round {
                        stage,
                        log,
                        original,
                    };
                    round.run(&mut random, &mut totals);
                }
                totals
            };
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|it| scope.spawn(move || run(it)))
                    .collect();
                let mut sum = Totals::default();
                for thread in threads {
                    let totals = thread.join().unwrap();
                    sum.refused += totals.refused;
                    sum.reported += totals.reported;
                    sum.lost += totals.lost;
                }
                let Totals {
                    refused,
                    reported,
                    lost,
                } = sum;
                println!("{rounds} rounds: {refused} refused, {reported} reported, {lost} lost");
                assert!(reported > 0 && refused < rounds / 10);
            });
        },
    );
}

#[test]
fn a_damaged_write_ahead_log_is_reported_kept_and_read_behind_the_damage() {
    in_a_process_of_its_own(
        "corruption::a_damaged_write_ahead_log_is_reported_kept_and_read_behind_the_damage",
        || {
            let log = LogCapture::install();
            let stage = Stage::new();
            let client = stage.start();
            stage.cut_off();
            let sender = sender(&client);
            let texts: Vec<String> = (0..200).map(text).collect();
            for text in &texts {
                sender.enqueue_message(text.clone()).unwrap();
            }
            let names = ["device.db", "device.db-wal"];
            let killed = names.map(|name| fs::read(stage.directory.path().join(name)).unwrap());
            client.close();
            for (name, bytes) in names.iter().zip(&killed) {
                fs::write(stage.directory.path().join(name), bytes).unwrap();
            }
            let wal = stage.directory.path().join("device.db-wal");
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&wal)
                .unwrap();
            let mut byte = [0];
            file.seek(SeekFrom::Start(32 + 20 * 1048 + 700)).unwrap();
            file.read_exact(&mut byte).unwrap();
            file.seek(SeekFrom::Current(-1)).unwrap();
            file.write_all(&[!byte[0]]).unwrap();
            drop(file);

            stage.platform.accept_connections(true).unwrap();
            let client = stage.start();
            client
                .wait_enqueued_messages_sent_timeout(PATIENCE)
                .unwrap();
            let received = stage.received();
            assert!(received.is_sorted());
            assert!(received.len() > 190, "only {} were saved", received.len());
            assert_eq!(received.last(), texts.last());
            let lines = log.lines();
            let line = |text: &str| lines.iter().any(|line| line.text.contains(text));
            assert!(line("commits behind it are not used as they are"));
            assert!(line("of what was stored behind the damaged frame"));
            let kept = set_aside_files(&stage);
            assert_eq!(kept.len(), 1);
            assert_private(&kept[0]);
        },
    );
}
