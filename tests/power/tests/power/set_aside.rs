//! Messages that are set aside, retried and dropped, through power cuts: each is in one place.

use std::collections::HashSet;
use std::path::Path;

use fastrand::Rng;

use crate::device::{Device, Kind, PATIENCE, POWER_SAFE, Run, options};
use crate::disk::{Disk, Fate};
use crate::reopening::{Found, Start, write};
use crate::survey::{Place, seed, survivals};

const STORED: usize = 20;
const DROPPED: usize = 5;

/// At how many operations the calls began and had returned.
struct Story {
    other: (usize, usize),
    dropped: (usize, usize),
    back: (usize, usize),
    retried: (usize, usize),
}

/// The device becomes another one and itself again.
fn told() -> (Run, Story) {
    let device = Device::new(POWER_SAFE);
    device.start().close();
    device.offline(true);
    let client = device.start();
    device.store_each(&client, 0, 0..STORED);
    client.close();
    device.offline(false);
    let timed = |call: &mut dyn FnMut()| {
        let began = device.now();
        call();
        (began, device.now())
    };

    let mut client = None;
    let other = timed(&mut || client = Some(device.start_as(another())));
    let client = client.expect("it has started");
    let ids: Vec<i64> = client
        .set_aside_messages()
        .expect("a list")
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(ids.len(), STORED);
    let dropped = timed(&mut || {
        client
            .drop_set_aside_messages(&ids[..DROPPED])
            .expect("they are dropped");
    });
    client.close();

    let mut client = None;
    let back = timed(&mut || client = Some(device.start()));
    let client = client.expect("it has started");
    let retried = timed(&mut || {
        let retried = client
            .retry_set_aside_messages(&ids)
            .expect("they are put back");
        assert_eq!(retried, (STORED - DROPPED) as u64);
    });
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    let story = Story {
        other,
        dropped,
        back,
        retried,
    };
    (device.end("set aside"), story)
}

fn another() -> Kind {
    Kind {
        device_id: "another-device",
        ..POWER_SAFE
    }
}

impl Story {
    fn check(&self, run: &Run, at: usize, found: &Found) {
        let pending: HashSet<&String> = found.pending.values().collect();
        let aside: HashSet<&String> = found.set_aside.values().collect();
        assert_eq!(
            pending.len() + aside.len(),
            found.pending.len() + found.set_aside.len()
        );
        assert!(pending.is_disjoint(&aside), "a Message is in two places");
        assert!(
            found
                .set_aside
                .values()
                .is_sorted_by_key(|name| number(name))
        );
        for (name, accepted) in &run.ledger.accepted {
            let may_be_dropped = number(name) < DROPPED && self.dropped.0 <= at;
            let received = run.ledger.received.iter();
            let is_received = received.clone().any(|(it, when)| it == name && *when <= at);
            if *accepted <= at && !may_be_dropped && !is_received {
                assert!(
                    pending.contains(name) || aside.contains(name),
                    "{name} is lost"
                );
            }
            if number(name) < DROPPED && self.dropped.1 <= at {
                assert!(!aside.contains(name), "{name} was dropped");
            }
        }
        if at <= self.other.0 {
            assert!(aside.is_empty());
        }
        if (self.other.1..self.retried.0).contains(&at) {
            assert!(pending.is_empty(), "not set aside: {pending:?}");
        }
        if self.retried.1 <= at {
            assert!(aside.is_empty(), "not put back: {aside:?}");
        }
    }

    /// As whom the device is registered for sure.
    fn registered(&self, run: &Run, at: usize) -> Option<Kind> {
        let first = run.ledger.registered_at.expect("it was started");
        if (self.other.1..=self.back.0).contains(&at) {
            Some(another())
        } else if (first..=self.other.0).contains(&at) || self.back.1 <= at {
            Some(POWER_SAFE)
        } else {
            None
        }
    }
}

fn number(name: &str) -> usize {
    let number = name
        .split('-')
        .nth(1)
        .and_then(|number| number.parse().ok());
    number.expect("a number")
}

#[test]
fn a_message_that_is_set_aside_or_put_back_is_in_one_place_after_every_power_cut() {
    let (run, story) = told();
    let seed = seed();
    println!("set aside: SEED={seed} SURVIVALS={}", survivals());
    let mut random = Rng::with_seed(seed);
    run.platform
        .accept_connections(false)
        .expect("the door closes");
    let mut disk = Disk::new(&run.recording);
    for (at, operation) in run.recording.operations.iter().enumerate() {
        let cuts = if operation.is_sync() {
            survivals()
        } else {
            random.usize(0..10) / 9
        };
        for _ in 0..cuts {
            let fate = Fate::random(&mut random);
            let place = format!("set aside, cut before operation {at}, {fate:?}");
            let place = Place(&place);
            let directory = write(&disk.survive(fate, &mut random));
            let kind = story.registered(&run, at);
            let platform = &run.platform;
            let start = Start {
                options: &|database: &Path| options(platform, kind.unwrap_or(POWER_SAFE), database),
                is_registered: kind.is_some(),
                probes: kind.is_some(),
            };
            story.check(&run, at, &start.on(directory.path()));
            drop(place);
        }
        disk.apply(operation);
    }
}
