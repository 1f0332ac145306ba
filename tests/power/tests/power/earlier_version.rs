//! The first start on a file of an earlier version of the tables, through power cuts: at every moment it is of the
//! one version or the other, whole.

use fastrand::Rng;
use rusqlite::Connection;

use crate::device::{Device, POWER_SAFE, Run, name};
use crate::disk::{Disk, Fate};
use crate::recorder::Image;
use crate::reopening::{DATABASE, Start, write};
use crate::survey::{Place, seed, survivals};

const MESSAGES: usize = 50;

fn names() -> Vec<String> {
    (0..MESSAGES)
        .map(|number| name(0, number, 40 + number % 300))
        .collect()
}

/// The file of a registered device as version 1 left it, and the run of the first start on it.
fn upgraded() -> Run {
    let registered = Device::new(POWER_SAFE);
    let client = registered.start();
    registered.cut_off();
    registered.store_each(&client, 0, 0..MESSAGES);
    client.close();
    let file = Connection::open(registered.database()).expect("the file");
    file.execute_batch(
        "ALTER TABLE document RENAME TO twin; ALTER TABLE twin RENAME COLUMN text TO document;
         PRAGMA user_version = 1;",
    )
    .expect("it is of version 1 then");
    drop(file);

    let directory = write(&crate::recorder::files(registered.directory.path()));
    let device = Device::in_directory(POWER_SAFE, registered.platform, Ok(directory));
    let client = device.start();
    assert_eq!(client.pending_messages_count(), MESSAGES as u64);
    client.close();
    device.end("upgraded from version 1")
}

fn version(image: &Image) -> i64 {
    let directory = write(image);
    let file = Connection::open(directory.path().join(DATABASE)).expect("the file");
    let version = file.pragma_query_value(None, "user_version", |row| row.get(0));
    version.expect("a header")
}

#[test]
fn a_power_cut_in_the_upgrade_from_version_1_leaves_everything_in_the_one_version_or_the_other() {
    let run = upgraded();
    let seed = seed();
    println!("version 1: SEED={seed} SURVIVALS={}", survivals());
    let mut random = Rng::with_seed(seed);
    run.platform
        .accept_connections(false)
        .expect("the door closes");
    let mut disk = Disk::new(&run.recording);
    let mut counts = [0; 2];
    let started = run.ledger.registered_at.expect("it was started");
    for (at, operation) in run.recording.operations.iter().enumerate().take(started) {
        for _ in 0..survivals() {
            let fate = Fate::random(&mut random);
            let image = disk.survive(fate, &mut random);
            let place = format!("version 1 cut before operation {at}, {operation:.60?}, {fate:?}");
            let place = Place(&place);
            counts[usize::from(version(&image) == 2)] += 1;
            let directory = write(&image);
            let start = Start {
                options: &run,
                is_registered: true,
                probes: true,
            };
            let found = start.on(directory.path());
            assert!(
                found.pending.into_values().eq(names()),
                "Messages are missing"
            );
            drop(place);
        }
        disk.apply(operation);
    }
    let [before, after] = counts;
    println!("version 1: {before} survivals had version 1, {after} version 2");
    assert!(before > 0 && after > 0);
}
