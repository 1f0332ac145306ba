//! The simulation bites: who is careless with syncs loses something on this disk, and who is careful
//! does not.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use fastrand::Rng;
use rusqlite::Connection;

use crate::disk::{Disk, Fate};
use crate::recorder::{Recording, Watch, files};
use crate::reopening::write;
use crate::survey::seed;

const ROWS: i64 = 40;

/// Inserts one row after the other; notes at which operation each was committed.
fn inserted(pragmas: &str) -> (Recording, Vec<usize>) {
    let directory = tempfile::tempdir().expect("a directory");
    let database = Connection::open(directory.path().join("rows.db")).expect("a file");
    let schema = format!("{pragmas}; CREATE TABLE t (x, y); CREATE INDEX i ON t (y)");
    database.execute_batch(&schema).expect("a table");
    // What was there before is not what this is about.
    drop(database);
    let watch = Watch::begin(directory.path());
    let database = Connection::open(directory.path().join("rows.db")).expect("the file");
    database.execute_batch(pragmas).expect("pragmas");
    let committed = (0..ROWS).map(|row| {
        let sql = "INSERT INTO t VALUES (?1, hex(randomblob(400)))";
        database.execute(sql, [row]).expect("a row");
        watch.now()
    });
    let committed = committed.collect();
    (watch.end(), committed)
}

/// How many survivals have lost a row that was committed, and how many are damaged.
fn harmed(pragmas: &str) -> (usize, usize) {
    let (recording, committed) = inserted(pragmas);
    let seed = seed();
    println!("{pragmas}: SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut disk = Disk::new(&recording);
    let (mut lost, mut damaged) = (0, 0);
    for (at, operation) in recording.operations.iter().enumerate() {
        let fate = Fate::random(&mut random);
        let directory = write(&disk.survive(fate, &mut random));
        let expected = committed.iter().filter(|when| **when <= at).count();
        match count(directory.path()) {
            Ok(found) => lost += usize::from(found < expected),
            Err(_) => damaged += 1,
        }
        disk.apply(operation);
    }
    println!("{pragmas}: {lost} with a loss, {damaged} damaged");
    (lost, damaged)
}

fn count(directory: &Path) -> Result<usize, String> {
    let text = |error: rusqlite::Error| error.to_string();
    let database = Connection::open(directory.join("rows.db")).map_err(text)?;
    let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let whole = database
        .pragma_query_value(None, "integrity_check", check)
        .map_err(text)?;
    if whole != "ok" {
        return Err(whole);
    }
    let count = database.query_row("SELECT count(*) FROM t", (), |row| row.get::<_, i64>(0));
    count
        .map_err(text)
        .map(|count| usize::try_from(count).unwrap_or(0))
}

#[test]
fn sqlite_without_syncs_loses_rows_and_damages_its_file() {
    let (lost, _) = harmed("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
    assert!(lost > 0);
    let (_, damaged) = harmed("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF");
    assert!(damaged > 0);
}

#[test]
fn sqlite_that_syncs_at_checkpoints_only_loses_rows_and_stays_whole() {
    let (lost, damaged) = harmed("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    assert!(lost > 0);
    assert_eq!(damaged, 0);
}

#[test]
fn sqlite_that_syncs_loses_nothing() {
    let careful = [
        "WAL; PRAGMA synchronous = FULL",
        "DELETE; PRAGMA synchronous = EXTRA",
    ];
    for mode in careful {
        assert_eq!(harmed(&format!("PRAGMA journal_mode = {mode}")), (0, 0));
    }
}

/// Puts a file in the place of another, with as many of the syncs that this takes.
fn replaced(syncs_file: bool, syncs_directory: bool) -> Recording {
    let directory = tempfile::tempdir().expect("a directory");
    let (old, new) = (
        directory.path().join("file"),
        directory.path().join("file-new"),
    );
    fs::write(&old, "old").expect("a file");
    let watch = Watch::begin(directory.path());
    let mut file = File::create(&new).expect("a file");
    file.write_all(b"new").expect("its content");
    if syncs_file {
        file.sync_all().expect("it is synced");
    }
    fs::rename(&new, &old).expect("it has the name");
    if syncs_directory {
        File::open(directory.path())
            .and_then(|it| it.sync_all())
            .expect("it is synced");
    }
    let recording = watch.end();
    let left = files(directory.path());
    assert!(left.values().eq([b"new"]));
    recording
}

/// What may be under the name in the end.
fn outcomes(recording: &Recording) -> Vec<String> {
    let mut disk = Disk::new(recording);
    recording
        .operations
        .iter()
        .for_each(|operation| disk.apply(operation));
    let mut random = Rng::with_seed(seed());
    let survive = |_| {
        let fate = Fate::random(&mut random);
        let image = disk.survive(fate, &mut random);
        String::from_utf8_lossy(&image["file"]).into_owned()
    };
    let mut outcomes: Vec<String> = (0..200).map(survive).collect();
    outcomes.sort();
    outcomes.dedup();
    outcomes
}

#[test]
fn a_file_and_its_name_each_need_a_sync() {
    assert_eq!(outcomes(&replaced(true, true)), ["new"]);
    assert_eq!(outcomes(&replaced(true, false)), ["new", "old"]);
    assert!(outcomes(&replaced(false, true)).contains(&String::new()));
}
