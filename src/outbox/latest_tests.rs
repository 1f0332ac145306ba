//! Messages of which only the newest is kept, on a real database: random sequences, restarts, threads, failing commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::real_database::{fail_inserts, open};
use super::*;
use crate::message::Priority;
use crate::message::terms::{self, Terms};

const PATIENCE: Duration = Duration::from_secs(60);

/// With this key, or to be kept in any case.
fn message(key: Option<u8>, bytes: usize, priority: Priority) -> NewMessage {
    let terms = Terms {
        time_to_live: None,
        latest: key.map(|key| format!("/stream/{key}")),
    };
    NewMessage {
        priority,
        stored_at_ms: 0,
        properties: terms::with("stream-name=stream".to_owned(), &terms),
        body: NewBody::Inline(Bytes::from(vec![0; bytes])),
    }
}

fn newest(key: u8, bytes: usize) -> NewMessage {
    message(Some(key), bytes, Priority::Normal)
}

fn enqueue(outbox: &Outbox, messages: Vec<NewMessage>) -> Result<i64> {
    outbox.enqueue(messages, Durability::KillSafe)
}

/// What is pending, as the database and the sent log have it: its key and its bytes.
fn rows(outbox: &Outbox) -> BTreeMap<i64, (Option<String>, u64)> {
    let shared = Arc::clone(&outbox.shared);
    outbox
        .store
        .read(move |transaction| {
            // Inside the transaction, as nothing is deleted between.
            let sent = shared.lock().messages.noted().to_vec();
            let sql = "SELECT id, properties, length(body) FROM outbox";
            let mut statement = transaction.connection().prepare(sql)?;
            let rows = statement.query_map((), |row| {
                let properties: String = row.get(1)?;
                let key = terms::latest(&properties).map(str::to_owned);
                Ok((row.get(0)?, (key, row.get::<_, i64>(2)?.unsigned_abs())))
            })?;
            rows.filter(|row| !row.as_ref().is_ok_and(|(id, _)| sent.contains(id)))
                .collect()
        })
        .unwrap()
}

/// The Platform has all of these.
fn acknowledge(outbox: &Outbox, ids: impl IntoIterator<Item = i64>) {
    ids.into_iter().for_each(|id| outbox.acknowledge(id));
    outbox.record();
    outbox.shared.wait_recorded(Instant::now() + PATIENCE);
}

#[test]
fn whatever_happens_one_of_each_key_is_kept_beside_what_is_in_flight() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    for round in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let most = random.u64(5..60);
        let window = random.usize(1..=4);
        let choices = [WhenFull::Reject, WhenFull::DropOldest];
        let when_full = random.choice(choices).unwrap();
        let limits = OutboxLimits::new()
            .messages(most)
            .bytes(2000)
            .when_full(when_full);
        let mut outbox = open(&directory, window, limits);
        let (mut accepted, mut sent, mut gone) = (0, 0, 0);
        let mut in_flight = BTreeSet::new();
        let mut is_failing = false;
        for _ in 0..150 {
            match random.u32(0..12) {
                0..6 => {
                    let priority = random.choice([Priority::Normal, Priority::High]).unwrap();
                    let messages: Vec<NewMessage> = (0..random.usize(1..=6))
                        .map(|_| {
                            let key = random.bool().then(|| random.u8(0..4));
                            message(key, random.usize(0..60), priority)
                        })
                        .collect();
                    let count = messages.len() as u64;
                    let before = rows(&outbox);
                    let keys: BTreeSet<String> = messages
                        .iter()
                        .filter_map(|it| terms::latest(&it.properties).map(str::to_owned))
                        .collect();
                    match enqueue(&outbox, messages) {
                        Ok(_) => {
                            accepted += count;
                            let unsent = rows(&outbox).into_iter();
                            let unsent = unsent.filter(|(id, _)| !in_flight.contains(id));
                            let unsent: Vec<Option<String>> =
                                unsent.map(|(_, (key, _))| key).collect();
                            for key in keys {
                                let of_key = unsent.iter().filter(|it| it.as_ref() == Some(&key));
                                assert_eq!(of_key.count(), 1, "round {round}: {key}");
                            }
                        }
                        Err(_) => assert_eq!(rows(&outbox), before, "round {round}"),
                    }
                }
                6..9 => in_flight.extend(outbox.take(&mut Turn::any()).map(|taken| taken.id)),
                9 => {
                    if let Some(id) = in_flight.pop_first() {
                        acknowledge(&outbox, [id]);
                        sent += 1;
                    }
                }
                10 if !is_failing => {
                    gone += outbox.dropped().count + outbox.replaced().count;
                    in_flight.clear();
                    drop(outbox);
                    outbox = open(&directory, window, limits);
                }
                _ => {
                    is_failing = !is_failing;
                    fail_inserts(&outbox, is_failing);
                }
            }
            outbox.shared.wait_recorded(Instant::now() + PATIENCE);
            let rows = rows(&outbox);
            let bytes = rows.values().map(|(_, bytes)| bytes);
            let totals = Totals {
                count: rows.len() as u64,
                bytes: bytes.sum(),
            };
            assert_eq!(outbox.pending(), totals, "round {round}: as stored");
            assert!(
                totals.count <= most && totals.bytes <= 2000,
                "round {round}"
            );
            assert!(
                in_flight.iter().all(|id| rows.contains_key(id)),
                "round {round}: what is in flight stays"
            );
            let gone = gone + outbox.dropped().count + outbox.replaced().count;
            assert_eq!(accepted, sent + gone + totals.count, "round {round}");
        }
    }
}

#[test]
fn threads_that_replace_without_end_do_not_keep_the_link_out_and_nothing_taken_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(&directory, 1, OutboxLimits::new());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut accepted = 0_u64;
                    while !is_over.load(Ordering::Acquire) {
                        enqueue(&outbox, vec![newest(0, 1)]).unwrap();
                        accepted += 1;
                    }
                    accepted
                })
            })
            .collect();
        let deadline = Instant::now() + PATIENCE;
        let mut sent = 0;
        while sent < 30 {
            assert!(Instant::now() < deadline, "{sent} sent");
            match outbox.take(&mut Turn::any()) {
                Some(taken) => {
                    acknowledge(&outbox, [taken.id]);
                    sent += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        is_over.store(true, Ordering::Release);
        let accepted: u64 = producers.into_iter().map(|it| it.join().unwrap()).sum();
        let (pending, replaced) = (outbox.pending().count, outbox.replaced().count);
        assert_eq!(accepted, sent + replaced + pending);
        assert_eq!(pending, rows(&outbox).len() as u64);
        assert!(replaced > 0);
    });
}

#[test]
fn a_newer_one_needs_only_the_room_that_it_takes_more_and_a_refused_one_replaces_nothing() {
    for when_full in [WhenFull::Reject, WhenFull::DropOldest] {
        let directory = tempfile::tempdir().unwrap();
        let limits = OutboxLimits::new()
            .messages(2)
            .bytes(100)
            .when_full(when_full);
        let outbox = open(&directory, 1, limits);
        enqueue(&outbox, vec![newest(0, 60), newest(1, 40)]).unwrap();
        let newer = enqueue(&outbox, vec![newest(1, 40)]).unwrap();
        let count = |outbox: &Outbox| (outbox.pending().count, outbox.dropped().count);
        assert_eq!(count(&outbox), (2, 0));
        let before = rows(&outbox);
        assert!(enqueue(&outbox, vec![newest(1, 101)]).is_err());
        assert_eq!(rows(&outbox), before);
        let larger = enqueue(&outbox, vec![newest(1, 90)]);
        let left: Vec<i64> = rows(&outbox).into_keys().collect();
        if when_full == WhenFull::Reject {
            assert!(matches!(larger, Err(Error::OutboxFull { .. })));
            assert_eq!(rows(&outbox), before);
        } else {
            assert_eq!(left, [larger.unwrap()]);
            assert_eq!(count(&outbox), (1, 1));
        }
        assert_eq!(outbox.pending().count, left.len() as u64);
        assert!(left.first() != Some(&newer));
        // Nothing keeps the link out.
        assert_eq!(
            outbox.take(&mut Turn::any()).map(|taken| taken.id),
            left.first().copied()
        );
    }
}

#[test]
fn a_replacement_that_is_rolled_back_replaces_nothing_and_lets_the_link_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(&directory, 1, OutboxLimits::new());
    let older = enqueue(&outbox, vec![newest(0, 1)]).unwrap();
    fail_inserts(&outbox, true);
    assert!(enqueue(&outbox, vec![newest(0, 2)]).is_err());
    assert_eq!(rows(&outbox).into_keys().collect::<Vec<_>>(), [older]);
    assert_eq!(outbox.replaced().count, 0);
    assert_eq!(
        outbox.take(&mut Turn::any()).map(|taken| taken.id),
        Some(older)
    );
}

#[test]
fn the_link_takes_nothing_that_is_about_to_be_replaced_and_then_has_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(&directory, 1, OutboxLimits::new());
    let older = enqueue(&outbox, vec![newest(0, 1)]).unwrap();
    let row = crate::store::rows::latest::LatestRow {
        id: older,
        bytes: 1,
        is_partly_up: false,
    };
    let held = |outbox: &Outbox| {
        let messages = &mut outbox.shared.lock().messages;
        messages.hold_replaceable(u64::MAX, vec![row], 1).len()
    };
    assert_eq!(held(&outbox), 1);
    assert!(outbox.take(&mut Turn::any()).is_none());
    let newer = enqueue(&outbox, vec![newest(0, 1)]).unwrap();
    let left: Vec<i64> = rows(&outbox).into_keys().collect();
    assert_eq!(left, [older, newer], "kept for the link");
    assert_eq!(
        outbox.take(&mut Turn::any()).map(|taken| taken.id),
        Some(older)
    );
    assert_eq!(held(&outbox), 0, "in flight");
    let newest = enqueue(&outbox, vec![newest(0, 1)]).unwrap();
    let left: Vec<i64> = rows(&outbox).into_keys().collect();
    assert_eq!(left, [older, newest]);
}

#[test]
fn what_is_not_loaded_is_replaced_too_in_any_lane_and_by_the_next_run() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(&directory, 1, OutboxLimits::new());
    let backlog = || (0..600).map(|_| message(None, 1, Priority::Low)).collect();
    enqueue(&outbox, backlog()).unwrap();
    enqueue(&outbox, vec![message(Some(0), 1, Priority::Low)]).unwrap();
    enqueue(&outbox, vec![message(Some(0), 1, Priority::Low)]).unwrap();
    assert_eq!(outbox.replaced().count, 1);
    enqueue(&outbox, backlog()).unwrap();
    drop(outbox);
    let outbox = open(&directory, 1, OutboxLimits::new());
    let urgent = enqueue(&outbox, vec![message(Some(0), 1, Priority::Urgent)]).unwrap();
    assert_eq!((outbox.replaced().count, outbox.pending().count), (1, 1201));
    let rows = rows(&outbox);
    let keyed: Vec<&i64> = rows
        .iter()
        .filter_map(|(id, (key, _))| key.as_ref().map(|_| id))
        .collect();
    assert_eq!(keyed, [&urgent]);
}

#[test]
fn content_that_is_being_uploaded_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(&directory, 1, OutboxLimits::new());
    let image = || NewMessage {
        body: NewBody::Upload(Bytes::from(vec![0; 1000])),
        ..newest(0, 0)
    };
    let first = enqueue(&outbox, vec![image()]).unwrap();
    outbox.uploads.under_way(Some(first));
    enqueue(&outbox, vec![image()]).unwrap();
    let third = enqueue(&outbox, vec![image()]).unwrap();
    let left = |outbox: &Outbox| rows(outbox).into_keys().collect::<Vec<_>>();
    assert_eq!(left(&outbox), [first, third]);
    let up = crate::store::rows::blocks_up::BlocksUp {
        message: first,
        blob_name: "blob".to_owned(),
        block_bytes: 10,
        count: 1,
    };
    outbox.uploads.brought_up(up).unwrap();
    outbox.uploads.under_way(None);
    let fourth = enqueue(&outbox, vec![image()]).unwrap();
    assert_eq!(left(&outbox), [first, fourth], "some of it is up");
    outbox.uploads.begin_anew(first).unwrap();
    let fifth = enqueue(&outbox, vec![image()]).unwrap();
    assert_eq!(left(&outbox), [fifth]);
    assert_eq!(outbox.uploads.next(|_| true), Some(fifth));
    // Its upload comes too late.
    let link = Bytes::from_static(b"link");
    outbox.uploads.uploaded(first, link).unwrap();
    assert_eq!(
        outbox.pending(),
        Totals {
            count: 1,
            bytes: 1000
        }
    );
}

#[test]
fn who_waits_for_all_is_told_when_the_rest_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(&directory, 1, OutboxLimits::new());
    let kept = enqueue(&outbox, vec![message(None, 1, Priority::Normal)]).unwrap();
    enqueue(&outbox, vec![newest(0, 1)]).unwrap();
    std::thread::scope(|scope| {
        let deadline = Instant::now() + PATIENCE;
        let waits = scope.spawn(|| outbox.wait_all_sent(Some(Instant::now() + PATIENCE), None));
        while outbox.shared.lock().waiters.is_empty() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        enqueue(&outbox, vec![newest(0, 1)]).unwrap();
        assert!(!outbox.shared.lock().waiters.is_empty(), "for the other");
        assert_eq!(
            outbox.take(&mut Turn::any()).map(|taken| taken.id),
            Some(kept)
        );
        acknowledge(&outbox, [kept]);
        let waited = waits.join().unwrap();
        assert!(matches!(waited, Err(Error::Replaced)), "{waited:?}");
    });
}
