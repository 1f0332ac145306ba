//! An upgrade that was rolled back, and done again: the published SDK has run on a file of ours.

use super::super::take_over::{STEPS, TakeOver};
use super::fixture::{Age, Published, Row, texts};
use crate::store::disk::sqlite;
use crate::store::rows::documents::{self, DocumentKind};
use crate::store::rows::open_upload;
use crate::store::tests::earlier_version;
use crate::store::{Durability, Store};

/// Our file with the Messages 0 to 2, one set aside, and what the device wants reported; and on it
/// the published SDK with two more Messages.
fn rolled_back() -> Published {
    let published = Published::new(Age::V1_1_0);
    published.numbered_messages(3);
    published.message(&Row {
        close_option: "Bogus",
        ..Row::default()
    });
    let upgraded = published.upgrade();
    upgraded
        .store
        .execute(
            Durability::PowerSafe,
            |transaction| {
                let wanted = (0, r#"{"stale":true}"#.to_owned());
                documents::save(transaction, DocumentKind::Wanted, Some(&wanted))
            },
            |()| {},
        )
        .unwrap();
    let again = Published::again_in(upgraded.close());
    for text in ["3", "4"] {
        again.message(&Row {
            content: text.into(),
            ..Row::default()
        });
    }
    again
}

#[test]
fn nothing_is_lost_and_what_we_stored_comes_first() {
    let published = rolled_back();
    published.sql(
        "UPDATE SdkConfiguration SET registration_token = 'newer'",
        (),
    );
    let upgraded = published.upgrade();
    assert_eq!(texts(&upgraded.store), ["0", "1", "2", "3", "4"]);
    assert_eq!(upgraded.set_aside().len(), 1);
    let token = upgraded.device().unwrap().registration_token.unwrap();
    assert_eq!(token.expose(), "newer");
    assert_eq!(upgraded.twin(DocumentKind::Wanted), None);
}

#[test]
fn what_we_stored_as_another_device_is_set_aside() {
    let published = rolled_back();
    published.sql("UPDATE SdkConfiguration SET device_id = 'other'", ());
    let upgraded = published.upgrade();
    assert_eq!(texts(&upgraded.store), ["3", "4"]);
    let set_aside = upgraded.set_aside();
    let names: Vec<&str> = set_aside.iter().map(|row| row.device_id.as_str()).collect();
    assert_eq!(names, ["wheel-1"; 4]);
    let reasons = set_aside
        .iter()
        .filter(|row| row.reason == "stored as device ws:wheel-1");
    assert_eq!(reasons.count(), 3);
}

#[test]
fn a_crash_behind_any_step_loses_nothing_either() {
    for steps in 0..=STEPS.len() {
        let directory = rolled_back().end();
        let path = directory.path().join("device.db");
        let connection = sqlite::connect(&path).unwrap();
        let mut take_over = TakeOver::new(connection, &path, 0).unwrap();
        for step in &STEPS[..steps] {
            step(&mut take_over).unwrap();
        }
        let after = super::switch::crash(directory.path());
        let store = Store::open(&after.path().join("device.db")).unwrap();
        assert_eq!(texts(&store), ["0", "1", "2", "3", "4"], "{steps} steps");
    }
}

#[test]
fn what_an_earlier_version_of_ours_stored_is_kept_too() {
    let directory = tempfile::tempdir().unwrap();
    earlier_version::closed(directory.path());
    let again = Published::again_in(directory);
    again.numbered_messages(1);
    let upgraded = again.upgrade();
    assert_eq!(texts(&upgraded.store), ["0"]);
    // Those of another device, and the one that was set aside before.
    let set_aside = upgraded.set_aside().len() as i64;
    assert_eq!(set_aside, earlier_version::MESSAGES + 1);
    assert_eq!(upgraded.inbox().len(), 1);
    let upload = upgraded.read(|transaction| open_upload::load(transaction));
    assert_eq!(upload.unwrap().unwrap().device, "w:d");
}
