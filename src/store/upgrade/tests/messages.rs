//! What the published SDK had not sent. The expected properties are those that it was seen to send
//! for such rows.

use super::fixture::{AGES, Age, Pending, Published, Row};
use crate::identity::HubDeviceId;
use crate::store::rows::set_aside;

pub(super) const IDS: &str = "stream-group-name=g&stream-name=s&site-id=site%201&batch-id=b&batch-slice-id=sl&message-id=m&chunk-id=c";

pub(super) fn upgraded(rows: &[Row<'_>]) -> Vec<Pending> {
    let published = Published::new(Age::V1_2_0);
    rows.iter().for_each(|row| published.message(row));
    let upgraded = published.upgrade();
    assert!(upgraded.set_aside().is_empty());
    upgraded.outbox()
}

fn properties(row: Row<'_>) -> String {
    upgraded(&[row]).remove(0).properties
}

#[test]
fn the_properties_are_those_that_the_published_sdk_sends() {
    let closing = |close_option| Row {
        close_option,
        ..Row::full()
    };
    let completion = "&complete-batch=true&ignore-payload=true";
    assert_eq!(properties(Row::full()), IDS);
    assert_eq!(
        properties(closing("Close")),
        format!("{IDS}&complete-batch=true")
    );
    assert_eq!(
        properties(closing("CloseOnly")),
        format!("{IDS}{completion}")
    );
    assert_eq!(
        properties(closing("CloseMessageOnly")),
        format!("{IDS}&complete-message=true&ignore-payload=true")
    );
    let plain = Row {
        close_option: "CloseOnly",
        ..Row::default()
    };
    assert_eq!(properties(plain), &completion[1..]);
    assert_eq!(properties(Row::default()), "");
    let empty = Row {
        stream_group: Some(""),
        chunk_id: Some(""),
        ..Row::default()
    };
    assert_eq!(properties(empty), "stream-group-name=&chunk-id=");
    let reserved = Row {
        batch_id: Some("AZaz09-._~ !\"#$%&'()*+,/:;<=>?@[\\]^`{|}\u{7f}é"),
        ..Row::default()
    };
    assert_eq!(
        properties(reserved),
        "batch-id=AZaz09-._~%20%21%22%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3C%3D%3E%3F%40%5B%5C%5D%5E\
         %60%7B%7C%7D%7F%C3%A9"
    );
}

#[test]
#[cfg(not(feature = "brotli"))]
fn in_a_build_without_brotli_content_goes_as_it_is() {
    let outbox = upgraded(&[Row {
        content: vec![b'x'; 3000],
        compression: "BrotliFastest",
        ..Row::default()
    }]);
    assert_eq!(outbox[0].body, vec![b'x'; 3000]);
    assert!(!outbox[0].properties.contains("content-encoding"));
}

#[test]
fn messages_keep_their_order_at_every_age() {
    for age in AGES {
        let published = Published::new(age);
        published.numbered_messages(300);
        // A gap, and ids that do not start at 1.
        published.sql("DELETE FROM Messages WHERE id < 100 OR id = 200", ());
        published.message(&Row::full());
        let outbox = published.upgrade().outbox();
        let numbers: Vec<String> = (99..300)
            .filter(|number| *number != 199)
            .map(|number| number.to_string())
            .chain(["content".to_owned()])
            .collect();
        let found: Vec<String> = outbox
            .iter()
            .map(|pending| String::from_utf8(pending.body.clone()).unwrap())
            .collect();
        assert_eq!(found, numbers);
        let last = &outbox.last().unwrap().properties;
        match age {
            Age::V0_1_3 | Age::V1_0_1 => assert_eq!(
                last,
                "stream-group-name=g&stream-name=s&site-id=site%201&batch-id=b&message-id=m"
            ),
            _ => assert_eq!(last, IDS),
        }
    }
}

#[test]
fn what_breaks_a_rule_is_set_aside_with_the_reason_and_the_rest_goes_on() {
    let published = Published::lax(Age::V1_2_0);
    let broken = |change: &str| {
        published.message(&Row::full());
        let sql = format!("UPDATE Messages SET {change} WHERE id = last_insert_rowid()");
        published.sql(&sql, ());
    };
    published.message(&Row::full());
    for change in [
        "close_option = 'Bogus'",
        "close_option = NULL",
        "compression = 'Zip'",
        "content = NULL",
        "content = 'text'",
        "content = 17",
        "batch_id = x'62'",
        "batch_id = CAST(x'62ff' AS TEXT)",
        "chunk_id = 1.5",
        "content = zeroblob(250000), message_id = hex(zeroblob(7000))",
        "batch_slice_id = hex(zeroblob(40000))",
    ] {
        broken(change);
    }
    published.message(&Row::full());
    let upgraded = published.upgrade();
    assert_eq!(upgraded.outbox().len(), 2);
    let set_aside = upgraded.set_aside();
    let reasons: Vec<&str> = set_aside
        .iter()
        .map(|row| {
            row.reason
                .strip_prefix("taken over from the published SDK: ")
                .unwrap()
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "its close_option is unknown",
            "close_option is missing; its close_option is unknown",
            "its compression is unknown",
            "content is missing",
            "content is text in the place of a BLOB",
            "content is a number in the place of a BLOB",
            "batch_id is a BLOB in the place of text",
            "batch_id is text that is not UTF-8",
            "chunk_id is a number in the place of text",
            "its packet takes 264355 bytes, at most 262144 are allowed",
            "its names and ids take 80101 bytes, percent-encoded, of the 65291 that fit a topic",
        ]
    );
    for row in &set_aside {
        assert_eq!(
            (row.workspace_id.as_str(), row.device_id.as_str()),
            ("ws", "wheel-1")
        );
    }
    // What can be kept is kept.
    assert_eq!(set_aside[0].properties, IDS);
    assert_eq!(set_aside[6].properties, IDS);
    assert_eq!(set_aside[4].body_bytes, 4);
    assert!(set_aside[8].properties.ends_with("chunk-id=1.5"));
}

#[test]
fn a_message_that_no_packet_holds_stays_set_aside_when_it_is_retried() {
    let published = Published::new(Age::V1_2_0);
    let long = "x".repeat(70_000);
    published.message(&Row {
        batch_id: Some(&long),
        ..Row::default()
    });
    published.message(&Row {
        close_option: "Bogus",
        ..Row::default()
    });
    let upgraded = published.upgrade();
    let ids: Vec<i64> = upgraded.set_aside().iter().map(|row| row.id).collect();
    let identity = HubDeviceId::parse("ws:wheel-1").unwrap();
    let (totals, _) = upgraded
        .read(move |transaction| set_aside::put_back(transaction, &ids, &identity))
        .unwrap();
    assert_eq!(totals.count, 1);
    assert_eq!(upgraded.outbox()[0].body, b"content");
    assert!(upgraded.set_aside()[0].properties.len() > 70_000);
}

#[test]
fn whatever_is_in_the_table_nothing_is_lost() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    let columns = [
        "site_id",
        "stream_group",
        "stream",
        "batch_id",
        "batch_slice_id",
        "message_id",
        "chunk_id",
        "content",
        "close_option",
        "compression",
    ];
    let values = [
        "NULL",
        "''",
        "'None'",
        "'Close'",
        "'BrotliFastest'",
        "17",
        "-1.5",
        "x''",
        "x'00ff'",
        "zeroblob(300000)",
        "CAST(x'c328' AS TEXT)",
        "char(0, 10, 127, 128512)",
        "hex(zeroblob(33000))",
    ];
    for _ in 0..3 {
        let published = Published::lax(Age::V1_2_0);
        let count = 60;
        for _ in 0..count {
            published.message(&Row::full());
            for column in columns {
                if random.u8(0..4) == 0 {
                    let value = values[random.usize(..values.len())];
                    let sql = format!(
                        "UPDATE Messages SET {column} = {value} WHERE id = last_insert_rowid()"
                    );
                    published.sql(&sql, ());
                }
            }
        }
        let upgraded = published.upgrade();
        assert_eq!(upgraded.outbox().len() + upgraded.set_aside().len(), count);
    }
}
