//! Rows of unknown shape: our tables with any value in any column, and columns that are missing or new.
//!
//! Nobody but us writes them; but a damaged page can hold anything, and people have an `sqlite3` at hand.

use std::cell::RefCell;
use std::path::PathBuf;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use spotflow_fuzz::{Choices, fuzz};

use super::ids::MessageIds;
use super::writer::Writer;
use super::{device_rows, inbox_rows, open_upload, outbox_rows, schema, set_aside_rows};

/// The columns of our tables, the first of each the key.
const TABLES: [(&str, &[&str]); 7] = [
    (
        "device",
        &[
            "id",
            "instance",
            "provisioning_token",
            "requested_device_id",
            "registration_token",
            "workspace_id",
            "device_id",
            "identity_is_open",
        ],
    ),
    ("counter", &["name", "value"]),
    ("sent", &["id"]),
    (
        "outbox",
        &["id", "stored_at_ms", "properties", "upload", "body"],
    ),
    (
        "set_aside",
        &[
            "id",
            "set_aside_at_ms",
            "reason",
            "workspace_id",
            "device_id",
            "stored_at_ms",
            "properties",
            "upload",
            "body",
        ],
    ),
    ("inbox", &["id", "properties", "body"]),
    ("twin", &["kind", "version", "document"]),
];

/// Any value, and how it is put into a statement: SQLite takes text that is not UTF-8 only by a cast.
pub(super) fn value(choices: &mut Choices<'_>) -> (Value, &'static str) {
    match choices.byte() % 8 {
        0 => (Value::Null, "?"),
        1 => (Value::Integer(choices.byte().into()), "?"),
        2 => (Value::Integer(choices.i64()), "?"),
        3 => (
            Value::Real(choices.pick(&[0.5, -1.0, 1e300, f64::INFINITY, 9.3e18])),
            "?",
        ),
        4 | 5 => (Value::Text(choices.text()), "?"),
        6 => {
            let count = choices.below(8);
            (Value::Blob(choices.raw(count)), "CAST(? AS TEXT)")
        }
        _ => {
            let count = choices.below(8);
            (Value::Blob(choices.raw(count)), "?")
        }
    }
}

/// A value as it should be, most often.
fn likely(choices: &mut Choices<'_>, column: &str) -> (Value, &'static str) {
    if choices.one_in(6) {
        return value(choices);
    }
    let value = match column {
        "id" => Value::Integer(choices.pick(&[
            1,
            2,
            3,
            0,
            -1,
            i64::MIN,
            i64::MAX,
            9_007_199_254_740_993,
        ])),
        "name" => Value::Text("reserved_ids".to_owned()),
        "kind" => Value::Text(
            choices
                .pick(&["desired", "reported", "wanted", "device", "upload"])
                .to_owned(),
        ),
        "document" => Value::Text(document(choices)),
        "value" | "version" | "stored_at_ms" | "set_aside_at_ms" => Value::Integer(choices.i64()),
        "upload" | "identity_is_open" => Value::Integer(choices.bool().into()),
        "body" => Value::Blob(b"content".to_vec()),
        _ => Value::Text("text".to_owned()),
    };
    (value, "?")
}

/// A twin, or what the other kinds of that table hold.
fn document(choices: &mut Choices<'_>) -> String {
    match choices.byte() % 4 {
        0 => choices.damaged_text(r#"{"correlation_id": "c", "device": "ws:dev"}"#),
        1 => choices.damaged_text(
            r#"{"instance": "i", "provisioning_token": "p", "registration_token": "r",
                "workspace_id": "ws", "device_id": "dev", "identity_is_open": false}"#,
        ),
        _ => serde_json::Value::Object(choices.document(2)).to_string(),
    }
}

/// How many sorts of tables there are.
const SCHEMAS: usize = 24;

/// Our tables with columns that take anything, some of them missing or new. The first are as they are.
fn lax(schema: usize) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    let mut random = fastrand::Rng::with_seed(schema as u64);
    for (table, columns) in TABLES {
        let mut columns: Vec<&str> = columns.to_vec();
        if columns[0] == "id" && (schema < 4 || random.u8(..) > 32) {
            columns[0] = "id INTEGER PRIMARY KEY";
        }
        if schema >= 4 && random.u8(0..6) == 0 {
            let place = random.usize(0..columns.len());
            columns[place] = "other";
        }
        if schema >= 4 && random.u8(0..6) == 0 {
            columns.push("new");
        }
        let sql = format!("CREATE TABLE {table} ({})", columns.join(", "));
        connection.execute_batch(&sql).unwrap();
    }
    connection.set_prepared_statement_cache_capacity(256);
    connection
}

/// Begins a case on a database that has been used for others.
pub(super) fn begin(connection: &Connection) {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").unwrap();
    }
    connection.execute_batch("BEGIN").unwrap();
}

fn fill(connection: &Connection, choices: &mut Choices<'_>) {
    for (table, columns) in TABLES {
        for _ in 0..choices.below(3) {
            let row: Vec<_> = columns
                .iter()
                .map(|column| likely(choices, column))
                .collect();
            let places: Vec<&str> = row.iter().map(|(_, place)| *place).collect();
            let columns = columns.join(", ");
            let sql = format!(
                "INSERT INTO {table} ({columns}) VALUES ({})",
                places.join(", ")
            );
            let values = row.into_iter().map(|(value, _)| value);
            // A column may be missing, and a key there already.
            let insert = connection.prepare_cached(&sql);
            drop(insert.and_then(|mut insert| insert.execute(params_from_iter(values))));
        }
    }
}

/// Reads all of it as a client does.
fn read_all(writer: &mut Writer) -> rusqlite::Result<()> {
    let results = [
        device_rows::load_device(writer).map(drop),
        outbox_rows::totals(writer).map(drop),
        inbox_rows::totals(writer).map(drop),
        set_aside_rows::count(writer).map(drop),
        read_twins(writer),
        read_outbox(writer),
        read_inbox(writer),
        read_set_aside(writer),
        open_upload::load(writer).map(drop),
        open_upload::forget(writer),
        device_rows::restore_copy(writer).map(drop),
    ];
    results.into_iter().collect()
}

fn read_twins(writer: &Writer) -> rusqlite::Result<()> {
    use device_rows::TwinKind::{Desired, Reported, Wanted};
    for kind in [Desired, Reported, Wanted] {
        device_rows::load_twin(writer, kind)?;
    }
    Ok(())
}

fn read_outbox(writer: &Writer) -> rusqlite::Result<()> {
    let (mut after, mut more) = (i64::MIN, true);
    while more {
        let (rows, others) = outbox_rows::load(writer, after, 1, 1)?;
        if let Some(row) = rows.first() {
            assert!(row.id > after, "the outbox goes round in circles");
            after = row.id;
            outbox_rows::content(writer, row.id)?;
        }
        more = others;
    }
    Ok(())
}

fn read_inbox(writer: &mut Writer) -> rusqlite::Result<()> {
    let mut after = i64::MIN;
    while let Some(row) = inbox_rows::next(writer, after)? {
        assert!(row.id > after, "the inbox goes round in circles");
        after = row.id;
        inbox_rows::delete(writer, row.id)?;
    }
    Ok(())
}

fn read_set_aside(writer: &mut Writer) -> rusqlite::Result<()> {
    let ids: Vec<i64> = set_aside_rows::list(writer)?
        .iter()
        .map(|row| row.id)
        .collect();
    set_aside_rows::put_back(writer, &ids, "text", "text")?;
    set_aside_rows::delete(writer, &ids)?;
    Ok(())
}

#[test]
fn rows_of_any_shape_are_read_or_refused() {
    let no_ids = MessageIds::load(&lax(0)).unwrap();
    let writer = |schema| RefCell::new(Writer::new(lax(schema), PathBuf::new(), no_ids));
    let writers: Vec<_> = (0..SCHEMAS).map(writer).collect();
    fuzz("database rows", move |choices| {
        let writer = &mut *writers[choices.below(SCHEMAS)].borrow_mut();
        begin(writer.sql().unwrap());
        fill(writer.sql().unwrap(), choices);
        let Ok(ids) = MessageIds::load(writer.sql().unwrap()) else {
            return;
        };
        writer.set_ids(ids);
        for _ in 0..3 {
            // The ids may be used up; then there is an error.
            if writer.next_id().is_err() {
                break;
            }
        }
        let _ = read_all(writer);
    });
}

#[test]
fn ids_that_are_used_up_are_an_error() {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    connection
        .execute(
            "INSERT INTO counter VALUES ('reserved_ids', ?1)",
            [i64::MAX],
        )
        .unwrap();
    let mut ids = MessageIds::load(&connection).unwrap();
    let error = ids.next(&connection).unwrap_err();
    assert!(error.to_string().contains("used up"), "{error}");
    let row = "INSERT INTO outbox VALUES (?1, 0, '', 0, x'')";
    connection.execute(row, [i64::MAX]).unwrap();
    let error = MessageIds::load(&connection).unwrap_err();
    assert!(error.to_string().contains("used up"), "{error}");
}

#[test]
fn text_in_the_place_of_a_blob_is_content_all_the_same() {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    connection
        .execute_batch(
            "INSERT INTO outbox VALUES (-7, 0, 'a=b', 0, 'one'), (8, 0, '', 1, 'two');
             INSERT INTO inbox VALUES (3, '', 'three');",
        )
        .unwrap();
    let ids = MessageIds::load(&connection).unwrap();
    let writer = Writer::new(connection, PathBuf::new(), ids);
    let (rows, more) = outbox_rows::load(&writer, i64::MIN, 10, 1000).unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!((ids, more), (vec![-7, 8], false));
    assert!(matches!(&rows[0].body, crate::message::outgoing::Body::Inline(body) if body == "one"));
    assert_eq!(outbox_rows::content(&writer, 8).unwrap().unwrap(), b"two");
    assert_eq!(
        inbox_rows::next(&writer, 0).unwrap().unwrap().body,
        b"three"
    );
}
