//! Files on their way into the store: a kill leaves all of one or nothing, and memory holds a few blocks of it.
//!
//! `SEED` repeats a run; `KILLS` sets how often the device is killed (8 unless set).

mod device;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use device::{DEVICE, Device, database, ledger};
use spotflow_emulator::{Platform, Route};

const PATIENCE: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;
/// So much more than while it waits.
const MEMORY_KIB_MAX: u64 = 4 << 10;

/// A file of so many bytes, with a word of its own in each 64 KiB: the rest takes no disk.
fn create(path: &Path, bytes: u64) {
    let mut file = File::create(path).expect("a file");
    for place in 0..bytes.div_ceil(WORD_EVERY) {
        let at = SeekFrom::Start(place * WORD_EVERY);
        file.seek(at).expect("it is a file");
        file.write_all(&word(place)).expect("a word");
    }
    file.set_len(bytes).expect("it is a file");
}

const WORD_EVERY: u64 = 64 << 10;

fn word(place: u64) -> [u8; 8] {
    (place + 1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .to_le_bytes()
}

fn is_content(payload: &[u8], bytes: u64) -> bool {
    let is_part = |(place, part): (u64, &[u8])| {
        let (start, rest) = part.split_at(8.min(part.len()));
        start == &word(place)[..start.len()] && rest.iter().all(|byte| *byte == 0)
    };
    let parts = payload.chunks(WORD_EVERY as usize);
    payload.len() as u64 == bytes && (0..).zip(parts).all(is_part)
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn number(name: &str, unless_set: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(unless_set, |set| set.parse().expect("a number"))
}

#[test]
fn a_kill_while_a_file_is_copied_stores_all_of_it_or_nothing_and_leaves_no_rest() {
    let seed = number("SEED", fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let platform = Platform::start().expect("the embedded Platform starts");
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(ledger(&directory)).expect("a directory");
    let bytes = 12 * MIB + 7;
    create(&ledger(&directory).join("file"), bytes);
    for _ in 0..number("KILLS", 8) {
        let mut device = Device::start(&platform, &directory, "files");
        device.wait_told("started");
        std::thread::park_timeout(Duration::from_millis(random.u64(0..600)));
        device.kill();
    }
    let mut device = Device::start(&platform, &directory, "drain");
    device.wait_told("draining");
    eventually("what is left of copies is deleted", || {
        fs::metadata(database(&directory)).is_ok_and(|file| file.len() < 2 * MIB)
    });
    let sent = platform.send_cloud_message(DEVICE, "last", &[]);
    sent.expect("the device is there");
    assert!(device.wait_end().success());

    let ledger = fs::read_to_string(ledger(&directory).join("2")).expect("a ledger");
    let with = |what: &str| -> HashSet<String> {
        let numbers = ledger.lines().filter_map(|line| line.strip_prefix(what));
        numbers.map(str::to_owned).collect()
    };
    let (tried, accepted) = (with("try "), with("ok "));
    let mut arrived = Vec::new();
    for message in platform.messages_of(DEVICE) {
        assert!(is_content(&message.payload, bytes), "it is whole");
        let mut ids = message.properties.iter();
        let id = ids.find(|(key, _)| key == "message-id").expect("its id");
        let number = id.1.strip_prefix("2 ").expect("a number").to_owned();
        // A repeat comes directly behind its original.
        if arrived.last() != Some(&number) {
            arrived.push(number);
        }
    }
    let different: HashSet<String> = arrived.iter().cloned().collect();
    println!("{} tried, {} arrived", tried.len(), arrived.len());
    assert_eq!(different.len(), arrived.len(), "none twice: {arrived:?}");
    assert!(accepted.is_subset(&different), "{accepted:?} {arrived:?}");
    assert!(different.is_subset(&tried), "{tried:?} {arrived:?}");
}

#[test]
fn memory_holds_a_few_blocks_of_a_file_however_large_it_is() {
    let platform = Platform::start().expect("the embedded Platform starts");
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(ledger(&directory)).expect("a directory");
    let bytes = 200 * MIB;
    // What a client holds that has worked, before the large file.
    create(&ledger(&directory).join("file"), 2 * MIB);
    let mut device = Device::start(&platform, &directory, "files");
    device.wait_told("stored");
    platform.wait_for_messages(1, PATIENCE).expect("it arrives");
    platform.http_hang(Route::FileUpload, true);
    device.wait_told("stored");
    let idle_kib = device.memory("VmHWM:");
    create(&ledger(&directory).join("other"), bytes);
    let other = ledger(&directory).join("other");
    fs::rename(other, ledger(&directory).join("file")).expect("it is there");
    let told = Instant::now();
    platform.http_hang(Route::FileUpload, false);
    device.wait_told("stored");
    let copied_kib = device.memory("VmHWM:");
    let copied = told.elapsed();
    let whole = |messages: usize| platform.wait_for_messages(messages, PATIENCE);
    whole(3).expect("it arrives");
    let peak_kib = device.memory("VmHWM:");
    device.kill();
    println!(
        "{idle_kib} KiB before, {copied_kib} when {bytes} bytes are copied ({copied:?}), {peak_kib} when they are up"
    );
    let messages = platform.messages_of(DEVICE);
    assert!(is_content(&messages[2].payload, bytes), "it is whole");
    assert!(peak_kib <= idle_kib + MEMORY_KIB_MAX, "{peak_kib} KiB");
}
