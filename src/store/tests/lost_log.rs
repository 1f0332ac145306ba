//! A file that was not closed in order, and whose write-ahead log did not come with it.

use std::fs;

use super::*;

/// Copies these files of the database elsewhere.
fn copied(directory: &tempfile::TempDir, suffixes: &[&str]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for suffix in suffixes {
        let name = format!("device.db{suffix}");
        fs::copy(directory.path().join(&name), copy.path().join(&name)).unwrap();
    }
    copy
}

fn bodies(store: &Store) -> Vec<Vec<u8>> {
    let read = |transaction: &mut Transaction| -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut rows = transaction
            .connection()
            .prepare("SELECT body FROM outbox ORDER BY id")?;
        rows.query_map((), |row| row.get(0))?.collect()
    };
    store.read(read).unwrap()
}

#[test]
fn a_log_that_is_lost_is_told_as_a_recovery_and_what_is_in_the_file_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    insert(&open(&directory), b"in the file");
    let store = open(&directory);
    insert(&store, b"in the log");
    let newest = insert(&store, b"in the log, too");
    let killed = copied(&directory, &[""]);
    drop(store);

    // An empty log is what a start that was killed has left.
    fs::write(killed.path().join("device.db-wal"), "").unwrap();
    let store = open(&killed);
    assert_eq!(bodies(&store), [b"in the file"]);
    let recovery = store.recovery().expect("the application is told");
    assert!(!recovery.is_complete);
    assert_eq!((recovery.messages, recovery.lost_messages), (1, None));
    assert!(recovery.set_aside.exists());
    assert!(insert(&store, b"later") > newest, "an id comes again");
    drop(store);
    assert!(open(&killed).recovery().is_none(), "it is told once");
}

#[test]
fn nothing_is_told_lost_of_a_first_run_that_was_closed_in_order_or_of_one_with_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    insert(&store, b"x");
    let killed = copied(&directory, &["", "-wal"]);
    drop(store);
    let closed = copied(&directory, &[""]);
    for copy in [killed, closed] {
        for _ in 0..2 {
            let store = open(&copy);
            assert!(store.recovery().is_none());
            assert_eq!(bodies(&store), [b"x"]);
        }
    }
}

/// As somebody who looks at it with `sqlite3` does.
fn move_log_with_sqlite(directory: &tempfile::TempDir) {
    let sqlite = rusqlite::Connection::open(directory.path().join("device.db")).unwrap();
    rows::in_use::is_set(&sqlite).unwrap();
    // With its end, SQLite moves the log into the file and removes it.
    drop(sqlite);
    assert!(!directory.path().join("device.db-wal").exists());
}

#[test]
fn a_log_that_another_program_has_moved_into_the_file_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    insert(&open(&directory), b"of another run");
    let store = open(&directory);
    let untouched = copied(&directory, &["", "-wal"]);
    insert(&store, b"in the log");
    let killed = copied(&directory, &["", "-wal"]);
    store.checkpoint();
    let moved_by_us = copied(&directory, &["", "-wal"]);
    insert(&store, b"behind it");
    let used_again = copied(&directory, &["", "-wal"]);
    for (copy, messages) in [
        (untouched, 1),
        (killed, 2),
        (moved_by_us, 2),
        (used_again, 3),
    ] {
        // Also at the second time.
        for _ in 0..2 {
            move_log_with_sqlite(&copy);
            let store = open(&copy);
            assert!(store.recovery().is_none(), "{messages} Messages");
            assert_eq!(bodies(&store).len(), messages);
        }
    }
}

#[test]
fn what_was_in_the_log_behind_a_checkpoint_is_missed_if_it_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    insert(&store, b"x");
    store.checkpoint();
    let moved_by_us = copied(&directory, &[""]);
    insert(&store, b"y");
    let used_again = copied(&directory, &[""]);
    for copy in [moved_by_us, used_again] {
        let store = open(&copy);
        assert_eq!(bodies(&store), [b"x"]);
        assert!(!store.recovery().expect("it is told").is_complete);
    }
    // A log that another program has moved, and then the next one.
    let killed = copied(&directory, &["", "-wal"]);
    move_log_with_sqlite(&killed);
    let store = open(&killed);
    insert(&store, b"z");
    let lost = copied(&killed, &[""]);
    let store = open(&lost);
    assert_eq!(bodies(&store), [b"x", b"y"]);
    assert!(store.recovery().is_some());
}

#[test]
fn a_file_of_before_the_mark_misses_no_log() {
    let directory = tempfile::tempdir().unwrap();
    insert(&open(&directory), b"x");
    let store = open(&directory);
    let unmark = |transaction: &mut Transaction| rows::in_use::clear(transaction.connection());
    store
        .execute(Durability::PowerSafe, unmark, |()| {})
        .unwrap();
    let killed = copied(&directory, &["", "-wal"]);
    drop(store);
    move_log_with_sqlite(&killed);
    assert!(open(&killed).recovery().is_none());
}

#[test]
fn a_file_that_was_written_back_misses_no_log_until_it_is_in_use_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    insert(&store, b"x");
    fs::remove_file(directory.path().join("device.db")).unwrap();
    insert(&store, b"y");
    let killed = copied(&directory, &[""]);
    assert!(open(&killed).recovery().is_some(), "it is in use again");
    drop(store);
    assert!(open(&directory).recovery().is_none());
}
