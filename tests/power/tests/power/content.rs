//! Content that lies in chunks of its own, through power cuts: all of it is there or nothing, what no Message has is
//! cleared away, and of an upload at most the block repeats that was under way.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use spotflow_device::FileMessage;

use crate::device::{Device, Keeps, Kind, PATIENCE, POWER_SAFE, Run, content, name};
use crate::reopening::Found;
use crate::survey::{Plan, survey};

pub const BLOCK_BYTES: usize = 1 << 20;
/// It goes up as a whole.
const SMALL: usize = 600_000;
/// The thread of whose files the newest is kept.
const KEYED: usize = 1;
/// It goes up in blocks.
const LARGE: usize = 2 * BLOCK_BYTES + 100_000;
/// Of chunks that are numbered in the lowest bits of their ids.
const NUMBER_BITS: u32 = 14;

/// How many blocks have yet to go up when this is pending.
pub fn blocks_to_go(found: &Found) -> usize {
    let uploads = found.pending.iter();
    let uploads = uploads.filter(|(id, _)| !found.links.contains(id));
    let to_go = uploads.map(|(id, name)| {
        let (bytes, up) = (content(name).len(), found.blocks_up.get(id));
        let blocks = if bytes > BLOCK_BYTES {
            bytes.div_ceil(BLOCK_BYTES)
        } else {
            0
        };
        blocks - up.copied().unwrap_or(0)
    });
    to_go.sum()
}

/// What a row has that names content in chunks.
pub fn in_chunks(connection: &Connection, reference: &[u8]) -> Vec<u8> {
    let reference = str::from_utf8(reference).expect("text");
    let (_, content) = reference.split_once(' ').expect("a size and an id");
    let first = content.parse::<i64>().expect("an id") << NUMBER_BITS;
    let mut statement = connection
        .prepare("SELECT body FROM chunk WHERE id > ?1 AND id < ?2 ORDER BY id")
        .expect("the table");
    let chunks = statement.query_map([first, first + (1 << NUMBER_BITS)], |row| row.get(0));
    let chunks: rusqlite::Result<Vec<Vec<u8>>> = chunks.and_then(Iterator::collect);
    chunks.expect("chunks").concat()
}

/// How many contents in chunks there are, and how many of them a Message has.
pub fn contents(database: &Path) -> (usize, usize) {
    let connection = Connection::open(database).expect("the database opens");
    let count = |sql: &str| -> usize {
        let count: i64 = connection
            .query_row(sql, (), |row| row.get(0))
            .expect("SQL");
        usize::try_from(count).expect("a count")
    };
    let of_messages = count("SELECT count(*) FROM outbox WHERE upload = 2");
    if connection.table_exists(None, "chunk").expect("a schema") {
        let all = format!("SELECT count(DISTINCT id >> {NUMBER_BITS}) FROM chunk");
        (count(&all), of_messages)
    } else {
        (0, of_messages)
    }
}

/// Files among other Messages: copied without a network, and uploaded when it is back, and once more beside it.
fn files() -> Run {
    let device = Arc::new(Device::new(Kind {
        keeps: |thread| match thread {
            KEYED => Keeps::LatestOf("camera"),
            _ => Keeps::All,
        },
        ..POWER_SAFE
    }));
    device.start().close();
    device.offline(true);
    let ledger = Arc::clone(&device);
    let client = device
        .start_with(|builder| builder.on_upload_progress(move |upload| ledger.uploaded(upload)));
    let directory = tempfile::tempdir().expect("a directory");
    let store = |thread: usize, number: usize, bytes: usize| {
        let name = name(thread, number, bytes);
        let path = directory.path().join(&name);
        fs::write(&path, content(&name)).expect("a file");
        let file = FileMessage::new(path).message_id(&name);
        let file = match (device.kind.keeps)(thread) {
            Keeps::LatestOf(key) => file.latest_key(key),
            _ => file,
        };
        let sender = device.sender_of_thread(&client, thread);
        sender.enqueue_file(file).expect("it is stored");
        device.accepted(name);
    };
    device.store_each(&client, 0, 0..2);
    store(0, 2, LARGE);
    store(KEYED, 3, SMALL);
    store(0, 4, SMALL);
    store(KEYED, 5, SMALL + 1);
    // So slow that the application hears of each block.
    let platform = &device.platform;
    platform.storage_rate(Some(4.0 * BLOCK_BYTES as f64));
    device.offline(false);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    store(0, 5, LARGE + 1);
    device.store_each(&client, 0, 6..8);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .expect("all is sent");
    client.close();
    platform.storage_rate(None);
    drop(client);
    let device = Arc::into_inner(device).expect("nothing else has it");
    device.end("files")
}

#[test]
fn files_are_there_as_a_whole_or_not_at_all_and_their_uploads_go_on_behind_every_power_cut() {
    let run = files();
    assert_eq!(
        run.ledger.accepted.len(),
        run.ledger.received.len() + 1,
        "one was replaced"
    );
    let mut uploaded = run.ledger.uploaded.iter().map(|(upload, _)| upload);
    let is_partly_up = |bytes: u64| bytes.is_multiple_of(BLOCK_BYTES as u64) && bytes > 0;
    assert!(uploaded.any(|upload| is_partly_up(upload.uploaded_bytes)));
    let plan = Plan {
        between: 300,
        again: 30,
        deliveries: 12,
    };
    let totals = survey(&run, plan);
    assert!(totals.delivered > 0, "{totals:?}");
}
