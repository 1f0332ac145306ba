//! The take-over of the published SDK's file through power cuts: at every moment there is the one
//! database or the other, whole, and nothing else with tokens in it.

use fastrand::Rng;
use rusqlite::Connection;

use crate::device::{Device, PATIENCE, POWER_SAFE, Run, content, name};
use crate::disk::{Disk, Fate};
use crate::recorder::{Image, Operation};
use crate::reopening::{DATABASE, Start, write};
use crate::survey::{Place, seed, survivals};

const MESSAGES: usize = 200;

/// Schema 1.2.0.
const TABLES: &str = "
    CREATE TABLE Messages (id INTEGER PRIMARY KEY AUTOINCREMENT, site_id, stream_group, stream, batch_id,
        message_id, content BLOB, close_option, compression, batch_slice_id, chunk_id);
    CREATE TABLE CloudToDeviceMessages (id INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB);
    CREATE TABLE CloudToDeviceProperties (message_id INTEGER, key, value);
    CREATE TABLE Twins (id INTEGER PRIMARY KEY AUTOINCREMENT, type, properties);
    CREATE TABLE ReportedPropertiesUpdates (id INTEGER PRIMARY KEY AUTOINCREMENT, update_type, patch);
    CREATE TABLE SdkConfiguration (id INTEGER PRIMARY KEY, db_version, instance_url, provisioning_token,
        registration_token, rt_expiration, requested_device_id, workspace_id, device_id);";

fn names() -> Vec<String> {
    (0..MESSAGES).map(|number| name(0, number, 60)).collect()
}

/// What the published SDK left of a registered device.
enum Left {
    /// It was ended.
    Whole,
    /// It was killed in a transaction: there is a journal to roll back.
    InTransaction,
}

/// The file of a registered device as the published SDK would have written it.
fn publish(registered: &Device, left: &Left) -> tempfile::TempDir {
    let client = registered.start();
    let (workspace_id, device_id) = (client.workspace_id(), client.device_id());
    client.close();
    let ours = Connection::open(registered.database()).expect("our file");
    let sql = "SELECT registration_token FROM device";
    let token: String = ours.query_row(sql, (), |row| row.get(0)).expect("a token");
    let directory = tempfile::tempdir().expect("a directory");
    let file = Connection::open(directory.path().join(DATABASE)).expect("a file");
    file.execute_batch(TABLES).expect("tables");
    let platform = &registered.platform;
    file.execute(
        "INSERT INTO SdkConfiguration VALUES (0, '1.2.0', 'https://' || ?1 || '/', ?2, ?3, NULL, ?5, ?4, ?5)",
        (platform.instance(), platform.provisioning_token(), token, workspace_id, device_id),
    )
    .expect("a registration");
    file.execute_batch("BEGIN").expect("a transaction");
    for name in names() {
        file.execute(
            "INSERT INTO Messages (message_id, content, close_option, compression) VALUES (?1, ?2, 'None', 'None')",
            (&name, content(&name)),
        )
        .expect("a Message");
    }
    file.execute_batch("COMMIT").expect("they are stored");
    match left {
        Left::Whole => directory,
        Left::InTransaction => {
            file.execute_batch(
                "PRAGMA cache_size = 5; BEGIN; UPDATE Messages SET content = zeroblob(500)",
            )
            .expect("a change");
            let killed = crate::recorder::files(directory.path());
            assert!(killed.contains_key("device.db-journal"));
            write(&killed)
        }
    }
}

/// The run of the first start of ours on that file.
fn upgraded(left: &Left) -> Run {
    let registered = Device::new(POWER_SAFE);
    let directory = publish(&registered, left);
    let device = Device::in_directory(POWER_SAFE, registered.platform, Ok(directory));
    device.offline(true);
    let client = device.start();
    assert_eq!(client.pending_messages_count(), MESSAGES as u64);
    device.offline(false);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    device.end("upgraded")
}

/// Whether the database is ours. If not, it is what the published SDK left, and whole.
fn is_ours(image: &Image) -> bool {
    let directory = write(image);
    let file = Connection::open(directory.path().join(DATABASE)).expect("the file");
    let pragma = |name: &str| file.pragma_query_value(None, name, |row| row.get(0));
    let application_id: i64 = pragma("application_id").expect("a header");
    if application_id != 0 {
        return true;
    }
    let whole: String = file
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .expect("it can be checked");
    assert_eq!(whole, "ok");
    let sql = "SELECT message_id, content FROM Messages ORDER BY id";
    let mut statement = file.prepare(sql).expect("the table");
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)));
    let rows: Vec<(String, Vec<u8>)> = rows.and_then(Iterator::collect).expect("rows");
    let expected = names().into_iter().map(|name| (content(&name), name));
    let expected: Vec<(String, Vec<u8>)> = expected.map(|(body, name)| (name, body)).collect();
    assert!(rows == expected, "the old file has changed");
    false
}

fn cut_everywhere(left: &Left) {
    let run = upgraded(left);
    let seed = seed();
    println!("upgraded: SEED={seed} SURVIVALS={}", survivals());
    let mut random = Rng::with_seed(seed);
    run.platform
        .accept_connections(false)
        .expect("the door closes");
    let mut disk = Disk::new(&run.recording);
    let mut counts = [0; 2];
    let registered = run.ledger.registered_at.expect("it was started");
    // Once it sends, other tests are about it.
    for (at, operation) in run.recording.operations.iter().enumerate().take(registered) {
        // It is the names that change here.
        let more = match operation {
            Operation::SyncDirectory => 10,
            _ => 1,
        };
        for _ in 0..more * survivals() {
            let fate = Fate::random(&mut random);
            let image = disk.survive(fate, &mut random);
            let place = format!("upgrade cut before operation {at}, {operation:.60?}, {fate:?}");
            let place = Place(&place);
            counts[usize::from(is_ours(&image))] += 1;
            let directory = write(&image);
            let start = Start {
                options: &run,
                is_registered: true,
                probes: true,
            };
            let found = start.on(directory.path());
            assert!(
                found.pending.into_values().eq(names()),
                "Messages are missing"
            );
            drop(place);
        }
        disk.apply(operation);
    }
    println!(
        "upgraded: {} survivals had the old file, {} ours",
        counts[0], counts[1]
    );
    assert!(counts.iter().all(|count| *count > 0));
}

#[test]
fn a_power_cut_in_the_upgrade_leaves_the_old_file_or_ours() {
    cut_everywhere(&Left::Whole);
}

#[test]
fn a_power_cut_in_the_upgrade_of_a_file_with_a_journal_leaves_the_old_file_or_ours() {
    cut_everywhere(&Left::InTransaction);
}
