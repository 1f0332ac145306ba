//! Messages, properties and commands through power cuts.

use std::ops::Range;
use std::time::Duration;

use spotflow_device::{DeviceClient, Durability, Priority};
use spotflow_emulator::AckMode;

use crate::device::{DEVICE, Device, Keeps, Kind, PATIENCE, POWER_SAFE, Run, name, sender};
use crate::recorder::Operation;
use crate::survey::{Plan, survey};

const THREADS: usize = 3;

/// A device that is busy in all ways: three threads store, large content is uploaded, properties and
/// commands come and go; and a second start.
fn busy(kind: Kind, title: &str) -> Run {
    let device = Device::new(kind);
    if kind.window > 1 {
        device
            .platform
            .acknowledge(AckMode::After(Duration::from_millis(5)));
    }
    let client = device.start();
    let subscribed = device.platform.wait_for_subscriptions(DEVICE, 3, PATIENCE);
    subscribed.expect("the device listens to commands");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (device, client) = (&device, &client);
            scope.spawn(move || device.store_each(client, thread, 0..25));
        }
        scope.spawn(|| {
            let sender = sender(&client);
            for number in 0..2 {
                device.store(&sender, &[name(7, number, 270_000)]);
            }
        });
        scope.spawn(|| {
            for number in 0..8 {
                let text = format!("command {number}");
                let sent = device.platform.send_cloud_message(DEVICE, text, &[]);
                sent.expect("it is queued");
                let desired = serde_json::json!({ "number": number });
                let set = device.platform.set_desired(DEVICE, &desired);
                set.expect("it is set");
                device.process_one(&client, || device.report(&client, number));
            }
        });
    });
    client.close();
    let client = device.start();
    device.store_each(&client, 0, 25..35);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    device.end(title)
}

/// A backlog from a time without a network, which drains at once.
fn drained(kind: Kind, title: &str) -> Run {
    let device = Device::new(kind);
    device.start().close();
    device.offline(true);
    let client = device.start();
    let names: Vec<String> = (0..900).map(|number| name(0, number, 50)).collect();
    let sender = sender(&client);
    names
        .chunks(150)
        .for_each(|some| device.store(&sender, some));
    device.offline(false);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    device.end(title)
}

/// Singly stored without syncs, first without a network, then with one.
fn unsynced(kind: Kind, title: &str) -> Run {
    let device = Device::new(kind);
    device.start().close();
    device.offline(true);
    let client = device.start();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (device, client) = (&device, &client);
            scope.spawn(move || device.store_each(client, thread, 0..400));
        }
    });
    device.offline(false);
    device.store_each(&client, 0, 400..500);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    device.end(title)
}

/// Three threads, each with a lane of its own: a backlog that drains, while more comes.
fn mixed(kind: Kind) -> Run {
    let device = Device::new(kind);
    device.start().close();
    device.offline(true);
    let client = device.start();
    for thread in 0..THREADS {
        device.store_each(&client, thread, 0..40);
    }
    client.close();
    device.offline(false);
    let client = device.start();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (device, client) = (&device, &client);
            scope.spawn(move || device.store_each(client, thread, 40..60));
        }
    });
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    device.end("lanes")
}

/// The threads beside others of which only the newest Message is kept. The last two share a key.
const WITHOUT_KEY: usize = THREADS;
const KEY_A: usize = THREADS + 1;
const KEY_B: [usize; 2] = [THREADS + 2, THREADS + 3];

fn keeps(thread: usize) -> Keeps {
    match thread {
        WITHOUT_KEY => Keeps::Latest,
        KEY_A => Keeps::LatestOf("a"),
        thread if KEY_B.contains(&thread) => Keeps::LatestOf("b"),
        _ => Keeps::All,
    }
}

/// Readings of which the newest is kept among Messages of which all are: a backlog, which drains while more comes; and
/// the same once more behind an interruption.
fn latest(kind: Kind, title: &str) -> Run {
    let device = Device::new(kind);
    device
        .platform
        .acknowledge(AckMode::After(Duration::from_millis(2)));
    device.start().close();
    device.offline(true);
    let client = device.start();
    let in_turn = |client: &DeviceClient, numbers: Range<usize>| {
        for number in numbers {
            (0..THREADS).for_each(|thread| device.store_each(client, thread, number..number + 1));
            store_newest(&device, client, number);
        }
    };
    in_turn(&client, 0..20);
    client.close();
    device.offline(false);
    let client = device.start();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (device, client) = (&device, &client);
            scope.spawn(move || device.store_each(client, thread, 20..35));
        }
        scope.spawn(|| (20..50).for_each(|number| store_newest(&device, &client, number)));
    });
    device.cut_off();
    in_turn(&client, 50..56);
    device.offline(false);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    let run = device.end(title);
    let replaced = run.ledger.accepted.len() - run.ledger.received.len();
    assert!(replaced > 50, "{replaced} were replaced");
    run
}

/// One more of each key; without a key two in one call, of which the first is never stored.
fn store_newest(device: &Device, client: &DeviceClient, number: usize) {
    let two = [2 * number, 2 * number + 1].map(|number| name(WITHOUT_KEY, number, 60));
    device.store(&device.sender_of_thread(client, WITHOUT_KEY), &two);
    for thread in [KEY_A, KEY_B[number % 2]] {
        device.store_each(client, thread, number..number + 1);
    }
}

/// A large backlog in a file that is small again in the end.
fn shrunk() -> Run {
    let device = Device::new(POWER_SAFE);
    let client = device.start();
    let names: Vec<String> = (0..20).map(|number| name(0, number, 150_000)).collect();
    device.store(&sender(&client), &names);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    device.offline(true);
    device.store_each(&client, 1, 0..5);
    client.close();
    device.offline(false);
    let client = device.start();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    device.end("shrunk")
}

const WINDOW: usize = 16;

fn with_window(durability: Durability) -> Kind {
    Kind {
        durability,
        window: WINDOW,
        ..POWER_SAFE
    }
}

#[test]
fn what_a_busy_device_has_accepted_survives_every_power_cut() {
    let plan = Plan {
        between: 12,
        again: 25,
        deliveries: 8,
    };
    survey(&busy(POWER_SAFE, "busy"), plan);
}

#[test]
fn with_a_window_what_was_accepted_survives_every_power_cut() {
    let plan = Plan {
        between: 12,
        again: 25,
        deliveries: 8,
    };
    survey(
        &busy(with_window(Durability::PowerSafe), "busy, window 16"),
        plan,
    );
}

#[test]
fn a_power_cut_repeats_the_last_256_acknowledged_messages_at_most() {
    let plan = Plan {
        between: 10,
        again: 25,
        deliveries: 4,
    };
    let totals = survey(&drained(POWER_SAFE, "drained"), plan);
    // The bound holds everywhere; that it is nearly reached shows that the disk does forget.
    assert!(totals.repeated_max > 200, "{totals:?}");
}

#[test]
fn with_a_window_a_power_cut_repeats_that_many_more() {
    let plan = Plan {
        between: 10,
        again: 25,
        deliveries: 4,
    };
    let totals = survey(
        &drained(with_window(Durability::PowerSafe), "drained, window 16"),
        plan,
    );
    assert!(totals.repeated_max > 200, "{totals:?}");
}

#[test]
fn a_kill_before_the_power_cut_does_not_add_to_the_repeats() {
    let drained = drained(POWER_SAFE, "drained, killed");
    // Some 255 acknowledgements are recorded, and not synced.
    let received = |count: usize| drained.ledger.received[count].1;
    let syncs = drained.recording.operations.iter().enumerate();
    let killed_at = syncs
        .filter(|(at, operation)| operation.is_sync() && *at > received(200))
        .map(|(at, _)| at)
        .next()
        .expect("the acknowledgements are synced in the end");
    let run = drained.killed(killed_at, |device| {
        let client = device.start();
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .expect("all is sent");
        client.close();
        device.end("goes on")
    });
    let plan = Plan {
        between: 10,
        again: 25,
        deliveries: 2,
    };
    let totals = survey(&run, plan);
    assert!(totals.repeated_max > 200, "{totals:?}");
}

#[test]
fn kill_safe_loses_the_newest_messages_only_and_no_more_than_documented() {
    let kind = Kind {
        durability: Durability::KillSafe,
        ..POWER_SAFE
    };
    let plan = Plan {
        between: 70,
        again: 25,
        deliveries: 4,
    };
    let totals = survey(&unsynced(kind, "kill-safe"), plan);
    assert!(totals.survivals_with_loss > 0, "{totals:?}");
    // And one each of the threads that share a commit.
    assert!(totals.lost_max <= 500 + THREADS, "{totals:?}");
}

#[test]
fn kill_safe_with_a_window_loses_the_newest_messages_only() {
    let plan = Plan {
        between: 60,
        again: 25,
        deliveries: 4,
    };
    let run = unsynced(with_window(Durability::KillSafe), "kill-safe, window 16");
    let totals = survey(&run, plan);
    assert!(totals.survivals_with_loss > 0, "{totals:?}");
}

#[test]
fn with_lanes_a_power_cut_repeats_messages_of_the_lane_that_was_sent_from_last_alone() {
    let kind = Kind {
        lanes: |thread| [Priority::Urgent, Priority::Normal, Priority::Bulk][thread],
        ..POWER_SAFE
    };
    let plan = Plan {
        between: 12,
        again: 25,
        deliveries: 12,
    };
    let totals = survey(&mixed(kind), plan);
    assert!(totals.repeated_max > 1, "{totals:?}");
    assert!(totals.delivered > 0, "{totals:?}");
}

#[test]
fn a_power_cut_leaves_the_newest_message_of_a_key_or_the_one_that_it_replaces() {
    let kind = Kind {
        // Of the one key in a lane of others, of the other in two.
        lanes: |thread| match thread {
            0 | KEY_A => Priority::Urgent,
            1 | WITHOUT_KEY => Priority::Normal,
            thread if thread == KEY_B[0] => Priority::High,
            _ => Priority::Bulk,
        },
        keeps,
        ..POWER_SAFE
    };
    let plan = Plan {
        between: 20,
        again: 40,
        deliveries: 8,
    };
    let totals = survey(&latest(kind, "latest"), plan);
    assert!(totals.repeated_max > 1, "{totals:?}");
    assert!(totals.delivered > 0, "{totals:?}");
}

#[test]
fn kill_safe_with_a_window_a_message_is_not_lost_with_the_one_that_replaces_it() {
    let kind = Kind {
        keeps,
        ..with_window(Durability::KillSafe)
    };
    let plan = Plan {
        between: 20,
        again: 40,
        deliveries: 8,
    };
    let totals = survey(&latest(kind, "latest, kill-safe, window 16"), plan);
    assert!(totals.survivals_with_loss > 0, "{totals:?}");
}

#[test]
fn a_file_that_is_being_shrunk_survives_every_power_cut() {
    let run = shrunk();
    let is_small = |operation: &&Operation| matches!(operation, Operation::Resize { bytes, .. } if (1..100_000).contains(bytes));
    assert!(
        run.recording.operations.iter().any(|it| is_small(&it)),
        "it did not shrink"
    );
    let plan = Plan {
        between: 200,
        again: 10,
        deliveries: 2,
    };
    survey(&run, plan);
}
