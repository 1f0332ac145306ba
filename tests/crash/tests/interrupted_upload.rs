//! Content of 64 MiB takes its way in blocks through kills, cuts and links that expire: each costs one block at most,
//! and memory one block at any time.

mod device;

use std::collections::HashMap;
use std::time::Duration;

use device::{DEVICE, Device, ledger};
use spotflow_emulator::{Platform, Route, StorageWrite, WriteKind};

const PATIENCE: Duration = Duration::from_secs(120);
const BLOCK_BYTES: u64 = 1 << 20;
const BLOCKS: usize = 64;
/// So much more than while it waits.
const MEMORY_KIB_MAX: u64 = 4 << 10;

/// How many different blocks the storage has.
fn blocks_up(writes: &[StorageWrite]) -> usize {
    whole_blocks(writes).len()
}

/// How many writes have no answer: one that is under way, and those that broke off.
fn broken_off(writes: &[StorageWrite]) -> usize {
    writes.iter().filter(|write| write.status.is_none()).count()
}

/// How often each block came as a whole.
fn whole_blocks(writes: &[StorageWrite]) -> HashMap<&str, usize> {
    let mut blocks = HashMap::new();
    for write in writes {
        if let (WriteKind::Block(id), Some(201)) = (&write.kind, write.status) {
            *blocks.entry(id.as_str()).or_default() += 1;
        }
    }
    blocks
}

#[test]
fn content_in_blocks_goes_on_behind_every_interruption() {
    let platform = Platform::start().expect("the embedded Platform starts");
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(ledger(&directory)).expect("a directory");
    // 64 KB/s, at which it would take 17 minutes, and 256 times that.
    platform.storage_rate(Some(16.0 * BLOCK_BYTES as f64));
    let wait_up = |count: usize| {
        let enough = |writes: &[StorageWrite]| blocks_up(writes) >= count;
        platform
            .wait_for_storage_writes(enough, PATIENCE)
            .expect("blocks come up");
    };
    let mut interruptions = 0;
    // Cut every few blocks, from now until so many are up.
    let mut cut_until = |count: usize| {
        while blocks_up(&platform.storage_writes()) + 5 < count {
            let before = broken_off(&platform.storage_writes());
            platform.cut_storage_after(Some(3 * BLOCK_BYTES + 300_000));
            interruptions += 1;
            let goes_on = |writes: &[StorageWrite]| {
                broken_off(writes) > before && writes.last().is_some_and(|it| it.status.is_some())
            };
            platform
                .wait_for_storage_writes(goes_on, PATIENCE)
                .expect("it goes on behind the cut");
        }
        wait_up(count);
    };

    let first = Device::start(&platform, &directory, "content");
    cut_until(14);
    first.kill();
    let second = Device::start(&platform, &directory, "drain");
    wait_up(20);
    platform.expire_upload_sas();
    cut_until(34);
    second.kill();

    platform.http_hang(Route::FileUpload, true);
    let asked = platform.http_request_count(Route::FileUpload);
    let third = Device::start(&platform, &directory, "drain");
    platform
        .wait_for_request(Route::FileUpload, asked + 1, PATIENCE)
        .expect("it asks for a place");
    platform
        .wait_for_connected(DEVICE, true, PATIENCE)
        .expect("it is connected");
    let idle_kib = third.memory("VmRSS:");
    platform.http_hang(Route::FileUpload, false);
    cut_until(60);
    platform.wait_for_messages(1, PATIENCE).expect("it arrives");
    let peak_kib = third.memory("VmHWM:");
    third.kill();

    let messages = platform.messages_of(DEVICE);
    assert!(
        messages[0].payload == spotflow_crash::content(),
        "it arrives whole"
    );
    let writes = platform.storage_writes();
    let (kills, whole) = (2, whole_blocks(&writes));
    assert_eq!(whole.len(), BLOCKS);
    let repeated: usize = whole.values().map(|times| times - 1).sum();
    assert!(repeated <= kills, "a kill before the note: {repeated}");
    let received: u64 = writes.iter().map(|write| write.received_bytes).sum();
    let again = received.saturating_sub(BLOCKS as u64 * BLOCK_BYTES);
    let interruptions = (interruptions + kills) as u64;
    println!(
        "{interruptions} interruptions cost {again} bytes; {idle_kib} KiB when idle, {peak_kib} at the peak"
    );
    // The list of blocks comes on top.
    assert!(again <= interruptions * BLOCK_BYTES + 10_000, "{again}");
    assert!(
        peak_kib <= idle_kib + MEMORY_KIB_MAX,
        "{peak_kib} KiB, {idle_kib} when idle"
    );
}
