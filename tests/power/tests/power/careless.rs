//! The simulation bites: who is careless with syncs loses something in it.

use std::collections::BTreeMap;
use std::path::Path;

use fastrand::Rng;
use rusqlite::Connection;

use crate::disk::{Disk, Fate};
use crate::recorder::{Recording, Watch, files};

#[test]
fn smoke() {
    let directory = tempfile::tempdir().unwrap();
    let watch = Watch::begin(directory.path());
    let db = Connection::open(directory.path().join("x.db")).unwrap();
    db.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t (x); ").unwrap();
    for i in 0..10 { db.execute("INSERT INTO t VALUES (?1)", [i]).unwrap(); }
    drop(db);
    let recording = watch.end();
    let mut disk = Disk::new(&recording);
    for op in &recording.operations { println!("{}", format!("{op:?}").chars().take(80).collect::<String>()); disk.apply(op); }
    assert!(disk.survive(Fate::Kept, &mut Rng::new()) == files(directory.path()));
}
