//! Whole database files with rows of any shape, and a real start on each: as somebody with an `sqlite3` at
//! hand could leave them. Rows alone are fuzzed in `src/store/rows/tests/fuzz.rs`, without a client.
//!
//! `SEED` repeats a run; `FILES` sets how many there are (150 unless set).

use std::fs;

use fastrand::Rng;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use spotflow_device::Error;
use spotflow_emulator::Route;

use crate::support::{PATIENCE, Stage, sender};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn any_value(random: &mut Rng) -> Value {
    match random.u8(0..7) {
        0 => Value::Null,
        1 => Value::Integer(random.i64(-3..10)),
        2 => Value::Integer(random.choice([i64::MIN, i64::MAX, 1 << 53]).unwrap()),
        3 => Value::Real(random.choice([0.5, -1e300, f64::INFINITY]).unwrap()),
        4 => Value::Text(
            random
                .choice(["", "{", "\u{0}", "batch-id=b", "*"])
                .unwrap()
                .to_owned(),
        ),
        5 => Value::Text("ä".repeat(random.usize(0..3000))),
        _ => Value::Blob((0..random.usize(0..3000)).map(|_| random.u8(..)).collect()),
    }
}

/// What fits the column, most often.
fn value(random: &mut Rng, column: &str, number: i64) -> Value {
    if random.u8(0..12) == 0 {
        return any_value(random);
    }
    match column {
        "id" => Value::Integer(number),
        "stored_at_ms" | "set_aside_at_ms" | "version" => Value::Integer(random.i64(..)),
        "value" => Value::Integer(number + random.i64(0..1000)),
        "upload" => Value::Integer(i64::from(random.u8(0..8) == 0)),
        "body" => Value::Blob(vec![b'x'; random.usize(0..2000)]),
        "properties" => Value::Text(
            random
                .choice(["", "batch-id=b", "message-id=m&chunk-id=1"])
                .unwrap()
                .to_owned(),
        ),
        "text" => Value::Text(
            random
                .choice(["{}", r#"{"a": 1}"#, r#"{"a": {"b": null}}"#])
                .unwrap()
                .to_owned(),
        ),
        _ => Value::Text("text".to_owned()),
    }
}

fn columns(file: &Connection, table: &str) -> Vec<String> {
    let mut statement = file
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
        .unwrap();
    let names = statement.query_map((), |row| row.get(0)).unwrap();
    names.collect::<rusqlite::Result<_>>().unwrap()
}

/// The tables of the file, now without constraints, so that they take anything; most often with their keys.
fn loosen(file: &Connection, random: &mut Rng) {
    for table in [
        "device",
        "counter",
        "outbox",
        "set_aside",
        "inbox",
        "document",
    ] {
        let names = columns(file, table);
        let mut definitions = names.clone();
        if names[0] == "id" && random.u8(0..8) > 0 {
            definitions[0] = "id INTEGER PRIMARY KEY".to_owned();
        }
        if random.u8(0..25) == 0 {
            definitions.push("new".to_owned());
        }
        let (names, definitions) = (names.join(", "), definitions.join(", "));
        file.execute_batch(&format!(
            "ALTER TABLE {table} RENAME TO old; CREATE TABLE {table} ({definitions});
             INSERT INTO {table} ({names}) SELECT {names} FROM old; DROP TABLE old;"
        ))
        .unwrap();
        if random.u8(0..25) == 0 {
            let last = names.rsplit(", ").next().unwrap();
            file.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {last}"))
                .unwrap();
        }
    }
}

fn fill(file: &Connection, random: &mut Rng) {
    for (table, most) in [
        ("outbox", 30),
        ("set_aside", 4),
        ("inbox", 4),
        ("document", 2),
        ("counter", 1),
        ("device", 1),
    ] {
        // Who the device is stays, most often: without that all the rest is of nobody.
        if table == "device" && random.u8(0..8) > 0 {
            continue;
        }
        let names = columns(file, table);
        for row in 0..random.i64(0..=most) {
            let values: Vec<Value> = names
                .iter()
                .map(|column| match (table, column.as_str()) {
                    ("document", "kind") => Value::Text(
                        random
                            .choice(["desired", "reported", "wanted", "device", "upload"])
                            .unwrap()
                            .to_owned(),
                    ),
                    ("counter", "name") => Value::Text("reserved_ids".to_owned()),
                    ("device", "id") => Value::Integer(0),
                    _ => value(random, column, row + 1),
                })
                .collect();
            let places = vec!["?"; names.len()].join(", ");
            let insert = format!(
                "INSERT OR REPLACE INTO {table} ({}) VALUES ({places})",
                names.join(", ")
            );
            // A value may be none that a key takes.
            file.execute(&insert, params_from_iter(values)).ok();
        }
    }
}

/// How many Messages the file has, if it is as it was made.
fn stored(file: &Connection) -> i64 {
    file.query_row("SELECT count(*) FROM outbox", (), |row| row.get(0))
        .unwrap()
}

#[test]
fn a_start_on_a_file_with_rows_of_any_shape_works_or_says_what_is_wrong() {
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    let files = number("FILES").unwrap_or(150);
    println!("SEED={seed} FILES={files}");
    let stage = Stage::new();
    stage.start().close();
    let registered = fs::read(stage.database()).unwrap();
    let mut random = Rng::with_seed(seed);
    let (mut started, mut refused, mut drained, mut messages) = (0_u64, 0_u64, 0_u64, 0_i64);
    for round in 0..files {
        for suffix in ["", "-wal", "-lock"] {
            fs::remove_file(format!("{}{suffix}", stage.database().display())).ok();
        }
        fs::write(stage.database(), &registered).unwrap();
        let file = Connection::open(stage.database()).unwrap();
        loosen(&file, &mut random);
        fill(&file, &mut random);
        let before = stored(&file);
        drop(file);
        let began = std::time::Instant::now();
        // A device that has to be approved is, by the embedded Platform.
        let start = stage
            .device()
            .interrupt_check(move || began.elapsed() > PATIENCE)
            .start();
        let client = match start {
            Ok(client) => client,
            Err(error) => {
                assert!(
                    matches!(error, Error::Database { .. }),
                    "{round}: {error:?}"
                );
                assert!(error.to_string().contains("device.db"), "{round}: {error}");
                refused += 1;
                continue;
            }
        };
        started += 1;
        // Rows that cannot be read hold up what is behind them, and are told; nothing else may go wrong.
        match sender(&client).enqueue_message("new") {
            Ok(_) => {
                messages += before;
                let wait =
                    client.wait_enqueued_messages_sent_timeout(std::time::Duration::from_secs(2));
                drained += u64::from(wait.is_ok());
                assert!(
                    matches!(
                        wait,
                        Ok(()) | Err(Error::TimedOut | Error::SetAside | Error::Lost)
                    ),
                    "{round}: {wait:?}"
                );
            }
            Err(error) => assert!(
                matches!(error, Error::Database { .. }),
                "{round}: {error:?}"
            ),
        }
        drop(client.set_aside_messages());
        drop(client.receive_cloud_message(std::time::Duration::ZERO));
        client.get_desired_properties_if_newer(None);
        client.status();
        client.close();
    }
    println!(
        "{started} started, {refused} refused; {drained} drained; {messages} Messages in them"
    );
    assert!(
        started > files / 3,
        "{started}: the files are hardly ever usable"
    );
    assert!(drained > files / 4, "{drained}");
    assert!(stage.platform.http_request_count(Route::Init) < files as usize);
}
