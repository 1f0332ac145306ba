pub(in crate::store) mod earlier_version;
mod lost_log;
#[cfg(unix)]
mod names;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::rows::outbox;
use super::*;
use crate::message::Priority;

fn open(directory: &tempfile::TempDir) -> Store {
    Store::open(&directory.path().join("device.db")).expect("the store opens")
}

fn insert(store: &Store, body: &'static [u8]) -> i64 {
    store
        .execute(
            Durability::PowerSafe,
            move |transaction| outbox::insert(transaction, Priority::Normal, 0, "", false, body),
            |_| {},
        )
        .expect("it is stored")
}

fn delete_all(store: &Store, ids: Vec<i64>) {
    store
        .execute(
            Durability::KillSafe,
            move |transaction| {
                ids.iter()
                    .try_for_each(|id| outbox::delete(transaction, *id))
            },
            |()| {},
        )
        .expect("they are deleted");
}

#[test]
fn ids_grow_and_never_repeat_also_after_the_table_was_empty() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let store = open(&directory);
        for _ in 0..3 {
            let id = insert(&store, b"x");
            assert!(id > last, "{id} after {last}");
            last = id;
            delete_all(&store, vec![id]);
        }
    }
}

#[cfg(unix)]
#[test]
fn every_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    insert(&store, b"x");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["device.db", "device.db-lock", "device.db-wal"]);
}

/// A header is trusted by SQLite before the journal that undoes it is played back.
#[test]
fn garbage_that_a_power_cut_left_of_a_files_creation_shapes_no_later_file() {
    const RESERVED_BYTES: usize = 20;
    const LARGEST_ROOT: usize = 52;
    const INCREMENTAL_VACUUM: usize = 64;
    // Of a file that had no pages: magic, 0 records, a nonce, 0 pages, sector and page size.
    let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    for number in [0_u32, 1, 0, 512, disk::sqlite::PAGE_BYTES] {
        journal.extend(number.to_be_bytes());
    }
    journal.resize(512, 0);
    for garbage in [RESERVED_BYTES, LARGEST_ROOT, INCREMENTAL_VACUUM] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.db");
        drop(open(&directory));
        let mut page = std::fs::read(&path).unwrap();
        page.truncate(disk::sqlite::PAGE_BYTES as usize);
        page[garbage] = 8;
        std::fs::remove_file(directory.path().join("device.db-wal")).unwrap();
        std::fs::write(&path, page).unwrap();
        std::fs::write(directory.path().join("device.db-journal"), &journal).unwrap();
        let store = open(&directory);
        insert(&store, b"x");
        drop(store);
        let sqlite = rusqlite::Connection::open(&path).unwrap();
        let problems: String = sqlite
            .pragma_query_value(None, "integrity_check", |row| row.get(0))
            .unwrap();
        assert_eq!(problems, "ok");
        sqlite
            .pragma_update(None, "wal_checkpoint", "TRUNCATE")
            .unwrap();
        let header = std::fs::read(&path).unwrap();
        let found = [RESERVED_BYTES, LARGEST_ROOT + 3, INCREMENTAL_VACUUM + 3];
        assert_eq!(found.map(|place| header[place]), [0; 3], "of {garbage}");
        assert_eq!(header[garbage], 0);
    }
}

#[test]
fn a_second_client_is_told_who_holds_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let path = directory.path().join("device.db");
    let Err(Error::DatabaseInUse { holder, .. }) = Store::open(&path) else {
        panic!("the file opened twice");
    };
    assert_eq!(holder, Some(std::process::id()));
    drop(store);
    Store::open(&path).expect("the lock went with the first client");
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("device.db");
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign
        .execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
        .unwrap();
    drop(foreign);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Database { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let garbage = directory.path().join("garbage.db");
    std::fs::write(&garbage, [7; 5000]).unwrap();
    assert!(matches!(Store::open(&garbage), Err(Error::Database { .. })));
    assert_eq!(std::fs::read(&garbage).unwrap(), [7; 5000]);
}

#[test]
fn paths_that_cannot_be_a_database_are_refused_with_the_rule() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder.db");
    std::fs::create_dir(&folder).unwrap();
    for path in [
        Path::new("device"),
        Path::new("device.sqlite"),
        Path::new(".db"),
        &folder,
    ] {
        let error = validate_path(path).unwrap_err();
        assert!(
            matches!(
                error,
                Error::InvalidArgument {
                    argument: "database",
                    ..
                }
            ),
            "{error}"
        );
    }
    let missing = directory.path().join("missing").join("device.db");
    assert!(matches!(Store::open(&missing), Err(Error::Database { .. })));
}

#[test]
fn a_job_that_fails_does_not_fail_those_that_share_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let (done, results) = crossbeam_channel::unbounded();
    // The first job holds the transaction until the others have queued behind it.
    let (enter, entered) = crossbeam_channel::bounded::<()>(0);
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    store.post(
        Durability::KillSafe,
        move |_| {
            enter
                .send(())
                .and_then(|()| {
                    released
                        .recv()
                        .map_err(|_| crossbeam_channel::SendError(()))
                })
                .ok();
            Ok(())
        },
        |_| {},
    );
    entered.recv().unwrap();
    for number in 0..3 {
        let done = done.clone();
        store.post(
            Durability::PowerSafe,
            move |transaction| {
                outbox::insert(transaction, Priority::Normal, number, "", false, b"x")?;
                match number {
                    1 => Err(rusqlite::Error::InvalidQuery),
                    _ => Ok(()),
                }
            },
            move |result| done.send((number, result.is_ok())).unwrap(),
        );
    }
    release.send(()).unwrap();
    let results: Vec<(i64, bool)> = (0..3).map(|_| results.recv().unwrap()).collect();
    assert_eq!(results, [(0, true), (1, false), (2, true)]);
    let (rows, _) = store
        .read(|transaction| outbox::load(transaction, &(0..=i64::MAX), 10, 1 << 20))
        .unwrap();
    let numbers: Vec<i64> = rows.iter().map(|row| row.stored_at_ms).collect();
    assert_eq!(numbers, [0, 2]);
}

#[test]
fn nothing_is_committed_during_a_hold_and_everything_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&directory));
    let (done, results) = crossbeam_channel::unbounded();
    let hold = store.hold();
    let posted = done.clone();
    store.post(
        Durability::KillSafe,
        |_| Ok(()),
        move |_| posted.send("posted").unwrap(),
    );
    let caller = std::thread::spawn({
        let store = Arc::clone(&store);
        move || {
            insert(&store, b"x");
            done.send("stored").unwrap();
        }
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.waiting_jobs() < 2 {
        assert!(Instant::now() < deadline, "the jobs do not wait");
        std::thread::yield_now();
    }
    assert!(results.is_empty());
    drop(hold);
    let mut results: Vec<&str> = results.iter().collect();
    results.sort();
    assert_eq!(results, ["posted", "stored"]);
    caller.join().unwrap();
}

#[test]
fn holds_come_about_while_threads_store_without_a_pause() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    store.read(|_| Ok(())).unwrap();
                }
            });
        }
        let holders = [(); 2].map(|()| scope.spawn(|| (0..50).for_each(|_| drop(store.hold()))));
        for holder in holders {
            holder.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_last_handle_may_go_with_a_job_and_those_behind_it_are_still_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&directory));
    let last = Arc::clone(&store);
    let hold = store.hold();
    store.post(
        Durability::KillSafe,
        |_| Ok(()),
        move |_: Result<()>| drop(last),
    );
    let (tell, told) = std::sync::mpsc::channel();
    store.post(
        Durability::KillSafe,
        |_| Ok(()),
        move |result| tell.send(result).unwrap(),
    );
    drop(store);
    drop(hold);
    told.recv().unwrap().unwrap();
}

#[test]
fn what_is_queued_at_close_is_still_committed_and_later_calls_fail() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for _ in 0..100 {
        store.post(
            Durability::KillSafe,
            |transaction| {
                outbox::insert(transaction, Priority::Normal, 0, "", false, b"x").map(drop)
            },
            |_| {},
        );
    }
    store.close();
    assert!(matches!(store.read(|_| Ok(())), Err(Error::Closed)));
    drop(store);
    let totals = open(&directory)
        .read(|transaction| outbox::totals(transaction))
        .unwrap();
    assert_eq!(totals.count, 100);
}

#[test]
fn the_file_shrinks_after_a_large_backlog_was_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("device.db");
    let store = open(&directory);
    let ids = store
        .execute(
            Durability::PowerSafe,
            |transaction| {
                (0..3000)
                    .map(|_| {
                        outbox::insert(transaction, Priority::Normal, 0, "", false, &[1; 2000])
                    })
                    .collect()
            },
            |_: &Vec<i64>| {},
        )
        .unwrap();
    store.close();
    drop(store);
    let full = std::fs::metadata(&path).unwrap().len();
    assert!(full > 6_000_000);
    let store = open(&directory);
    delete_all(&store, ids);
    store.close();
    let empty = std::fs::metadata(&path).unwrap().len();
    assert!(empty < 100_000, "{empty} bytes are left of {full}");
}

#[test]
fn the_wal_stays_bounded_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let wal = directory.path().join("device.db-wal");
    let mut largest = 0;
    for _ in 0..20_000 {
        let id = store
            .execute(
                Durability::KillSafe,
                |transaction| {
                    outbox::insert(transaction, Priority::Normal, 0, "", false, &[1; 200])
                },
                |_| {},
            )
            .unwrap();
        delete_all(&store, vec![id]);
        largest = largest.max(std::fs::metadata(&wal).unwrap().len());
    }
    assert!(largest < 8 << 20, "the WAL grew to {largest} bytes");
}

#[test]
fn what_cannot_be_written_back_into_a_rebuilt_database_does_not_stop_what_is_stored_later() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    store.on_recovery(|_, _| Err(rusqlite::Error::InvalidQuery));
    let found_damage = |_: &mut Transaction| -> rusqlite::Result<()> {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Err(rusqlite::Error::SqliteFailure(code, None))
    };
    let failed = store.execute(Durability::PowerSafe, found_damage, |()| {});
    assert!(failed.is_err());
    insert(&store, b"x");
}
