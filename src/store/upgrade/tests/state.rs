//! Properties and cloud-to-device messages.

use serde_json::{Value, json};

use super::fixture::{AGES, Age, Published, Upgraded};
use crate::message::property_bag;
use crate::store::rows::documents::DocumentKind;

fn with_twins(desired: &str, reported: &str) -> Published {
    let published = Published::new(Age::V1_2_0);
    twins(&published, desired, reported);
    published
}

fn twins(published: &Published, desired: &str, reported: &str) {
    published.sql(
        "INSERT INTO Twins (type, properties) VALUES ('desired', ?1), ('reported', ?2)",
        [desired, reported],
    );
}

fn update(published: &Published, kind: &str, patch: &str) {
    published.sql(
        "INSERT INTO ReportedPropertiesUpdates (update_type, patch) VALUES (?1, ?2)",
        [kind, patch],
    );
}

fn document(upgraded: &Upgraded, kind: DocumentKind) -> Option<(u64, Value)> {
    let (version, text) = upgraded.twin(kind)?;
    Some((version, serde_json::from_str(&text).unwrap()))
}

#[test]
fn the_newest_twins_are_kept_at_every_age() {
    for age in AGES {
        let published = Published::new(age);
        twins(
            &published,
            r#"{"$version":1,"old":true}"#,
            r#"{"$version":1}"#,
        );
        twins(
            &published,
            r#"{"$version":7,"deep":{"a":[1,null]},"interval":5}"#,
            r#"{"$version":4,"a":3}"#,
        );
        let upgraded = published.upgrade();
        let desired = json!({"deep": {"a": [1, null]}, "interval": 5});
        assert_eq!(
            document(&upgraded, DocumentKind::Desired),
            Some((7, desired))
        );
        assert_eq!(
            document(&upgraded, DocumentKind::Reported),
            Some((4, json!({"a": 3})))
        );
        assert_eq!(document(&upgraded, DocumentKind::Wanted), None);
    }
}

#[test]
fn pending_updates_become_what_is_wanted_in_their_order() {
    let published = with_twins(r#"{"$version":1}"#, r#"{"$version":4,"a":3,"b":{"c":1}}"#);
    update(&published, "Full", r#"{"a":{"x":1,"y":2},"gone":1}"#);
    update(&published, "Patch", r#"{"a":{"x":null,"z":3},"gone":null}"#);
    update(&published, "Patch", r#"{"b":[1]}"#);
    let upgraded = published.upgrade();
    let wanted = json!({"a": {"y": 2, "z": 3}, "b": [1]});
    assert_eq!(document(&upgraded, DocumentKind::Wanted), Some((0, wanted)));
    // What the Platform has is not known: the stored twin had the updates in it.
    assert_eq!(document(&upgraded, DocumentKind::Reported), None);
}

#[test]
fn a_pending_patch_applies_to_what_is_reported() {
    let published = with_twins(r#"{"$version":1}"#, r#"{"$version":4,"a":3,"b":{"c":1}}"#);
    update(&published, "Patch", r#"{"b":{"c":null,"d":2}}"#);
    let upgraded = published.upgrade();
    let wanted = json!({"a": 3, "b": {"d": 2}});
    assert_eq!(document(&upgraded, DocumentKind::Wanted), Some((0, wanted)));

    let without_twin = Published::new(Age::V1_2_0);
    update(&without_twin, "Patch", r#"{"b":{"c":null,"d":2}}"#);
    let upgraded = without_twin.upgrade();
    let wanted = json!({"b": {"d": 2}});
    assert_eq!(document(&upgraded, DocumentKind::Wanted), Some((0, wanted)));
}

#[test]
fn a_broken_update_is_left_out_and_the_others_count() {
    let published = with_twins(r#"{"$version":1}"#, r#"{"$version":4}"#);
    update(&published, "Full", r#"{"a":1}"#);
    for (kind, patch) in [
        ("Half", r#"{"a":2}"#),
        ("Full", "[]"),
        ("Patch", "{"),
        ("Full", ""),
    ] {
        update(&published, kind, patch);
    }
    update(&published, "Patch", r#"{"b":2}"#);
    let upgraded = published.upgrade();
    let wanted = json!({"a": 1, "b": 2});
    assert_eq!(document(&upgraded, DocumentKind::Wanted), Some((0, wanted)));
}

#[test]
fn properties_that_cannot_be_read_or_reported_are_left_out() {
    for broken in ["", "[]", "{}", r#"{"$version":-1}"#, "\u{0}"] {
        let upgraded = with_twins(broken, broken).upgrade();
        assert_eq!(upgraded.twin(DocumentKind::Desired), None);
        assert_eq!(document(&upgraded, DocumentKind::Wanted), None);
    }
    let published = with_twins(r#"{"$version":1}"#, r#"{"$version":4}"#);
    update(
        &published,
        "Full",
        &json!({"a": "x".repeat(5000)}).to_string(),
    );
    assert_eq!(document(&published.upgrade(), DocumentKind::Wanted), None);

    let lax = Published::lax(Age::V1_2_0);
    lax.sql(
        "INSERT INTO Twins (type, properties) VALUES ('desired', x'ff')",
        (),
    );
    lax.sql(
        "INSERT INTO ReportedPropertiesUpdates (update_type) VALUES ('Full')",
        (),
    );
    assert_eq!(document(&lax.upgrade(), DocumentKind::Wanted), None);
}

#[test]
fn unprocessed_cloud_messages_are_kept_with_their_properties() {
    for age in AGES {
        let published = Published::new(age);
        for number in 1..=3 {
            published.sql(
                "INSERT INTO CloudToDeviceMessages (content) VALUES (?1)",
                [format!("hello {number}").into_bytes()],
            );
            for (key, value) in [("$.mid", "1/2"), ("k", "v ä"), ("z&=", "")] {
                published.sql(
                    "INSERT INTO CloudToDeviceProperties VALUES (?1, ?2, ?3)",
                    (number, key, value),
                );
            }
        }
        let inbox = published.upgrade().inbox();
        let bodies: Vec<&[u8]> = inbox.iter().map(|row| row.body.as_slice()).collect();
        assert_eq!(bodies, [b"hello 1", b"hello 2", b"hello 3"]);
        for row in &inbox {
            let pairs = property_bag::parse(&row.properties);
            let expected = [("$.mid", "1/2"), ("k", "v ä"), ("z&=", "")];
            let pairs: Vec<(&str, &str)> = pairs
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect();
            assert_eq!(pairs, expected);
        }
    }
}

#[test]
fn a_broken_cloud_message_is_kept_as_well_as_it_can_be() {
    let published = Published::lax(Age::V1_2_0);
    published.sql(
        "INSERT INTO CloudToDeviceMessages (content) VALUES (NULL), ('text'), (x'01')",
        (),
    );
    published.sql(
        "INSERT INTO CloudToDeviceProperties VALUES (3, 'k', x'41ff'), (3, NULL, 'v'), (3, 'n', 5)",
        (),
    );
    let inbox = published.upgrade().inbox();
    let bodies: Vec<&[u8]> = inbox.iter().map(|row| row.body.as_slice()).collect();
    assert_eq!(bodies, [&b""[..], b"text", b"\x01"]);
    let pairs = property_bag::parse(&inbox[2].properties);
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(pairs, [("k", "A\u{fffd}"), ("", "v"), ("n", "5")]);
}

#[test]
fn tables_that_are_missing_are_empty() {
    let published = Published::new(Age::V0_1_3);
    published.numbered_messages(1);
    for table in [
        "CloudToDeviceProperties",
        "CloudToDeviceMessages",
        "Twins",
        "ReportedPropertiesUpdates",
    ] {
        published.sql(&format!("DROP TABLE {table}"), ());
    }
    let upgraded = published.upgrade();
    assert_eq!(upgraded.outbox().len(), 1);
    assert!(upgraded.inbox().is_empty());
    assert_eq!(upgraded.twin(DocumentKind::Desired), None);
}
