//! The limits of an outbox on a real database: random sequences, threads, failing commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::admission::{Answer, Request};
use super::real_database::{fail_inserts, open};
use super::*;
use crate::message::Priority;
use crate::store::rows::lane;

fn message(bytes: usize) -> NewMessage {
    NewMessage {
        priority: Priority::Normal,
        stored_at_ms: 0,
        properties: String::new(),
        body: NewBody::Inline(Bytes::from(vec![0; bytes])),
    }
}

fn enqueue(outbox: &Outbox, count: usize, bytes: usize) -> Result<i64> {
    let messages = (0..count).map(|_| message(bytes)).collect();
    outbox.enqueue(messages, Durability::KillSafe)
}

/// What is pending, as the database and the sent log have it.
fn rows(outbox: &Outbox) -> BTreeMap<i64, u64> {
    let shared = Arc::clone(&outbox.shared);
    outbox
        .store
        .read(move |transaction| {
            // Inside the transaction, as nothing is deleted between.
            let sent = shared.lock().messages.noted().to_vec();
            let mut statement = transaction
                .connection()
                .prepare("SELECT id, length(body) FROM outbox")?;
            let rows = statement.query_map((), |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
            })?;
            rows.filter(|row| !row.as_ref().is_ok_and(|(id, _)| sent.contains(id)))
                .collect()
        })
        .unwrap()
}

#[test]
fn whatever_happens_the_limits_hold_and_what_is_in_flight_stays() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    for round in 0..15 {
        let directory = tempfile::tempdir().unwrap();
        let (most, most_bytes) = (random.u64(1..600), random.u64(50..20_000));
        let window = random.usize(1..=16);
        let when_full = random
            .choice([WhenFull::Reject, WhenFull::DropOldest])
            .unwrap();
        let limits = OutboxLimits::new()
            .messages(most)
            .bytes(most_bytes)
            .when_full(when_full);
        let outbox = open(&directory, window, limits);
        let (mut accepted, mut sent, mut last_taken) = (0, 0, 0);
        let mut in_flight = BTreeSet::new();
        let mut is_failing = false;
        for _ in 0..150 {
            match random.u32(0..10) {
                0..5 => {
                    let count = random.usize(1..=40);
                    let before = rows(&outbox);
                    match enqueue(&outbox, count, random.usize(0..60)) {
                        Ok(_) => accepted += count as u64,
                        Err(_) => assert_eq!(rows(&outbox), before, "round {round}"),
                    }
                }
                5..8 => {
                    if let Some(taken) = outbox.take(&mut Turn::any()) {
                        assert!(taken.id > last_taken, "round {round}: the order");
                        last_taken = taken.id;
                        in_flight.insert(taken.id);
                    }
                }
                8 => {
                    let acknowledged = in_flight.pop_first();
                    if let Some(id) = acknowledged {
                        outbox.acknowledge(id);
                        outbox.record();
                        outbox
                            .shared
                            .wait_recorded(Instant::now() + Duration::from_secs(30));
                        sent += 1;
                    }
                }
                _ => {
                    is_failing = !is_failing;
                    fail_inserts(&outbox, is_failing);
                }
            }
            let rows = rows(&outbox);
            let totals = Totals {
                count: rows.len() as u64,
                bytes: rows.values().sum(),
            };
            assert_eq!(outbox.pending(), totals, "round {round}: counted as stored");
            assert!(
                totals.count <= most && totals.bytes <= most_bytes,
                "round {round}"
            );
            assert!(
                in_flight.iter().all(|id| rows.contains_key(id)),
                "round {round}"
            );
            let dropped = outbox.dropped().count;
            assert_eq!(accepted, sent + dropped + totals.count, "round {round}");
            assert!(when_full == WhenFull::DropOldest || dropped == 0);
        }
        if is_failing {
            fail_inserts(&outbox, false);
        }
        // The link gets all that is left.
        while outbox.pending().count > 0 {
            if let Some(taken) = outbox.take(&mut Turn::any()) {
                assert!(taken.id > last_taken, "round {round}: the order");
                last_taken = taken.id;
                in_flight.insert(taken.id);
            }
            in_flight.iter().for_each(|id| outbox.acknowledge(*id));
            outbox.record();
            in_flight.clear();
            outbox
                .shared
                .wait_recorded(Instant::now() + Duration::from_secs(30));
        }
        assert!(rows(&outbox).is_empty());
    }
}

#[test]
fn sixteen_threads_never_exceed_a_limit_and_the_link_gets_on() {
    for when_full in [WhenFull::Reject, WhenFull::DropOldest] {
        let directory = tempfile::tempdir().unwrap();
        let limits = OutboxLimits::new().messages(50).when_full(when_full);
        let outbox = open(&directory, 4, limits);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut most = 0;
                let mut sent = 0_u64;
                while !is_over.load(Ordering::Acquire) {
                    most = most.max(rows(&outbox).len());
                    while let Some(taken) = outbox.take(&mut Turn::any()) {
                        outbox.acknowledge(taken.id);
                        outbox.record();
                        sent += 1;
                    }
                }
                (most, sent)
            });
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        let stored = |_: &i32| match enqueue(&outbox, 3, 1) {
                            Ok(_) => true,
                            Err(Error::OutboxFull { limit }) => {
                                assert_eq!(limit, OutboxLimit::Messages(50));
                                false
                            }
                            Err(error) => panic!("{error}"),
                        };
                        (0..100).filter(stored).count() as u64 * 3
                    })
                })
                .collect();
            let accepted: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
            is_over.store(true, Ordering::Release);
            let (most, sent) = watch.join().unwrap();
            outbox
                .shared
                .wait_recorded(Instant::now() + Duration::from_secs(30));
            assert!(most <= 50, "{most} rows");
            assert!(sent > 0);
            let (pending, dropped) = (outbox.pending().count, outbox.dropped().count);
            assert_eq!(accepted, sent + dropped + pending);
            assert_eq!(pending, rows(&outbox).len() as u64);
            assert_eq!(dropped > 0, when_full == WhenFull::DropOldest);
        });
    }
}

/// Jobs that gather behind this one share its transaction or the next.
fn hold_the_writer(outbox: &Outbox) -> crossbeam_channel::Sender<()> {
    let (enter, entered) = crossbeam_channel::bounded(0);
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    outbox.store.post(
        Durability::KillSafe,
        move |_| {
            enter.send(()).ok();
            released.recv().ok();
            Ok(())
        },
        |_| {},
    );
    entered.recv().unwrap();
    release
}

#[test]
fn jobs_that_share_a_transaction_see_each_others_messages_and_drops() {
    for (when_full, fails) in [
        (WhenFull::Reject, false),
        (WhenFull::DropOldest, false),
        (WhenFull::Reject, true),
        (WhenFull::DropOldest, true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let limits = OutboxLimits::new().messages(5).when_full(when_full);
        let outbox = open(&directory, 1, limits);
        enqueue(&outbox, 4, 1).unwrap();
        let release = hold_the_writer(&outbox);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| enqueue(&outbox, 1, 1)))
                .collect();
            if fails {
                outbox.store.post(
                    Durability::KillSafe,
                    |_| Err(rusqlite::Error::InvalidQuery),
                    |_: crate::Result<()>| {},
                );
            }
            release.send(()).unwrap();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            let accepted = results.filter(|result| result.is_ok()).count();
            let expected = if when_full == WhenFull::Reject { 1 } else { 8 };
            assert_eq!(accepted, expected);
        });
        assert_eq!(outbox.pending().count, 5);
        assert_eq!(rows(&outbox).len(), 5);
        let dropped = if when_full == WhenFull::Reject { 0 } else { 7 };
        assert_eq!(outbox.dropped().count, dropped);
        // Nothing keeps the link out.
        assert_eq!(
            outbox.take(&mut Turn::any()).map(|m| m.id),
            rows(&outbox).keys().next().copied()
        );
    }
}

#[test]
fn a_drop_that_is_rolled_back_drops_nothing_and_lets_the_link_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let limits = OutboxLimits::new()
        .messages(5)
        .when_full(WhenFull::DropOldest);
    let outbox = open(&directory, 1, limits);
    enqueue(&outbox, 5, 1).unwrap();
    let before = rows(&outbox);
    fail_inserts(&outbox, true);
    assert!(matches!(
        enqueue(&outbox, 2, 1),
        Err(Error::Database { .. })
    ));
    assert_eq!(rows(&outbox), before);
    assert_eq!((outbox.pending().count, outbox.dropped().count), (5, 0));
    let first = before.keys().next().copied();
    assert_eq!(outbox.take(&mut Turn::any()).map(|taken| taken.id), first);
    fail_inserts(&outbox, false);
    enqueue(&outbox, 4, 1).unwrap();
    assert_eq!(outbox.dropped().count, 4);
    assert_eq!(rows(&outbox).keys().next().copied(), first, "in flight");
    assert!(
        matches!(enqueue(&outbox, 5, 1), Err(Error::OutboxFull { .. })),
        "all but the one in flight is not enough"
    );
    assert_eq!(outbox.dropped().count, 4);
}

#[test]
fn the_link_takes_nothing_that_is_about_to_be_dropped_and_then_has_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let limits = OutboxLimits::new()
        .messages(3)
        .when_full(WhenFull::DropOldest);
    let outbox = open(&directory, 1, limits);
    let last = enqueue(&outbox, 3, 1).unwrap();
    let request = Request {
        transaction: u64::MAX,
        added: Totals { count: 1, bytes: 1 },
        replaced: Totals::default(),
        free_disk_bytes: None,
    };
    let answer = outbox.shared.lock().messages.admit(request, &limits, 1);
    assert!(matches!(answer, Answer::Drop { .. }), "{answer:?}");
    assert!(outbox.take(&mut Turn::any()).is_none());
    outbox.shared.lock().messages.drop_ended();
    enqueue(&outbox, 1, 1).unwrap();
    let oldest = rows(&outbox).keys().next().copied();
    assert_eq!(oldest, Some(last - 2), "kept for the link");
    assert_eq!(outbox.take(&mut Turn::any()).map(|taken| taken.id), oldest);
}

#[test]
fn below_the_free_space_nothing_is_stored_or_as_much_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    enqueue(&open(&directory, 1, OutboxLimits::new()), 10, 100).unwrap();
    let limits = OutboxLimits::new().free_disk_bytes(u64::MAX);
    let outbox = open(&directory, 1, limits);
    let full = enqueue(&outbox, 1, 1).unwrap_err();
    assert_eq!(
        full.to_string(),
        format!(
            "the outbox has reached its limit of {} bytes that stay free on the disk",
            u64::MAX
        )
    );
    assert_eq!(outbox.pending().count, 10);
    drop(outbox);
    let outbox = open(&directory, 1, limits.when_full(WhenFull::DropOldest));
    enqueue(&outbox, 1, 150).unwrap();
    assert_eq!(
        outbox.dropped(),
        Totals {
            count: 2,
            bytes: 200
        }
    );
    drop(outbox);
    let outbox = open(&directory, 1, OutboxLimits::new().free_disk_bytes(1));
    enqueue(&outbox, 1, 1).unwrap();
}

#[test]
fn who_waits_for_everything_is_told_of_a_drop_when_the_rest_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let limits = OutboxLimits::new()
        .messages(2)
        .when_full(WhenFull::DropOldest);
    let outbox = open(&directory, 1, limits);
    let last = enqueue(&outbox, 2, 1).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outbox.wait_all_sent(None, None));
        while outbox.shared.lock().waiters.is_empty() {
            std::thread::yield_now();
        }
        enqueue(&outbox, 1, 1).unwrap();
        let taken = outbox.take(&mut Turn::any()).unwrap();
        assert_eq!(taken.id, last);
        assert!(!waiting.is_finished(), "the other is not sent");
        outbox.acknowledge(last);
        outbox.record();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Dropped)));
    });
}

#[test]
fn the_lowest_lane_makes_room_first_and_none_for_what_goes_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let limits = OutboxLimits::new()
        .messages(6)
        .when_full(WhenFull::DropOldest);
    let outbox = open(&directory, 1, limits);
    let store = |priority, count: usize| {
        let message = |_| NewMessage {
            priority,
            ..message(1)
        };
        let messages = (0..count).map(message).collect();
        outbox.enqueue(messages, Durability::KillSafe)
    };
    let lanes = || {
        let lanes = rows(&outbox).into_keys().map(lane::priority);
        let mut lanes: Vec<&str> = lanes.map(Priority::name).collect();
        lanes.sort_unstable();
        lanes
    };
    store(Priority::Urgent, 2).unwrap();
    store(Priority::Low, 3).unwrap();
    store(Priority::Bulk, 1).unwrap();
    // The one of the lowest lane, and the oldest of the next.
    store(Priority::Normal, 2).unwrap();
    assert_eq!(
        lanes(),
        ["low", "low", "normal", "normal", "urgent", "urgent"]
    );
    assert!(store(Priority::Bulk, 1).is_err(), "nothing goes for it");
    store(Priority::Urgent, 4).unwrap();
    assert_eq!(lanes(), ["urgent"; 6]);
    assert_eq!(outbox.dropped().count, 6);
    store(Priority::Urgent, 1).unwrap();
    assert_eq!(outbox.dropped().count, 7, "its own oldest");
}

#[test]
fn other_limits_hold_from_the_next_call_on() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(&directory, 1, OutboxLimits::new());
    enqueue(&outbox, 10, 1).unwrap();
    outbox.set_limits(OutboxLimits::new().messages(5));
    assert!(enqueue(&outbox, 1, 1).is_err());
    assert_eq!(rows(&outbox).len(), 10, "what is stored stays");
    let drops = OutboxLimits::new().messages(5);
    outbox.set_limits(drops.when_full(WhenFull::DropOldest));
    enqueue(&outbox, 1, 1).unwrap();
    assert_eq!(rows(&outbox).len(), 5);
    outbox.set_limits(OutboxLimits::new());
    enqueue(&outbox, 10, 1).unwrap();
    assert_eq!(rows(&outbox).len(), 15);
}

#[test]
fn who_sends_is_told_of_what_happens_before_the_wait_could_begin() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(&directory, 1, OutboxLimits::new());
    std::thread::scope(|scope| {
        // As the link does, whenever it likes.
        let expires = scope.spawn(|| {
            loop {
                let mut it = outbox.shared.lock();
                it.messages.expire(1, &mut Turn::any(), |_| true);
                let record = it.messages.begin_due_record();
                drop(it);
                if let Some(record) = record {
                    return outbox.recorder.post(record);
                }
                std::thread::yield_now();
            }
        });
        let sent = outbox.send(message(1), Durability::KillSafe, None, None);
        assert!(matches!(sent, Err(Error::Expired)), "{sent:?}");
        expires.join().unwrap();
    });
    assert_eq!((outbox.expired().count, outbox.pending().count), (1, 0));
}
