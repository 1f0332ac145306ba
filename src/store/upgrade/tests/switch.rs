//! From the old file to the new one: crashes, failures, journals, and who else has the file.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::super::take_over::{STEPS, TakeOver, temporary};
use super::fixture::{Age, Published, Row, files, texts};
use crate::error::Error;
use crate::store::Store;
use crate::store::disk::sqlite;

const REPLACE: usize = 4;

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn published(messages: usize) -> Published {
    let published = Published::new(Age::V1_2_0);
    published.connection.execute_batch("BEGIN").unwrap();
    published.numbered_messages(messages);
    published.connection.execute_batch("COMMIT").unwrap();
    published
}

fn begin(path: &Path) -> TakeOver {
    let connection = sqlite::connect(path).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    TakeOver::new(connection, path, 0).unwrap()
}

/// The files as a crash leaves them at this moment.
pub(super) fn crash(directory: &Path) -> tempfile::TempDir {
    let after = tempfile::tempdir().unwrap();
    for name in files(directory) {
        fs::copy(directory.join(&name), after.path().join(&name)).unwrap();
    }
    after
}

fn is_ours(path: &Path) -> bool {
    fs::read(path).unwrap().get(68..72) == Some(b"SpfD")
}

/// Our library starts on it and finds these Messages; nothing else is left in the directory.
fn assert_starts(directory: &Path, messages: usize) {
    let store = Store::open(&directory.join("device.db")).unwrap();
    assert_eq!(texts(&store), numbers(messages));
    drop(store);
    assert_eq!(
        files(directory),
        ["device.db", "device.db-lock", "device.db-wal"]
    );
}

/// As the published SDK would read it.
fn count_as_published(directory: &Path) -> i64 {
    let connection = Connection::open(directory.join("device.db")).unwrap();
    connection
        .query_row("SELECT count(*) FROM Messages", (), |row| row.get(0))
        .unwrap()
}

#[test]
fn a_crash_behind_any_step_leaves_a_file_to_start_from() {
    for steps in 0..=STEPS.len() {
        let published = published(500);
        let before = published.bytes();
        let mut take_over = begin(&published.path);
        for step in &STEPS[..steps] {
            step(&mut take_over).unwrap();
        }
        let after = crash(published.directory());
        let path = after.path().join("device.db");
        if steps <= REPLACE {
            assert_eq!(fs::read(&path).unwrap(), before, "{steps} steps");
            assert_eq!(count_as_published(after.path()), 500);
        } else {
            assert!(is_ours(&path));
        }
        assert_starts(after.path(), 500);
    }
}

#[test]
fn a_crash_within_the_building_leaves_the_old_file_and_the_next_start_the_rest() {
    let published = published(500);
    let before = published.bytes();
    let mut take_over = begin(&published.path);
    STEPS[..REPLACE]
        .iter()
        .for_each(|step| step(&mut take_over).unwrap());
    let complete = fs::read(temporary(&published.path)).unwrap();
    for bytes in [0, 1, 100, 1024, complete.len() / 2, complete.len() - 1] {
        let after = crash(published.directory());
        let path = after.path().join("device.db");
        fs::write(temporary(&path), &complete[..bytes]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_starts(after.path(), 500);
    }
}

#[test]
fn what_a_crash_left_is_removed_also_when_there_is_nothing_to_take_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("device.db");
    drop(Store::open(&path).unwrap());
    fs::write(temporary(&path), "tokens").unwrap();
    drop(Store::open(&path).unwrap());
    assert_eq!(
        files(directory.path()),
        ["device.db", "device.db-lock", "device.db-wal"]
    );
}

/// As a kill within a transaction leaves it: changed pages in the file, what was in them in the journal.
fn killed_in_a_transaction(messages: usize) -> tempfile::TempDir {
    let published = published(messages);
    let before = published.bytes();
    published
        .connection
        .execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE Messages SET content = zeroblob(500)")
        .unwrap();
    let after = crash(published.directory());
    assert_eq!(files(after.path()), ["device.db", "device.db-journal"]);
    assert_ne!(fs::read(after.path().join("device.db")).unwrap(), before);
    after
}

/// As a kill leaves it when somebody has changed the journal mode: all Messages are in the WAL.
fn killed_in_wal_mode(messages: usize) -> tempfile::TempDir {
    let published = Published::new(Age::V1_2_0);
    published
        .connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; BEGIN")
        .unwrap();
    published.numbered_messages(messages);
    published.connection.execute_batch("COMMIT").unwrap();
    let after = crash(published.directory());
    assert!(after.path().join("device.db-wal").exists());
    after
}

#[test]
fn a_journal_is_honoured_and_never_meets_the_new_file() {
    for killed in [killed_in_a_transaction, killed_in_wal_mode] {
        for steps in 0..=STEPS.len() {
            let killed = killed(500);
            let mut take_over = begin(&killed.path().join("device.db"));
            for step in &STEPS[..steps] {
                step(&mut take_over).unwrap();
            }
            let after = crash(killed.path());
            if steps >= REPLACE {
                let names = files(after.path());
                assert!(
                    !names
                        .iter()
                        .any(|name| name.ends_with("-journal") || name.ends_with("-wal"))
                );
            }
            if steps <= REPLACE {
                let undecided = crash(after.path());
                assert_eq!(count_as_published(undecided.path()), 500, "{steps} steps");
            }
            assert_starts(after.path(), 500);
        }
    }
}

#[test]
fn a_void_journal_does_not_stay_beside_the_new_file() {
    let published = published(1);
    published
        .connection
        .execute_batch("PRAGMA journal_mode = PERSIST")
        .unwrap();
    published.numbered_messages(1);
    let left = crash(published.directory());
    assert_eq!(files(left.path()), ["device.db", "device.db-journal"]);
    drop(Store::open(&left.path().join("device.db")).unwrap());
    assert_eq!(
        files(left.path()),
        ["device.db", "device.db-lock", "device.db-wal"]
    );
}

#[test]
fn a_file_that_is_being_written_is_refused_and_left_alone() {
    let published = published(3);
    let before = published.bytes();
    published
        .connection
        .execute_batch("BEGIN IMMEDIATE")
        .unwrap();
    let mut take_over = begin(&published.path);
    let refused = STEPS[0](&mut take_over);
    assert!(matches!(
        refused,
        Err(Error::DatabaseInUse { holder: None, .. })
    ));
    drop(take_over);
    assert_eq!(published.bytes(), before);
    assert_eq!(published.files(), ["device.db"]);
}

/// A process that has the file open, until it is dropped.
#[cfg(target_os = "linux")]
struct Holder(std::process::Child);

#[cfg(target_os = "linux")]
impl Holder {
    fn of(path: &Path) -> Holder {
        let mut command = std::process::Command::new("sleep");
        Holder(
            command
                .arg("600")
                .stdin(File::open(path).unwrap())
                .spawn()
                .unwrap(),
        )
    }

    fn is_blamed(&self, refused: Result<(), Error>) -> bool {
        match refused {
            Err(Error::DatabaseInUse { holder, .. }) => holder == Some(self.0.id()),
            _ => false,
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_another_process_has_open_is_refused_and_left_alone() {
    let published = published(3);
    let before = published.bytes();
    let holder = Holder::of(&published.path);
    assert!(holder.is_blamed(Store::open(&published.path).map(drop)));
    drop(holder);

    // One that comes while the new file is built is not cut off from its own, either.
    let mut take_over = begin(&published.path);
    STEPS[..REPLACE]
        .iter()
        .for_each(|step| step(&mut take_over).unwrap());
    let holder = Holder::of(&published.path);
    assert!(holder.is_blamed(STEPS[REPLACE](&mut take_over)));
    drop(take_over);
    assert_eq!(published.bytes(), before);
    assert_eq!(published.files(), ["device.db", "device.db-lock"]);
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let published = published(5000);
    let mut damaged = published.bytes();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20_000].fill(0xff);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("device.db");
    fs::write(&path, &damaged).unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Database { .. })));
    assert_eq!(fs::read(&path).unwrap(), damaged);
    assert_eq!(files(directory.path()), ["device.db", "device.db-lock"]);
}

#[test]
fn a_second_start_finds_our_database_and_ids_go_on() {
    let published = published(3);
    let path = published.path.clone();
    let upgraded = published.upgrade();
    let first = upgraded.outbox();
    let last_id: i64 = upgraded
        .read(|transaction| {
            transaction
                .connection()
                .query_row("SELECT max(id) FROM outbox", (), |row| row.get(0))
        })
        .unwrap();
    let directory = upgraded.close();
    let store = Store::open(&path).unwrap();
    assert_eq!(super::fixture::outbox(&store), first);
    let next = store.read(|transaction| transaction.next_id()).unwrap();
    assert!(next > last_id);
    drop(store);
    assert_eq!(
        files(directory.path()),
        ["device.db", "device.db-lock", "device.db-wal"]
    );
}

#[cfg(unix)]
#[test]
fn the_new_file_is_readable_by_its_owner_only_and_its_pages_are_ours() {
    use std::os::unix::fs::PermissionsExt;
    let published = published(3);
    published.message(&Row::full());
    let path = published.path.clone();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let upgraded = published.upgrade();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let page_bytes: i64 = upgraded
        .read(|transaction| {
            transaction
                .connection()
                .pragma_query_value(None, "page_size", |row| row.get(0))
        })
        .unwrap();
    assert_eq!(page_bytes, 1024);
}

#[cfg(unix)]
#[test]
fn a_link_to_the_file_stays_a_link() {
    let published = published(3);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(&published.path, &link).unwrap();
    let store = Store::open(&link).unwrap();
    assert_eq!(texts(&store), numbers(3));
    drop(store);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(is_ours(&published.path));
}
