//! Rows of unknown shape: our tables with any value in any column, and columns that are missing or new.
//!
//! Nobody but us writes them; but a damaged page can hold anything, and people have an `sqlite3` at hand.

use std::cell::RefCell;
use std::collections::HashSet;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use spotflow_fuzz::{Choices, fuzz};

use super::super::blocks_up::{self, BlocksUp};
use super::super::chunks::{self, StoredContent, Swept};
use super::super::documents::{self, DocumentKind};
use super::super::ids::RowIds;
use super::super::set_aside::{self, Cause};
use super::super::{Transaction, device, inbox, open_upload, outbox, schema};
use crate::identity::HubDeviceId;
use crate::message::outgoing::Body;
use crate::message::priority::Priority;

/// A table of ours, and its columns, the first of them the key.
struct Table {
    name: String,
    columns: Vec<String>,
}

/// The tables that there are.
fn tables() -> Vec<Table> {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    schema::add_chunks(&connection).unwrap();
    let texts = |sql: &str, of: &[&str]| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map(params_from_iter(of), |row| row.get(0));
        rows.unwrap().map(|text| text.unwrap()).collect()
    };
    let names = texts("SELECT name FROM sqlite_schema WHERE type = 'table'", &[]);
    names
        .into_iter()
        .map(|name| Table {
            columns: texts("SELECT name FROM pragma_table_info(?1)", &[&name]),
            name,
        })
        .collect()
}

/// Any value, and how it is put into a statement: SQLite takes text that is not UTF-8 only by a cast.
pub(in crate::store) fn value(choices: &mut Choices<'_>) -> (Value, &'static str) {
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
        "name" => Value::Text(
            choices
                .pick(&["reserved_ids", "sent_generation"])
                .to_owned(),
        ),
        "kind" => Value::Text(
            choices
                .pick(&["desired", "reported", "wanted", "device", "upload"])
                .to_owned(),
        ),
        "text" => Value::Text(document(choices)),
        "value" | "version" | "stored_at_ms" | "set_aside_at_ms" => Value::Integer(choices.i64()),
        "identity_is_open" => Value::Integer(choices.bool().into()),
        "upload" => Value::Integer(choices.pick(&[0, 1, 2])),
        "body" => {
            let likely: [&[u8]; 4] = [
                b"content",
                b"5 0",
                b"262145 1",
                b"4000000000 562949953421311",
            ];
            Value::Blob(choices.pick(&likely).to_vec())
        }
        _ => Value::Text("text".to_owned()),
    };
    (value, "?")
}

/// Properties, or what the documents of other kinds hold.
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
fn lax(tables: &[Table], schema: usize) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    let mut random = fastrand::Rng::with_seed(schema as u64);
    for table in tables {
        let mut columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
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
        let sql = format!("CREATE TABLE {} ({})", table.name, columns.join(", "));
        connection.execute_batch(&sql).unwrap();
    }
    connection.set_prepared_statement_cache_capacity(256);
    connection
}

/// Begins a case on a database that has been used for others.
pub(in crate::store) fn begin(connection: &Connection) {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").unwrap();
    }
    connection.execute_batch("BEGIN").unwrap();
}

fn fill(connection: &Connection, tables: &[Table], choices: &mut Choices<'_>) {
    for Table { name, columns } in tables {
        for _ in 0..choices.below(3) {
            let row: Vec<_> = columns
                .iter()
                .map(|column| likely(choices, column))
                .collect();
            let places: Vec<&str> = row.iter().map(|(_, place)| *place).collect();
            let columns = columns.join(", ");
            let sql = format!(
                "INSERT INTO {name} ({columns}) VALUES ({})",
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
fn read_all(transaction: &mut Transaction) -> rusqlite::Result<()> {
    let results = [
        device::load(transaction).map(drop),
        outbox::totals(transaction).map(drop),
        outbox::sent_generation(transaction).map(drop),
        inbox::totals(transaction).map(drop),
        set_aside::count(transaction).map(drop),
        read_documents(transaction),
        read_outbox(transaction),
        read_inbox(transaction),
        read_set_aside(transaction),
        read_blocks_up(transaction),
        open_upload::load(transaction).map(drop),
        open_upload::forget(transaction),
        device::restore_copy(transaction).map(drop),
        move_aside(transaction),
        copy_content(transaction),
    ];
    results.into_iter().collect()
}

fn read_documents(transaction: &Transaction) -> rusqlite::Result<()> {
    use DocumentKind::{BlocksUp, Desired, Device, OpenUpload, Reported, Wanted};
    for kind in [Desired, Reported, Wanted, Device, OpenUpload, BlocksUp] {
        documents::load(transaction, kind)?;
    }
    Ok(())
}

fn read_outbox(transaction: &Transaction) -> rusqlite::Result<()> {
    let (mut from, mut more) = (i64::MIN, true);
    while more {
        let (rows, others) = outbox::load(transaction, &(from..=i64::MAX), 1, 1)?;
        if let Some(row) = rows.first() {
            assert!(row.id >= from, "the outbox goes round in circles");
            from = row.id.saturating_add(1);
            outbox::content(transaction, row.id, 1..1_000)?;
        }
        more = others;
    }
    Ok(())
}

fn read_blocks_up(transaction: &mut Transaction) -> rusqlite::Result<()> {
    let blocks = BlocksUp {
        message: 1,
        blob_name: "text".to_owned(),
        block_bytes: 1,
        count: 1,
    };
    blocks_up::load(transaction, 1)?;
    blocks_up::save(transaction, &blocks)?;
    assert_eq!(blocks_up::load(transaction, 1)?, Some(blocks));
    blocks_up::forget(transaction, 1)
}

/// As when a file is copied, and what is there of others is swept.
fn copy_content(transaction: &mut Transaction) -> rusqlite::Result<()> {
    let id = chunks::begin(transaction)?;
    chunks::append(transaction, id, 0, b"chunk")?;
    let content = StoredContent { id, bytes: 5 };
    outbox::insert_with_content(transaction, Priority::Normal, 0, "", content)?;
    assert_eq!(
        chunks::read(transaction, content, 1..3)?,
        Some(b"hu".to_vec())
    );
    while chunks::sweep(transaction, &HashSet::new())? == Swept::Some {}
    let there = chunks::read(transaction, content, 0..5)?;
    assert_eq!(there, Some(b"chunk".to_vec()), "it is a Message's");
    Ok(())
}

fn read_inbox(transaction: &mut Transaction) -> rusqlite::Result<()> {
    let mut after = i64::MIN;
    while let Some(row) = inbox::next(transaction, after)? {
        assert!(row.id > after, "the inbox goes round in circles");
        after = row.id;
        inbox::delete(transaction, row.id)?;
    }
    Ok(())
}

fn identity() -> HubDeviceId {
    HubDeviceId {
        workspace_id: "text".to_owned(),
        device_id: "text".to_owned(),
    }
}

fn read_set_aside(transaction: &mut Transaction) -> rusqlite::Result<()> {
    let rows = set_aside::list(transaction)?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    set_aside::put_back(transaction, &ids, &identity())?;
    set_aside::delete(transaction, &ids)?;
    Ok(())
}

/// As when the device becomes another.
fn move_aside(transaction: &mut Transaction) -> rusqlite::Result<()> {
    let stored = outbox::totals(transaction)?.count;
    let cause = Cause {
        reason: "text",
        identity: &identity(),
        now_ms: 0,
    };
    let moved = set_aside::move_all(transaction, cause)?;
    assert_eq!(moved as u64, stored);
    Ok(())
}

#[test]
fn rows_of_any_shape_are_read_or_refused() {
    let tables = tables();
    let no_ids = RowIds::load(&lax(&tables, 0)).unwrap();
    let begun = |schema| RefCell::new(Transaction::new(lax(&tables, schema), no_ids));
    let transactions: Vec<_> = (0..SCHEMAS).map(begun).collect();
    fuzz("database rows", move |choices| {
        let transaction = &mut *transactions[choices.below(SCHEMAS)].borrow_mut();
        begin(transaction.connection());
        fill(transaction.connection(), &tables, choices);
        let Ok(ids) = RowIds::load(transaction.connection()) else {
            return;
        };
        transaction.set_ids(ids);
        for _ in 0..3 {
            // The ids may be used up; then there is an error.
            if transaction.next_id().is_err() {
                break;
            }
        }
        let _ = read_all(transaction);
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
    let mut ids = RowIds::load(&connection).unwrap();
    let error = ids.next(&connection).unwrap_err();
    assert!(error.to_string().contains("used up"), "{error}");
    let row = "INSERT INTO outbox VALUES (?1, 0, '', 0, x'')";
    connection.execute(row, [i64::MAX]).unwrap();
    let error = RowIds::load(&connection).unwrap_err();
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
    let ids = RowIds::load(&connection).unwrap();
    let transaction = Transaction::new(connection, ids);
    let (rows, more) = outbox::load(&transaction, &(i64::MIN..=i64::MAX), 10, 1000).unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!((ids, more), (vec![-7, 8], false));
    assert!(matches!(&rows[0].body, Body::Inline(body) if body == "one"));
    let content = |part| outbox::content(&transaction, 8, part).unwrap().unwrap();
    assert_eq!(content(0..u64::MAX), b"two");
    assert_eq!(content(1..2), b"w");
    assert_eq!(content(5..7), b"");
    assert_eq!(
        inbox::next(&transaction, 0).unwrap().unwrap().body,
        b"three"
    );
}
