//! Databases that are damaged in every place, and what is saved of them.

use std::fs;
use std::path::Path;

use super::damaged::Damaged;
use super::rebuild::build;
use super::switch::{building, complete};
use super::wal_frames::{Frames, scan};
use super::{Known, rebuild, record};
use crate::error::Result;
use crate::identity::HubDeviceId;
use crate::message::Priority;
use crate::message::outgoing::Outgoing;
use crate::secret::Secret;
use crate::store::disk::files::{behind_links, with_suffix};
use crate::store::rows::chunks::{self, CHUNK_BYTES, StoredContent};
use crate::store::rows::device::{self, DeviceRow};
use crate::store::rows::documents::{self, DocumentKind};
use crate::store::rows::set_aside::{self, Cause};
use crate::store::rows::{in_use, inbox, latest, outbox};
use crate::store::{Durability, Recovery, Store, Transaction};

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
fn a_file_that_was_emptied_is_saved_from_its_wal() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), false);
    fs::write(&path, "").unwrap();
    let found = open(&path).unwrap();
    assert!(found.has_device);
    let recovery = found.recovery.as_ref().expect("it is reported");
    // As far as it was not moved into the file before.
    assert!(!recovery.is_complete || numbers(&found) == all());
    assert!(!found.messages.is_empty());
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
fn messages_behind_a_damaged_frame_of_the_wal_are_saved_and_a_copy_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), false);
    let wal = with_suffix(&path, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let frames = wal_frames_of(&bytes);
    let middle = frames.used[frames.used.len() / 4].offset as usize;
    bytes[middle + 500] ^= 1;
    fs::write(&wal, &bytes).unwrap();
    assert!(wal_frames_of(&bytes).dropped_commits() > 0);
    let found = open(&path).unwrap();
    let saved = numbers(&found);
    let missing = all()
        .iter()
        .filter(|number| !saved.contains(number))
        .count();
    assert!(missing <= 50, "{missing} are missing");
    assert!(saved.is_sorted() && found.has_device);
    let names = fs::read_dir(path.parent().unwrap()).unwrap();
    let kept = names
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("-damaged-"))
        .expect("a copy is kept");
    assert!(fs::read(kept).unwrap() == bytes);
}

#[test]
fn a_registration_behind_a_damaged_frame_of_the_wal_is_the_one_that_holds() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("device.db")).unwrap();
    let save = |token: &str| {
        let row = DeviceRow {
            registration_token: Some(Secret::new(token.to_owned())),
            ..device_row()
        };
        store
            .execute(
                Durability::PowerSafe,
                move |transaction| device::save(transaction, &row),
                |()| {},
            )
            .unwrap();
    };
    save("older");
    for number in 0..20 {
        store
            .execute(
                Durability::KillSafe,
                move |transaction| {
                    outbox::insert(
                        transaction,
                        Priority::Normal,
                        number,
                        "p",
                        false,
                        &body(number),
                    )
                },
                |_| {},
            )
            .unwrap();
    }
    save("newer");
    let path = killed(directory.path());
    let wal = with_suffix(&path, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let frames = wal_frames_of(&bytes);
    let middle = frames.used[frames.used.len() / 2].offset as usize;
    bytes[middle + 500] ^= 1;
    fs::write(&wal, &bytes).unwrap();
    let found = Store::open(&path)
        .unwrap()
        .read(|transaction| device::load(transaction))
        .unwrap();
    let token = found.and_then(|it| it.registration_token).expect("a token");
    assert_eq!(token.expose(), "newer");
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

fn wal_frames_of(bytes: &[u8]) -> Frames {
    scan(bytes).unwrap()
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

#[test]
fn a_log_that_was_cut_off_anywhere_is_known_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path(), false);
    let is_cut_off = || Damaged::open(&path).unwrap().wal_is_cut_off();
    assert!(!is_cut_off(), "as a kill leaves it");
    let log = with_suffix(&path, "-wal");
    for bytes in [60_000, 2000, 1056, 1055, 911, 40, 32, 31, 1] {
        let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
        file.set_len(bytes).unwrap();
        assert!(is_cut_off(), "{bytes} bytes");
    }
    drop(Store::open(&path).unwrap());
    assert!(!is_cut_off(), "as an orderly end leaves it");
}

/// A file in whose outbox are Messages with content in chunks, in its order, among others.
fn with_contents(directory: &Path, contents: &[usize]) -> std::path::PathBuf {
    let path = directory.join("device.db");
    let store = Store::open(&path).unwrap();
    for (number, bytes) in contents.iter().enumerate() {
        let content = content(number, *bytes);
        let write = move |transaction: &mut Transaction| {
            let id = chunks::begin(transaction)?;
            for (place, chunk) in (0..).zip(content.chunks(CHUNK_BYTES)) {
                chunks::append(transaction, id, place, chunk)?;
            }
            let bytes = content.len() as u64;
            let stored = StoredContent { id, bytes };
            let at_ms = 2 * number as i64;
            outbox::insert_with_content(transaction, Priority::Normal, at_ms, "p", stored)?;
            outbox::insert(transaction, Priority::Normal, at_ms + 1, "p", false, b"x")
        };
        store.execute(Durability::PowerSafe, write, |_| {}).unwrap();
    }
    drop(store);
    path
}

/// Each chunk of it is different.
fn content(number: usize, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number as u64);
    (0..bytes).map(|_| random.u8(..)).collect()
}

#[test]
fn content_in_chunks_is_saved_whole_or_its_message_is_lost_and_told() {
    let sizes = [2 * CHUNK_BYTES + 1, 3 * CHUNK_BYTES, CHUNK_BYTES + 9];
    let original = tempfile::tempdir().unwrap();
    let original = with_contents(original.path(), &sizes);
    let pages = fs::metadata(&original).unwrap().len() as usize / record::PAGE;
    let (mut whole, mut lost) = (0, 0);
    for page in (1..=12).chain((13..=pages).step_by(173)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.db");
        fs::copy(&original, &path).unwrap();
        damage(&path, page);
        let store = Store::open(&path).unwrap_or_else(|it| panic!("page {page}: {}", it.chain()));
        // Pages of chunks are read only when it is their turn: as the uploader does.
        let read = || {
            store.read(|transaction| {
                let (rows, _) = outbox::load(transaction, &(0..=i64::MAX), 100, usize::MAX)?;
                let read = |row: Outgoing| {
                    let content = outbox::content(transaction, row.id, 0..u64::MAX)?;
                    Ok((row.stored_at_ms, content))
                };
                rows.into_iter()
                    .map(read)
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
        };
        let rows = read().unwrap_or_else(|it| panic!("page {page}: {}", it.chain()));
        for (at_ms, found) in &rows {
            let number = *at_ms as usize / 2;
            if at_ms % 2 == 0 {
                let expected = content(number, sizes[number]);
                // Bytes that are damaged where no structure is are no matter here.
                let found = found.as_ref().expect("it is to be uploaded");
                assert_eq!(found.len(), expected.len(), "page {page}");
                whole += 1;
            } else {
                assert_eq!(*found, None, "page {page}");
            }
        }
        let missing = 2 * sizes.len() - rows.len();
        if missing > 0 {
            lost += 1;
            let recovery = store.recovery().expect("what is missing is reported");
            assert!(!recovery.gaps.is_empty(), "page {page}: {recovery:?}");
        }
    }
    assert!(whole > 0 && lost > 0, "{whole} {lost}");
}

#[test]
fn a_message_whose_chunk_is_gone_is_lost_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = with_contents(directory.path(), &[CHUNK_BYTES + 1, CHUNK_BYTES + 2]);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "DELETE FROM chunk WHERE id = (SELECT max(id) FROM chunk)";
    assert_eq!(connection.execute(sql, ()).unwrap(), 1);
    drop(connection);
    let store = Store::open(&path).unwrap();
    let rows = |store: &Store| {
        let load = |transaction: &mut Transaction| {
            let ids = 0..=i64::MAX;
            let (rows, _) = outbox::load(transaction, &ids, 100, usize::MAX)?;
            Ok(rows.iter().map(|row| (row.id, row.stored_at_ms)).collect())
        };
        store.read::<Vec<(i64, i64)>>(load).unwrap()
    };
    let (broken, _) = rows(&store)[2];
    let read = store.read(move |it| outbox::content(it, broken, 0..u64::MAX));
    assert_eq!(
        read.unwrap(),
        None,
        "it is found when it is read, and mended"
    );
    let left: Vec<i64> = rows(&store).into_iter().map(|(_, at_ms)| at_ms).collect();
    assert_eq!(left, [0, 1, 3]);
    let recovery = store.recovery().expect("it is reported");
    assert_eq!(recovery.gaps, [broken..=broken]);
}
