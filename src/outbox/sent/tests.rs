//! The sent log and the database together: what is forgotten is what the Platform has, however the process ends.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ROWS_KEPT;
use crate::clock::SystemClock;
use crate::identity::HubDeviceId;
use crate::message::Priority;
use crate::outbox::{IdentityChange, NewBody, NewMessage, Outbox, OutboxLimits, Wake, recovery};
use crate::pacing::pacer::Turn;
use crate::store::rows::{self, sent_lane};
use crate::store::{Durability, Recovery, Store, Transaction};

struct Nobody;

impl Wake for Nobody {
    fn wake_link(&self) {}
    fn wake_uploader(&self) {}
}

/// Ends a wait that a fault made endless.
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn open(directory: &Path) -> Outbox {
    let store = Arc::new(Store::open(&directory.join("device.db")).unwrap());
    Outbox::open(
        store,
        Arc::new(Nobody),
        Arc::new(SystemClock),
        8,
        OutboxLimits::new(),
    )
    .unwrap()
}

fn enqueue(outbox: &Outbox, count: usize) -> i64 {
    let message = |_| NewMessage {
        priority: Priority::Normal,
        stored_at_ms: 0,
        properties: String::new(),
        body: NewBody::Inline(Bytes::from_static(b"body")),
    };
    outbox
        .enqueue((0..count).map(message).collect(), Durability::PowerSafe)
        .unwrap()
}

/// The link takes one, which may have to be loaded, and the Platform has it.
fn send(outbox: &Outbox) -> i64 {
    let deadline = deadline();
    let id = loop {
        if let Some(message) = outbox.take(&mut Turn::any()) {
            break message.id;
        }
        assert!(Instant::now() < deadline, "there is a Message");
        std::thread::yield_now();
    };
    outbox.acknowledge(id);
    outbox.record();
    id
}

fn settle(outbox: &Outbox) {
    outbox.shared.wait_recorded(deadline());
}

/// The files as a kill leaves them.
fn killed(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["device.db", "device.db-wal", "device.db-sent"] {
        std::fs::copy(directory.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// What the next start finds to send.
fn pending(directory: &Path) -> Vec<i64> {
    let outbox = open(directory);
    let count = outbox.pending().count;
    let ids: Vec<i64> = (0..count).map(|_| send(&outbox)).collect();
    settle(&outbox);
    outbox.store.close();
    ids
}

#[test]
fn an_acknowledgement_is_recorded_while_somebody_else_writes() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    let last = enqueue(&outbox, 3);
    let hold = outbox.store.hold();
    while send(&outbox) < last {}
    assert_eq!(outbox.pending().count, 0);
    assert_eq!(outbox.store.waiting_jobs(), 0);
    drop(hold);
}

#[test]
fn behind_a_kill_nothing_is_sent_again_that_was_recorded_wherever_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    let count = 2 * ROWS_KEPT + 10;
    let last = enqueue(&outbox, count);
    for sent in 1..=count {
        let id = send(&outbox);
        settle(&outbox);
        if sent % 97 == 0 || sent.is_multiple_of(ROWS_KEPT) || sent == count {
            let found = pending(killed(directory.path()).path());
            let expected: Vec<i64> = (id + 1..=last).collect();
            assert_eq!(found, expected, "behind {sent}");
        }
    }
}

#[test]
fn what_was_noted_is_forgotten_when_the_client_ends_so_the_file_alone_says_all() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    let last = enqueue(&outbox, 5);
    let sent = [send(&outbox), send(&outbox)];
    outbox.recorder.delete_sent(deadline());
    outbox.store.close();
    std::fs::remove_file(directory.path().join("device.db-sent")).unwrap();
    let expected: Vec<i64> = (sent[1] + 1..=last).collect();
    assert_eq!(pending(directory.path()), expected);
}

#[test]
fn a_backup_that_is_put_back_beside_a_newer_log_forgets_only_what_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    enqueue(&outbox, 3);
    send(&outbox);
    outbox.end(deadline());
    outbox.store.close();
    let backup = killed(directory.path());
    // Of the same generation, and under ids that the backup gives out, too.
    let outbox = open(directory.path());
    let last = enqueue(&outbox, 3);
    while send(&outbox) < last {}
    let newer = directory.path().join("device.db-sent");
    std::fs::copy(&newer, backup.path().join("device.db-sent")).unwrap();

    let restored = open(backup.path());
    assert_eq!(restored.pending().count, 0, "what is in it was sent since");
    assert_eq!(enqueue(&restored, 3), last);
    assert_eq!(pending(killed(backup.path()).path()).len(), 3);
}

#[test]
fn without_a_sent_log_acknowledged_messages_are_deleted_at_once() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("device.db-sent")).unwrap();
    let outbox = open(directory.path());
    let last = enqueue(&outbox, 3);
    let first = send(&outbox);
    settle(&outbox);
    outbox.store.close();
    let expected: Vec<i64> = (first + 1..=last).collect();
    assert_eq!(pending(directory.path()), expected);
}

fn run(outbox: &Outbox, sql: &'static str) {
    let run = move |transaction: &mut Transaction| transaction.connection().execute_batch(sql);
    outbox
        .store
        .execute(Durability::KillSafe, run, |()| {})
        .unwrap();
}

#[test]
fn behind_a_delete_that_failed_nothing_is_noted_until_one_succeeds() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    enqueue(&outbox, 4);
    send(&outbox);
    run(
        &outbox,
        "CREATE TEMP TRIGGER fails BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'test'); END",
    );
    outbox.recorder.delete_sent(deadline());
    send(&outbox);
    let deadline = deadline();
    while !outbox.is_stalled() {
        assert!(Instant::now() < deadline, "the record fails");
        std::thread::yield_now();
    }
    assert_eq!(outbox.pending().count, 3, "it is not recorded yet");
    run(&outbox, "DROP TRIGGER fails");
    outbox.retry();
    settle(&outbox);
    assert_eq!(outbox.pending().count, 2);
    outbox.store.close();
    std::fs::remove_file(directory.path().join("device.db-sent")).unwrap();
    assert_eq!(pending(directory.path()).len(), 2, "it was deleted");
}

fn identity_change() -> IdentityChange<
    impl FnMut(&mut Transaction) -> rusqlite::Result<()> + Send + 'static,
    impl FnOnce() + Send + 'static,
> {
    IdentityChange {
        before: HubDeviceId {
            workspace_id: "workspace".to_owned(),
            device_id: "device".to_owned(),
        },
        now_ms: 0,
        also: |_: &mut Transaction| Ok(()),
        committed: || (),
    }
}

#[test]
fn what_was_noted_is_forgotten_when_everything_pending_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    enqueue(&outbox, 3);
    let sent = send(&outbox);
    settle(&outbox);
    assert_eq!(outbox.shelf.set_all_aside(identity_change()).unwrap(), 2);
    assert_eq!(outbox.pending().count, 0);
    assert_eq!(outbox.shelf.count(), 2);
    let set_aside = outbox.shelf.list().unwrap();
    assert!(set_aside.iter().all(|row| row.id > sent));
}

#[test]
fn behind_a_deletion_what_is_noted_counts_under_the_new_generation() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    let last = enqueue(&outbox, 5);
    send(&outbox);
    outbox.recorder.delete_sent(deadline());
    send(&outbox);
    let third = send(&outbox);
    settle(&outbox);
    let expected: Vec<i64> = (third + 1..=last).collect();
    assert_eq!(pending(killed(directory.path()).path()), expected);
}

#[test]
fn what_was_acknowledged_is_forgotten_and_not_set_aside_although_its_record_fails() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    enqueue(&outbox, 4);
    send(&outbox);
    settle(&outbox);
    // A record that deletes names a new generation.
    run(
        &outbox,
        "CREATE TEMP TRIGGER fails BEFORE INSERT ON counter WHEN NEW.name = 'sent_generation'
         BEGIN SELECT RAISE(ABORT, 'test'); END",
    );
    outbox.recorder.delete_sent(deadline());
    let sent = send(&outbox);
    let deadline = deadline();
    while !outbox.is_stalled() {
        assert!(Instant::now() < deadline, "the record fails");
        std::thread::yield_now();
    }
    let noted = outbox.shared.lock().messages.noted().len();
    assert_eq!(noted, 1, "one is noted, one is not recorded at all");
    let set_aside = outbox.shelf.set_all_aside(identity_change());
    assert_eq!(set_aside.unwrap(), 2);
    let set_aside = outbox.shelf.list().unwrap();
    assert!(set_aside.iter().all(|row| row.id > sent));
}

fn nothing_saved() -> Recovery {
    Recovery {
        set_aside: Default::default(),
        has_registration: true,
        messages: 0,
        lost_messages: None,
        set_aside_messages: 0,
        cloud_messages: 0,
        is_complete: true,
        gaps: Vec::new(),
        may_repeat: false,
    }
}

#[test]
fn a_rebuilt_database_forgets_what_was_noted() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    let last = enqueue(&outbox, 5);
    send(&outbox);
    let second = send(&outbox);
    let shared = Arc::clone(&outbox.shared);
    let sent_log = Arc::clone(&outbox.sent_log);
    let rebuilt = outbox.store.execute(
        Durability::PowerSafe,
        move |transaction| {
            // What was saved of the damaged file may name no generation.
            transaction
                .connection()
                .execute("DELETE FROM counter", ())?;
            recovery::write_back(&shared, &sent_log, transaction, &mut nothing_saved())
        },
        |()| {},
    );
    rebuilt.unwrap();
    assert_eq!(outbox.pending().count, 3);
    let third = send(&outbox);
    let expected: Vec<i64> = (third + 1..=last).collect();
    assert_eq!(pending(killed(directory.path()).path()), expected);
    let killed = killed(directory.path());
    std::fs::remove_file(killed.path().join("device.db-sent")).unwrap();
    let expected: Vec<i64> = (second + 1..=last).collect();
    assert_eq!(pending(killed.path()), expected);
}

fn enqueue_urgent(outbox: &Outbox) -> i64 {
    let urgent = NewMessage {
        priority: Priority::Urgent,
        stored_at_ms: 0,
        properties: String::new(),
        body: NewBody::Inline(Bytes::from_static(b"body")),
    };
    outbox.enqueue(vec![urgent], Durability::PowerSafe).unwrap()
}

#[test]
fn what_is_noted_and_cannot_be_synced_is_deleted_before_another_lane_is_sent_from() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    enqueue(&outbox, 1);
    let noted = send(&outbox);
    settle(&outbox);
    outbox.sent_log.lock().close();
    let urgent = enqueue_urgent(&outbox);
    let deadline = deadline();
    let taken = loop {
        if let Some(message) = outbox.take(&mut Turn::any()) {
            break message.id;
        }
        assert!(Instant::now() < deadline, "there is a Message");
        std::thread::yield_now();
    };
    assert_eq!(taken, urgent);
    let left = outbox
        .store
        .read(move |transaction| rows::outbox::ids(transaction, noted..=urgent));
    assert_eq!(left.unwrap().into_iter().collect::<Vec<_>>(), [urgent]);
}

#[test]
fn a_rebuilt_database_knows_which_lane_was_sent_from() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path());
    let urgent = enqueue_urgent(&outbox);
    assert_eq!(send(&outbox), urgent);
    settle(&outbox);
    let (shared, sent_log) = (Arc::clone(&outbox.shared), Arc::clone(&outbox.sent_log));
    let rebuilt = outbox.store.execute(
        Durability::PowerSafe,
        move |transaction| {
            let sql = transaction.connection();
            sql.execute("DELETE FROM counter", ())?;
            recovery::write_back(&shared, &sent_log, transaction, &mut nothing_saved())?;
            sent_lane::load(transaction)
        },
        |_| {},
    );
    assert_eq!(rebuilt.unwrap(), Priority::Urgent);
}
