//! A disk that goes bad: reads, writes and syncs fail with EIO, one of them or all for a while. Each caller
//! is told, nothing that was accepted is lost, and when the disk works again, so does the device.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use fastrand::Rng;
use spotflow_device::{DeviceClient, Error};

use crate::device::{Device, Kind, PATIENCE, POWER_SAFE, message, name, options, sender};
use crate::recorder::{Call, files};
use crate::reopening::{DATABASE, read, write};
use crate::survey::seed;

/// What became of the Messages that were to be stored while the disk failed.
#[derive(Default, Debug)]
struct Told {
    accepted: Vec<String>,
    refused: HashSet<String>,
    /// The error says that it may be stored, or not.
    unknown: HashSet<String>,
}

impl Told {
    fn store(&mut self, device: &Device, client: &DeviceClient, name: String) {
        let stored = sender(client).enqueue_message(message(&name));
        match stored {
            Ok(_) => self.accepted.push(name),
            Err(Error::OutcomeUnknown { .. }) => drop(self.unknown.insert(name)),
            Err(error) => {
                assert!(matches!(error, Error::Database { .. }), "{error:?}");
                let path = device.database();
                let path = path.to_str().expect("a plain path");
                assert!(error.to_string().contains(path), "{error}");
                self.refused.insert(name);
            }
        }
    }

    /// What arrived, or is stored, in the order of storing and each once.
    fn check(&self, found: &[String]) {
        assert!(
            found.iter().all(|name| !self.refused.contains(name)),
            "one that was refused is there"
        );
        let known: Vec<&String> = found
            .iter()
            .filter(|name| !self.unknown.contains(*name))
            .collect();
        let accepted: Vec<&String> = self.accepted.iter().collect();
        assert_eq!(known, accepted);
    }
}

/// What a commit has left that failed is not taken for damage by a start after a kill.
fn assert_no_damage_after_a_kill(device: &Device, client: &DeviceClient) {
    // At one moment, as a kill: the file may be about to shrink.
    let hold = client.hold_for_fork();
    let killed = write(&files(device.directory.path()));
    drop(hold);
    device.offline(true);
    let database = killed.path().join(DATABASE);
    options(&device.platform, device.kind, &database)
        .start()
        .expect("it starts")
        .close();
    let names: Vec<String> = files(killed.path()).into_keys().collect();
    assert!(
        names.iter().all(|name| !name.contains("damaged")),
        "{names:?}"
    );
}

#[test]
fn while_a_disk_fails_callers_are_told_and_nothing_accepted_is_lost() {
    let seed = seed();
    println!("io errors: SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let (mut told_in_all, mut failed_in_all) = ([0; 3], [0; 3]);
    for round in 0..45 {
        let call = [Call::Read, Call::Write, Call::Sync][round % 3];
        let kind = Kind {
            window: [1, 8][round % 2],
            ..POWER_SAFE
        };
        let device = Device::new(kind);
        let client = device.start();
        // What is read while the device runs is a backlog that is more than memory holds of it.
        let (is_offline, bytes) = match call {
            Call::Read => (true, 50_000),
            _ => (random.bool(), 500),
        };
        if is_offline {
            device.cut_off();
        }
        let mut told = Told::default();
        for number in 0..20 {
            told.store(&device, &client, name(0, number, bytes));
        }
        // One call, some, or all until the disk is well again.
        let fail = random.choice([1, 3, usize::MAX]).expect("one");
        device.disk().fail(call, random.usize(0..20), fail);
        for number in 20..60 {
            told.store(
                &device,
                &client,
                name(0, number, bytes + random.usize(0..3000)),
            );
        }
        if is_offline {
            device.offline(false);
        }
        let deadline = Instant::now() + PATIENCE;
        while call == Call::Read && device.disk().failed() == 0 {
            assert!(Instant::now() < deadline, "nothing is read");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let failed = device.disk().heal();
        for number in 60..70 {
            told.store(&device, &client, name(0, number, 500));
        }
        let place = format!("round {round}: {call:?}, {fail}, {failed} failed");
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("{place}: {error:?}"));
        assert!(
            client.status().recovery.is_none(),
            "{place}: it is not damage"
        );
        assert_no_damage_after_a_kill(&device, &client);
        client.close();
        println!(
            "{place}; {} refused, {} unknown",
            told.refused.len(),
            told.unknown.len()
        );
        let received = device.platform.messages().into_iter();
        let mut received: Vec<String> = received.filter_map(|it| it.message_id).collect();
        received.dedup();
        told.check(&received);
        assert!(read(&device.database()).pending.is_empty(), "{place}");
        told_in_all[round % 3] += told.refused.len() + told.unknown.len();
        failed_in_all[round % 3] += failed;
        device.end(&place);
    }
    println!("{failed_in_all:?} reads, writes and syncs failed; {told_in_all:?} calls were told");
    assert!(told_in_all[1] > 0 && told_in_all[2] > 0);
}

#[test]
fn what_a_failing_disk_refused_or_kept_is_as_told_at_the_next_start() {
    let seed = seed();
    println!("io errors, start: SEED={seed}");
    let mut random = Rng::with_seed(seed);
    for round in 0..45 {
        let call = [Call::Read, Call::Write, Call::Sync][round % 3];
        let device = Device::new(POWER_SAFE);
        let client = device.start();
        device.cut_off();
        let mut told = Told::default();
        for number in 0..20 {
            told.store(&device, &client, name(0, number, 500));
        }
        device.disk().fail(call, random.usize(0..20), usize::MAX);
        for number in 20..50 {
            told.store(&device, &client, name(0, number, random.usize(0..3000)));
        }
        client.close();
        let place = format!("round {round}: {call:?}");
        // It may not start as long as the disk fails; then it says so.
        match device.try_start() {
            Ok(client) => client.close(),
            Err(error) => assert!(
                matches!(error, Error::Database { .. }),
                "{place}: {error:?}"
            ),
        }
        device.disk().heal();
        let client = device.start();
        assert!(
            client.status().recovery.is_none(),
            "{place}: it is not damage"
        );
        client.close();
        let pending: Vec<String> = read(&device.database()).pending.into_values().collect();
        told.check(&pending);
    }
}
