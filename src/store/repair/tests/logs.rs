//! What a write-ahead log has, where the file or the log itself is damaged.

use super::*;
use crate::store::repair::wal_frames::{Frames, scan};

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

fn wal_frames_of(bytes: &[u8]) -> Frames {
    scan(bytes).unwrap()
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
