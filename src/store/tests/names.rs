//! By which names a database can be given, and what must not be in its place.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn stored(store: &Store) -> i64 {
    store
        .read(|transaction| {
            transaction
                .connection()
                .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
        })
        .unwrap()
}

fn refusal(path: &Path) -> String {
    match Store::open(path) {
        Err(
            error @ Error::InvalidArgument {
                argument: "database",
                ..
            },
        ) => error.to_string(),
        Err(error) => panic!("{}", error.chain()),
        Ok(_) => panic!("{} was opened", path.display()),
    }
}

#[test]
fn a_second_client_is_kept_out_behind_a_symbolic_link_too_whatever_the_program_opens_and_closes() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    symlink(directory.path().join("device.db"), &link).unwrap();
    // The file is made behind the link.
    let store = Store::open(&link).unwrap();
    insert(&store, b"x");
    // A backup: with its end POSIX lets go of all locks of this process on the file, SQLite's own included.
    fs::read(&link).unwrap();
    for path in [&link, &directory.path().join("device.db")] {
        assert!(matches!(
            Store::open(path),
            Err(Error::DatabaseInUse { .. })
        ));
    }
    drop(store);
    assert_eq!(stored(&open(&directory)), 1);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

#[test]
fn a_file_with_a_second_name_is_refused_until_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other.db");
    let store = open(&directory);
    fs::hard_link(store.path(), &other).unwrap();
    assert!(refusal(&other).contains("hard links"));
    drop(store);
    assert!(refusal(&directory.path().join("device.db")).contains("hard links"));
    assert!(!directory.path().join("other.db-lock").exists());
    fs::remove_file(&other).unwrap();
    open(&directory);
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo.db");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    assert!(refusal(&path).contains("not a regular file"));
    let round = directory.path().join("round.db");
    symlink(&round, &round).unwrap();
    assert!(refusal(&round).contains("not a regular file"));
}

#[test]
fn a_relative_path_is_made_absolute() {
    // The working directory is the process's: it is not changed here, where other tests run beside.
    let here = std::env::current_dir().unwrap();
    let directory = tempfile::tempdir_in(&here).unwrap();
    let relative = Path::new(directory.path().file_name().unwrap()).join("device.db");
    let store = Store::open(&relative).unwrap();
    let file = directory.path().canonicalize().unwrap().join("device.db");
    assert_eq!(store.path(), file);
}

#[test]
fn a_path_that_looks_like_a_uri_is_a_name() {
    let here = std::env::current_dir().unwrap();
    let directory = tempfile::Builder::new()
        .prefix("file:")
        .tempdir_in(&here)
        .unwrap();
    let relative = Path::new(directory.path().file_name().unwrap()).join("x?mode=memory&y=%41.db");
    insert(&Store::open(&relative).unwrap(), b"x");
    assert!(directory.path().join("x?mode=memory&y=%41.db").exists());
    assert_eq!(stored(&Store::open(&relative).unwrap()), 1);
}

#[test]
fn a_file_whose_name_is_not_utf8_is_written_back_under_its_own_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(OsStr::from_bytes(b"ger\xe4t.db"));
    let store = Store::open(&path).unwrap();
    insert(&store, b"x");
    fs::remove_file(&path).unwrap();
    insert(&store, b"y");
    drop(store);
    assert!(path.exists());
    assert_eq!(stored(&Store::open(&path).unwrap()), 2);
}

#[test]
fn a_file_that_others_could_read_is_its_owner_s_alone_from_the_start() {
    let directory = tempfile::tempdir().unwrap();
    insert(&open(&directory), b"x");
    let files = || {
        fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    for file in files() {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let _store = open(&directory);
    for file in files() {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}
