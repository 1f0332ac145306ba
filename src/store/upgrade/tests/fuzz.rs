//! Files of the published SDK with rows of any shape.

use std::cell::RefCell;
use std::path::Path;

use rusqlite::{Connection, params_from_iter};
use spotflow_fuzz::{Choices, fuzz};

use super::super::old_file::OldFile;
use super::super::take_over::nobody;
use super::super::{cloud_messages, configuration, messages, properties};
use crate::store::rows::ids::RowIds;
use crate::store::rows::tests::fuzz::{begin, value};
use crate::store::rows::{Transaction, schema, set_aside};

const TABLES: [(&str, &[&str]); 6] = [
    (
        "SdkConfiguration",
        &[
            "db_version",
            "instance_url",
            "dps_url",
            "provisioning_token",
            "registration_token",
            "rt_expiration",
            "requested_device_id",
            "workspace_id",
            "device_id",
        ],
    ),
    (
        "Messages",
        &[
            "site_id",
            "stream_group",
            "stream",
            "batch_id",
            "message_id",
            "content",
            "close_option",
            "compression",
            "batch_slice_id",
            "chunk_id",
        ],
    ),
    ("CloudToDeviceMessages", &["content"]),
    ("CloudToDeviceProperties", &["message_id", "key", "value"]),
    ("Twins", &["type", "properties"]),
    ("ReportedPropertiesUpdates", &["update_type", "patch"]),
];

fn likely(choices: &mut Choices<'_>, column: &str) -> (rusqlite::types::Value, &'static str) {
    if choices.one_in(5) {
        return value(choices);
    }
    let text = match column {
        "db_version" => choices.pick(&["1.2.0", "0.1.3", "9.9.9"]).to_owned(),
        "instance_url" | "dps_url" => choices
            .pick(&[
                "https://api.example/",
                "https://device-provisioning.api.example",
            ])
            .to_owned(),
        "close_option" => choices
            .pick(&["None", "Close", "CloseOnly", "CloseMessageOnly"])
            .to_owned(),
        "compression" => choices.pick(&["None", "None", "BrotliFastest"]).to_owned(),
        "content" => return (vec![b'x'; choices.below(40)].into(), "?"),
        "message_id" => return (i64::from(choices.byte() % 3).into(), "?"),
        "type" => choices.pick(&["desired", "reported"]).to_owned(),
        "update_type" => choices.pick(&["Full", "Patch"]).to_owned(),
        "patch" | "properties" => {
            let mut document = choices.document(2);
            document.insert("$version".to_owned(), choices.u64().into());
            let text = serde_json::Value::Object(document).to_string();
            choices.damaged_text(&text)
        }
        _ => choices.text(),
    };
    (text.into(), "?")
}

/// How many sorts of tables there are.
const SCHEMAS: usize = 24;

/// Tables whose columns take anything, and, but for the first ones, may be missing; and their columns.
struct Lax {
    connection: Connection,
    tables: Vec<(&'static str, Vec<&'static str>)>,
}

fn lax(schema: usize) -> Lax {
    let connection = Connection::open_in_memory().unwrap();
    let mut random = fastrand::Rng::with_seed(schema as u64);
    let mut tables = Vec::new();
    for (table, columns) in TABLES {
        if schema >= 4 && random.u8(0..12) == 0 {
            continue;
        }
        let mut columns = columns.to_vec();
        columns.retain(|_| schema < 4 || random.u8(0..16) != 0);
        let names: String = columns.iter().map(|column| format!(", {column}")).collect();
        let has_key = schema < 4 || random.u8(0..6) != 0;
        let key = if has_key { "INTEGER PRIMARY KEY" } else { "" };
        let sql = format!("CREATE TABLE {table} (id {key}{names})");
        connection.execute_batch(&sql).unwrap();
        tables.push((table, columns));
    }
    connection.set_prepared_statement_cache_capacity(256);
    Lax { connection, tables }
}

fn fill(lax: &Lax, choices: &mut Choices<'_>) {
    for (table, columns) in &lax.tables {
        for _ in 0..choices.below(3) {
            let id = if choices.one_in(6) {
                value(choices)
            } else {
                (i64::from(choices.byte() % 3).into(), "?")
            };
            let row = columns.iter().map(|column| likely(choices, column));
            let row: Vec<_> = std::iter::once(id).chain(row).collect();
            let places: Vec<&str> = row.iter().map(|(_, place)| *place).collect();
            let sql = format!("INSERT INTO {table} VALUES ({})", places.join(", "));
            let values = row.into_iter().map(|(value, _)| value);
            // A key may be there already, or be none.
            let insert = lax.connection.prepare_cached(&sql);
            drop(insert.and_then(|mut insert| insert.execute(params_from_iter(values))));
        }
    }
}

#[test]
fn rows_of_any_shape_are_taken_over_or_refused_and_no_message_is_lost() {
    let new = Connection::open_in_memory().unwrap();
    schema::create(&new).unwrap();
    let ids = RowIds::load(&new).unwrap();
    let transaction = RefCell::new(Transaction::new(new, ids));
    let lax: Vec<Lax> = (0..SCHEMAS).map(lax).collect();
    fuzz("published rows", move |choices| {
        let lax = &lax[choices.below(SCHEMAS)];
        let (old, transaction) = (&lax.connection, &mut *transaction.borrow_mut());
        begin(old);
        begin(transaction.connection());
        fill(lax, choices);
        let file = OldFile {
            connection: old,
            path: Path::new("device.db"),
        };

        let _ = configuration::version(old);
        let device = configuration::copy(file, transaction);
        let device = device.ok().flatten().unwrap_or_else(nobody);
        let copied = messages::copy(file, transaction, &device, 0);
        if let Ok(copied) = copied {
            let count = |connection: &Connection, table: &str| -> i64 {
                let sql = format!("SELECT count(*) FROM {table}");
                connection.query_row(&sql, (), |row| row.get(0)).unwrap()
            };
            let there = count(old, "Messages");
            let set_aside = set_aside::list(transaction).unwrap().len() as i64;
            assert_eq!(there, count(transaction.connection(), "outbox") + set_aside);
            assert_eq!(there as u64, copied.pending + copied.set_aside);
        }
        let _ = cloud_messages::copy(file, transaction);
        let _ = properties::copy(file, transaction);
    });
}
