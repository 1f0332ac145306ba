//! Databases that are damaged in every place, and what is saved of them.

mod contents;
mod logs;

use std::fs;
use std::path::Path;

use super::damaged::Damaged;
use super::rebuild::build;
use super::switch::{building, complete};
use super::{Known, rebuild, record};
use crate::error::Result;
use crate::identity::HubDeviceId;
use crate::message::Priority;
use crate::message::outgoing::Outgoing;
use crate::secret::Secret;
use crate::store::disk::files::{behind_links, with_suffix};
use crate::store::rows::device::{self, DeviceRow};
use crate::store::rows::documents::{self, DocumentKind};
use crate::store::rows::set_aside::{self, Cause};
use crate::store::rows::{in_use, inbox, latest, outbox};
use crate::store::{Durability, Recovery, Store};

fn device_row() -> DeviceRow {
    DeviceRow {
        instance: "instance".to_owned(),
        provisioning_token: Secret::new("provisioning".to_owned()),
        requested_device_id: None,
        registration_token: Some(Secret::new("registration".to_owned())),
        identity: Some(HubDeviceId {
            workspace_id: "w".to_owned(),
            device_id: "d".to_owned(),
        }),
        identity_is_open: false,
    }
}

const MESSAGES: i64 = 400;
const SENT: i64 = 150;

fn body(number: i64) -> Vec<u8> {
    let bytes = [10, 200, 1500, 700][number as usize % 4];
    format!("{number} {}", "x".repeat(bytes)).into_bytes()
}

/// Some are kept as the latest.
fn properties(number: i64) -> &'static str {
    if number % 4 == 0 {
        "p\nlatest=/stream/"
    } else {
        "p"
    }
}

/// A database with rows of all kinds, some Messages sent, and free pages; in the file if `in_file`, else
/// in the WAL as after a kill.
fn database(directory: &Path, in_file: bool) -> std::path::PathBuf {
    let path = directory.join("device.db");
    let store = Store::open(&path).unwrap();
    store
        .execute(
            Durability::PowerSafe,
            move |transaction| {
                device::save(transaction, &device_row())?;
                if in_file {
                    // Makes its index.
                    latest::find(transaction, "none")?;
                }
                let twin = (7, "{\"a\":1}".to_owned());
                documents::save(transaction, DocumentKind::Desired, Some(&twin))?;
                inbox::insert(transaction, "c2d", &[1; 3000])?;
                let id = outbox::insert(transaction, Priority::Normal, 0, "", false, b"aside")?;
                let identity = &device_row().identity.unwrap();
                let cause = Cause {
                    reason: "reason",
                    identity,
                    now_ms: 0,
                };
                set_aside::move_one(transaction, id, cause).map(drop)
            },
            |()| {},
        )
        .unwrap();
    for number in 0..MESSAGES {
        store
            .execute(
                Durability::KillSafe,
                move |transaction| {
                    let properties = if in_file { properties(number) } else { "p" };
                    outbox::insert(
                        transaction,
                        Priority::Normal,
                        number,
                        properties,
                        false,
                        &body(number),
                    )
                },
                |_| {},
            )
            .unwrap();
    }
    for number in 0..SENT {
        store
            .execute(
                Durability::KillSafe,
                move |transaction| {
                    let forget = "DELETE FROM outbox WHERE stored_at_ms = ?1";
                    transaction.connection().execute(forget, [number]).map(drop)
                },
                |()| {},
            )
            .unwrap();
    }
    if in_file {
        drop(store);
        return path;
    }
    killed(directory)
}

/// The database of a store that is still open, as a kill leaves it.
fn killed(directory: &Path) -> std::path::PathBuf {
    let killed = directory.join("killed");
    fs::create_dir(&killed).unwrap();
    for name in ["device.db", "device.db-wal", "device.db-lock"] {
        fs::copy(directory.join(name), killed.join(name)).unwrap();
    }
    killed.join("device.db")
}

struct Found {
    messages: Vec<Outgoing>,
    has_device: bool,
    has_rest: bool,
    next_id: i64,
    recovery: Option<Recovery>,
}

fn open(path: &Path) -> Result<Found> {
    let store = Store::open(path)?;
    let found = store.read(|transaction| {
        let twin = documents::load(transaction, DocumentKind::Desired)?;
        Ok((
            outbox::load(transaction, &(0..=i64::MAX), usize::MAX, usize::MAX)?.0,
            device::load(transaction)?.is_some(),
            twin.is_some()
                && inbox::totals(transaction)?.count == 1
                && set_aside::count(transaction)? == 1,
        ))
    });
    let (messages, has_device, has_rest) = found?;
    let next_id = store.execute(
        Durability::KillSafe,
        |transaction| outbox::insert(transaction, Priority::Normal, MESSAGES, "", false, b"new"),
        |_| {},
    )?;
    Ok(Found {
        messages,
        has_device,
        has_rest,
        next_id,
        recovery: store.recovery(),
    })
}

fn numbers(found: &Found) -> Vec<i64> {
    found.messages.iter().map(|it| it.stored_at_ms).collect()
}

fn all() -> Vec<i64> {
    (SENT..MESSAGES).collect()
}

fn damage(path: &Path, page: usize) {
    let mut bytes = fs::read(path).unwrap();
    let start = (page - 1) * record::PAGE;
    bytes[start..start + record::PAGE].fill(0x99);
    fs::write(path, bytes).unwrap();
}

#[test]
fn whichever_page_is_damaged_the_other_pages_rows_are_saved_in_order() {
    let original = tempfile::tempdir().unwrap();
    let original = database(original.path(), true);
    let pages = fs::metadata(&original).unwrap().len() as usize / record::PAGE;
    for page in (1..=12).chain((13..=pages).step_by(7)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.db");
        fs::copy(&original, &path).unwrap();
        damage(&path, page);
        let found = open(&path).unwrap_or_else(|error| panic!("page {page}: {}", error.chain()));
        let saved = numbers(&found);
        assert!(saved.is_sorted(), "page {page}: {saved:?}");
        let missing = all()
            .iter()
            .filter(|number| !saved.contains(number))
            .count();
        // A page holds up to about 50 small rows.
        assert!(missing <= 50, "page {page}: {missing} are missing");
        assert!(found.has_device, "page {page}: the registration is lost");
        assert!(
            found.next_id > MESSAGES,
            "page {page}: id {}",
            found.next_id
        );
        let unexpected = saved.iter().filter(|number| **number < SENT).count();
        if missing > 0 || !found.has_rest || unexpected > 0 {
            let recovery = found.recovery.expect("what is missing is reported");
            assert!(!recovery.is_complete, "page {page}");
            assert!(missing == 0 || !recovery.gaps.is_empty(), "page {page}");
            assert!(
                unexpected == 0 || recovery.may_repeat,
                "page {page}: {saved:?}"
            );
            let kept = fs::read(recovery.set_aside).unwrap();
            assert_eq!(kept[(page - 1) * record::PAGE], 0x99);
        }
    }
}

#[test]
fn a_file_whose_header_is_garbage_is_saved_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), true);
    damage(&path, 1);
    let found = open(&path).unwrap();
    assert_eq!(numbers(&found), all());
    assert!(found.has_device && found.has_rest);
}

#[test]
fn a_file_that_was_cut_off_keeps_what_is_left() {
    for eighths in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let path = database(directory.path(), true);
        let bytes = fs::metadata(&path).unwrap().len() * eighths / 8;
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(bytes)
            .unwrap();
        let found = open(&path).unwrap();
        assert!(numbers(&found).is_sorted());
        if eighths > 0 {
            assert!(found.has_device, "{eighths}");
            assert!(!found.recovery.expect("it is reported").is_complete);
        }
    }
}

#[test]
fn a_file_of_zeros_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("device.db");
    fs::write(&path, [0; 5000]).unwrap();
    let recovery = open(&path).unwrap().recovery.expect("it is reported");
    assert!(!recovery.is_complete);
    assert_eq!(fs::read(recovery.set_aside).unwrap(), [0; 5000]);
}

#[test]
fn ids_go_on_behind_all_that_were_given_out_also_when_the_counter_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), true);
    let counter: i64 = {
        let file = rusqlite::Connection::open(&path).unwrap();
        // All that had an id is gone.
        file.execute_batch("DELETE FROM outbox; DELETE FROM set_aside; DELETE FROM inbox")
            .unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'counter'";
        file.query_row(root, (), |row| row.get(0)).unwrap()
    };
    fs::remove_file(with_suffix(&path, "-wal")).unwrap_or(());
    damage(&path, counter as usize);
    let recovery = rebuild(&path, 0, Known::Nothing).unwrap();
    assert!(!recovery.is_complete);
    assert!(open(&path).unwrap().next_id > MESSAGES + 3);
}

#[test]
fn ids_go_on_behind_those_that_the_running_device_has_given_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), true);
    rebuild(&path, 0, Known::NextId(1_000_000)).unwrap();
    assert!(open(&path).unwrap().next_id >= 1_000_000);
}

#[test]
fn a_rebuilt_file_misses_no_log_before_it_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), false);
    // The log says that it is there.
    let alone = directory.path().join("alone.db");
    let is_in_use = || {
        fs::copy(&path, &alone).unwrap();
        in_use::is_set(&rusqlite::Connection::open(&alone).unwrap()).unwrap()
    };
    assert!(is_in_use(), "as a kill leaves it");
    rebuild(&path, 0, Known::Nothing).unwrap();
    assert!(!is_in_use());
}

#[test]
fn of_the_damaged_files_the_newest_two_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), true);
    for _ in 0..4 {
        damage(&path, 1);
        open(&path).unwrap();
    }
    let entries = fs::read_dir(directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let kept = names.filter(|name| name.contains("-damaged-") && !name.ends_with("-wal"));
    assert_eq!(kept.count(), 2);
}

#[test]
fn a_crash_at_any_step_of_the_switch_leaves_everything_to_the_next_start() {
    for steps in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let path = database(directory.path(), true);
        damage(&path, 1);
        // What `rebuild` has done until then.
        let file = behind_links(&path).unwrap();
        let damaged = Damaged::open(&file).unwrap();
        build(&damaged, &file, &building(&file), Known::Nothing).unwrap();
        if steps > 0 {
            fs::rename(building(&file), complete(&file)).unwrap();
        }
        if steps > 1 {
            fs::rename(
                with_suffix(&file, "-wal"),
                with_suffix(&file, "-damaged-x-wal"),
            )
            .unwrap();
        }
        if steps > 2 {
            fs::rename(&file, with_suffix(&file, "-damaged-x")).unwrap();
        }
        let found = open(&path).unwrap();
        assert_eq!(numbers(&found), all(), "{steps} steps");
        assert!(found.has_device && found.has_rest);
        assert!(!building(&file).exists() && !complete(&file).exists());
    }
}

#[test]
fn a_newer_schema_and_foreign_files_are_never_salvaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), true);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .pragma_update(None, "journal_mode", "DELETE")
        .unwrap();
    connection.pragma_update(None, "user_version", 4).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let error = Store::open(&path).err().expect("it is refused");
    assert!(
        error.chain().to_string().contains("version 4"),
        "{}",
        error.chain()
    );
    assert!(fs::read(&path).unwrap() == before);
}
