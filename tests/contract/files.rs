//! The content of files: copied into the store before the call returns, whole or not at all, and delivered as it was.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spotflow_device::{
    Codec, Compression, DeviceClient, Error, FileMessage, MAX_FILE_BYTES, Message, OutboxLimit,
    OutboxLimits, SenderOptions, StreamSender, WhenFull,
};
use spotflow_emulator::{Message as ReceivedMessage, Route};

use crate::support::{PATIENCE, Stage, eventually, sender, within};

const MIB: usize = 1 << 20;

/// Bytes that no codec makes smaller.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| random.u8(..)).collect()
}

fn text(bytes: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line| format!("line {line} of a log\n").into_bytes());
    lines.take(bytes).collect()
}

fn file(stage: &Stage, name: &str, content: &[u8]) -> PathBuf {
    let path = stage.directory.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn compressing(client: &DeviceClient, compression: Compression) -> StreamSender {
    client
        .create_stream_sender(None, None, compression)
        .unwrap()
}

fn property(message: &ReceivedMessage, name: &str) -> Option<String> {
    let mut properties = message.properties.iter();
    let found = properties.find(|(key, _)| key == name);
    found.map(|(_, value)| value.clone())
}

fn wait_sent(client: &DeviceClient) {
    client
        .wait_enqueued_messages_sent_timeout(4 * PATIENCE)
        .unwrap();
}

fn database_bytes(stage: &Stage) -> u64 {
    fs::metadata(stage.database()).unwrap().len()
}

/// Whether there is any content that was copied, in a file that no client has.
fn has_chunks(database: &Path) -> bool {
    let connection = rusqlite::Connection::open(database).unwrap();
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'chunk')";
    connection.query_row(sql, (), |row| row.get(0)).unwrap()
}

/// In a file that no client has: closing does not wait until content without a Message is cleared away, and then the
/// next start goes on with it.
fn assert_cleared(stage: &Stage) {
    eventually("content without a Message is cleared away", || {
        let is_cleared = !has_chunks(&stage.database());
        if !is_cleared {
            stage.start().close();
        }
        is_cleared
    });
}

fn version(database: &Path) -> i32 {
    let connection = rusqlite::Connection::open(database).unwrap();
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    version.unwrap()
}

#[test]
fn files_of_all_sizes_arrive_as_they_were_in_their_place_among_other_messages() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let chunk = 256 << 10;
    let sizes = [
        0,
        1,
        250_000,
        250_001,
        chunk,
        chunk + 1,
        MIB,
        MIB + 1,
        2 * chunk,
        5 * MIB - 7,
    ];
    let contents: Vec<_> = (0..).zip(sizes).map(|(i, size)| noise(size, i)).collect();
    for (number, content) in contents.iter().enumerate() {
        let path = file(&stage, "content", content);
        let name = number.to_string();
        let message = FileMessage::new(&path)
            .batch_id("b")
            .message_id(name.as_str());
        sender.enqueue_file(message).unwrap();
        // From here on the file is no matter.
        fs::write(&path, "something else").unwrap();
        sender.enqueue_message(name).unwrap();
    }
    let bytes: usize = sizes.iter().sum();
    assert!(client.status().pending_bytes <= bytes as u64 + 10);
    wait_sent(&client);
    let messages = stage.platform.messages();
    assert_eq!(messages.len(), 2 * contents.len());
    for (number, content) in contents.iter().enumerate() {
        let [message, behind] = [&messages[2 * number], &messages[2 * number + 1]];
        assert!(message.payload == *content, "{} bytes", content.len());
        assert_eq!(message.is_external(), content.len() > 250_000);
        assert_eq!(property(message, "message-id"), Some(number.to_string()));
        assert_eq!(behind.payload, number.to_string().as_bytes());
    }
    let status = client.status();
    assert_eq!((status.pending_messages, status.pending_bytes), (0, 0));
    client.close();
    assert_cleared(&stage);
    assert_eq!(version(&stage.database()), 2, "as it was before");
}

#[test]
fn files_are_compressed_by_every_codec_and_never_made_larger() {
    for codec in [Codec::Brotli, Codec::Gzip, Codec::Zstd] {
        let stage = Stage::new();
        let started = stage.device().codec(codec).start();
        let Ok(client) = started else {
            continue;
        };
        let mut shrinks_only_at_first = text(300_000);
        shrinks_only_at_first.extend(noise(2 * MIB, 1));
        let mut shrinks_later = noise(MIB, 2);
        shrinks_later.extend(text(MIB));
        let contents = [
            text(3 * MIB),
            noise(2 * MIB, 3),
            shrinks_only_at_first,
            shrinks_later,
            text(1_000),
        ];
        for compression in [Compression::Fastest, Compression::SmallestSize] {
            let sender = compressing(&client, compression);
            for content in &contents {
                sender.enqueue_file(file(&stage, "file", content)).unwrap();
            }
        }
        let pending = client.status().pending_bytes;
        let whole: usize = contents.iter().map(Vec::len).sum();
        assert!(pending < 2 * whole as u64 - 4 * MIB as u64, "{pending}");
        wait_sent(&client);
        let messages = stage.platform.messages();
        let expected = contents.iter().chain(&contents);
        assert_eq!(messages.len(), expected.clone().count());
        for (message, content) in messages.iter().zip(expected) {
            assert_eq!(message.payload_error, None);
            assert!(message.payload == *content, "{codec:?} {}", content.len());
        }
        let encoded = messages
            .iter()
            .map(|it| property(it, "content-encoding").is_some());
        let each = [true, false, true, false, true];
        let expected: Vec<bool> = each.into_iter().chain(each).collect();
        assert_eq!(encoded.collect::<Vec<_>>(), expected, "{codec:?}");
    }
}

#[test]
fn what_is_no_regular_file_too_large_or_the_database_is_refused_and_nothing_is_stored() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let directory = stage.directory.path();
    let pipe = directory.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let large = directory.join("large");
    let sparse = File::create(&large).unwrap();
    sparse.set_len(MAX_FILE_BYTES + 1).unwrap();
    std::os::unix::fs::symlink(stage.database(), directory.join("again")).unwrap();
    for (path, rule) in [
        (directory, "is a directory"),
        (&pipe, "a pipe"),
        (Path::new("/dev/zero"), "is a device"),
        (&large, "at most 1073741824 are allowed"),
        (&stage.database(), "own database"),
        (&stage.directory.path().join("again"), "own database"),
    ] {
        let error = sender.enqueue_file(path).unwrap_err();
        let is_refused = matches!(
            error,
            Error::InvalidArgument {
                argument: "path",
                ..
            }
        );
        let text = error.to_string();
        assert!(is_refused && text.contains(rule), "{text}");
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
    for (path, cause) in [
        (directory.join("not-there"), "No such file"),
        // It says that it is empty.
        (PathBuf::from("/proc/self/status"), "changed"),
    ] {
        let error = sender.enqueue_file(&path).unwrap_err();
        assert!(matches!(error, Error::UnreadableFile { .. }), "{error:?}");
        let text = error.chain().to_string();
        assert!(text.starts_with(path.to_str().unwrap()), "{text}");
        assert!(text.contains(cause), "{text}");
    }
    let path = file(&stage, "small", b"x");
    let error = sender.enqueue_file(FileMessage::new(&path).batch_id(""));
    assert!(error.unwrap_err().to_string().starts_with("batch_id"));
    assert_eq!(client.pending_messages_count(), 0);
    client.close();
    assert!(matches!(sender.enqueue_file(&path), Err(Error::Closed)));
}

/// Changes a file of 64 MiB when the first of it is copied.
fn change_while_it_is_copied(change: impl Fn(&Path) + Sync) {
    let stage = Stage::new();
    let client = stage.start();
    let path = stage.directory.path().join("file");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let (sender, before) = (sender(&client), database_bytes(&stage));
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| sender.enqueue_file(&path));
        eventually("some of it is copied", || {
            database_bytes(&stage) > before + MIB as u64
        });
        change(&path);
        let error = copying.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::UnreadableFile { .. }), "{error:?}");
        let text = error.chain().to_string();
        assert!(
            text.contains("changed") || text.contains("No such"),
            "{text}"
        );
    });
    assert_eq!(client.pending_messages_count(), 0);
    // What was copied makes room.
    eventually("the file shrinks", || {
        database_bytes(&stage) < before + 2 * MIB as u64
    });
    sender.send_message("goes on").unwrap();
    assert_eq!(stage.received(), ["goes on"]);
    client.close();
    assert_cleared(&stage);
}

#[test]
fn a_file_that_changes_while_it_is_copied_is_an_error_and_stores_nothing() {
    let open = |path: &Path| File::options().write(true).open(path).unwrap();
    change_while_it_is_copied(|path| open(path).set_len(70 << 20).unwrap());
    change_while_it_is_copied(|path| open(path).set_len(32 << 20).unwrap());
    change_while_it_is_copied(|path| open(path).write_all(b"other").unwrap());
    change_while_it_is_copied(|path| fs::remove_file(path).unwrap());
    change_while_it_is_copied(|path| {
        let other = path.with_extension("new");
        File::create(&other).unwrap().set_len(64 << 20).unwrap();
        fs::rename(other, path).unwrap();
    });
}

#[test]
fn others_store_while_a_file_is_copied_and_closing_ends_the_copy() {
    let stage = Stage::new();
    let client = stage.start();
    let path = stage.directory.path().join("file");
    File::create(&path).unwrap().set_len(512 << 20).unwrap();
    let (sender, before) = (sender(&client), database_bytes(&stage));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| {
            let copied = sender.enqueue_file(&path);
            is_over.store(true, Ordering::Relaxed);
            copied
        });
        eventually("some of it is copied", || {
            database_bytes(&stage) > before + MIB as u64
        });
        for _ in 0..20 {
            sender.send_message("meanwhile").unwrap();
        }
        assert!(!is_over.load(Ordering::Relaxed), "the copy goes on");
        client.close();
        let error = copying.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Closed), "{error:?}");
    });
    assert_eq!(stage.received().len(), 20);
    assert!(has_chunks(&stage.database()), "closing does not wait");
    // The next start clears it away.
    let client = stage.start();
    eventually("the file shrinks", || {
        database_bytes(&stage) < before + 2 * MIB as u64
    });
    assert_eq!(client.pending_messages_count(), 0);
    client.close();
    assert_cleared(&stage);
}

#[test]
fn an_interrupt_ends_the_copy() {
    static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);
    let stage = Stage::new();
    let check = || IS_INTERRUPTED.load(Ordering::Relaxed);
    let client = stage.device().interrupt_check(check).start().unwrap();
    let path = stage.directory.path().join("file");
    File::create(&path).unwrap().set_len(512 << 20).unwrap();
    let (sender, before) = (sender(&client), database_bytes(&stage));
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| sender.enqueue_file(&path));
        eventually("some of it is copied", || {
            database_bytes(&stage) > before + MIB as u64
        });
        IS_INTERRUPTED.store(true, Ordering::Relaxed);
        let error = copying.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error:?}");
    });
    assert_eq!(client.pending_messages_count(), 0);
}

#[test]
fn the_limits_of_the_outbox_count_a_file_by_what_is_stored_of_it() {
    let stage = Stage::new();
    let limits = OutboxLimits::new().bytes(3 * MIB as u64);
    let client = stage.device().outbox_limits(limits).start().unwrap();
    stage.cut_off();
    let before = database_bytes(&stage);
    let path = file(&stage, "file", &noise(2 * MIB, 1));
    let larger = file(&stage, "larger", &noise(64 * MIB, 2));
    let uncompressed = sender(&client);
    let never_fits = uncompressed.enqueue_file(&larger).unwrap_err();
    assert!(matches!(never_fits, Error::InvalidArgument { .. }));
    uncompressed.enqueue_file(&path).unwrap();
    let error = uncompressed.enqueue_file(&path).unwrap_err();
    let limit = OutboxLimit::Bytes(3 * MIB as u64);
    assert!(matches!(error, Error::OutboxFull { limit: it, .. } if it == limit));
    assert!(database_bytes(&stage) < before + 6 * MIB as u64);
    // It fits when it is compressed.
    let log = file(&stage, "log", &text(8 * MIB));
    compressing(&client, Compression::Fastest)
        .enqueue_file(&log)
        .unwrap();
    assert_eq!(client.pending_messages_count(), 2);

    client
        .set_outbox_limits(limits.when_full(WhenFull::DropOldest))
        .unwrap();
    uncompressed.enqueue_file(&path).unwrap();
    let status = client.status();
    assert!(status.dropped_bytes >= 2 * MIB as u64 && status.pending_bytes <= 3 * MIB as u64);
    client
        .set_outbox_limits(OutboxLimits::new().free_disk_bytes(u64::MAX))
        .unwrap();
    let error = uncompressed.enqueue_file(&path).unwrap_err();
    assert!(matches!(error, Error::OutboxFull { .. }), "{error:?}");
}

#[test]
fn files_survive_a_restart_and_what_expires_or_is_dropped_makes_room() {
    let stage = Stage::new();
    let client = stage.start();
    stage.cut_off();
    let before = database_bytes(&stage);
    let path = file(&stage, "file", &noise(6 * MIB, 1));
    let options = SenderOptions::new().time_to_live(Duration::from_millis(1));
    let expiring = client.create_stream_sender_with(None, None, options);
    expiring.unwrap().enqueue_file(&path).unwrap();
    sender(&client).enqueue_file(&path).unwrap();
    client.close();
    assert_eq!(
        version(&stage.database()),
        3,
        "versions before must not send it"
    );

    stage.platform.accept_connections(true).unwrap();
    let client = stage.start();
    let _ = client.wait_enqueued_messages_sent_timeout(4 * PATIENCE);
    let messages = stage.platform.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].payload == noise(6 * MIB, 1));
    assert_eq!(client.status().expired_messages, 1);
    eventually("the file shrinks", || {
        database_bytes(&stage) < before + 2 * MIB as u64
    });
}

#[test]
fn of_files_with_a_key_the_newest_is_kept_and_what_it_replaces_makes_room() {
    let stage = Stage::new();
    let client = stage.start();
    stage.cut_off();
    let before = database_bytes(&stage);
    let newest = SenderOptions::new().keep_latest();
    let newest = client
        .create_stream_sender_with(None, None, newest)
        .unwrap();
    let camera = |key: &str, seed: u64| {
        let path = file(&stage, "image", &noise(3 * MIB, seed));
        let image = FileMessage::new(path).latest_key(key);
        newest.enqueue_file(image).unwrap();
    };
    let pending_and_replaced = || {
        let status = client.status();
        (status.pending_messages, status.replaced_messages)
    };
    newest.enqueue_message("without a key").unwrap();
    for seed in 0..3 {
        camera("north", seed);
        camera("south", 10 + seed);
    }
    assert_eq!(pending_and_replaced(), (3, 4));
    for key in ["north", "south"] {
        let text = Message::new("no image").latest_key(key);
        newest.enqueue_message(text).unwrap();
    }
    eventually("the file shrinks", || {
        database_bytes(&stage) < before + 2 * MIB as u64
    });
    camera("north", 3);
    assert_eq!(pending_and_replaced(), (3, 7));
    stage.platform.accept_connections(true).unwrap();
    wait_sent(&client);
    let payloads = stage.platform.messages().into_iter();
    let payloads: Vec<Vec<u8>> = payloads.map(|it| it.payload.to_vec()).collect();
    let texts = ["without a key", "no image"].map(|text| text.as_bytes().to_vec());
    assert!(payloads[..2] == texts && payloads[2..] == [noise(3 * MIB, 3)]);
    client.close();
    assert_cleared(&stage);
}

#[test]
fn a_key_of_a_file_is_checked_before_it_is_opened() {
    let stage = Stage::new();
    let client = stage.start();
    let newest = SenderOptions::new().keep_latest();
    let newest = client
        .create_stream_sender_with(None, None, newest)
        .unwrap();
    let long = "a".repeat(1025);
    for (sender, key) in [(&sender(&client), "a"), (&newest, ""), (&newest, &long)] {
        let file = FileMessage::new("not-there").latest_key(key);
        match sender.enqueue_file(file).unwrap_err() {
            Error::InvalidArgument { argument, .. } => assert_eq!(argument, "latest_key"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_that_is_refused_is_set_aside_and_sent_when_it_is_retried() {
    let stage = Stage::new();
    let client = stage.start();
    let path = file(&stage, "file", &noise(3 * MIB, 1));
    stage.platform.http_status(Route::BlockPut, 400, None, 5);
    stage.platform.http_status(Route::BlobPut, 400, None, 5);
    stage.platform.accept_connections(true).unwrap();
    sender(&client).enqueue_file(&path).unwrap();
    let limit = Duration::from_secs(120);
    within(limit, "it is set aside", || {
        client.status().set_aside_messages == 1
    });
    let set_aside = client.set_aside_messages().unwrap();
    assert_eq!(set_aside[0].payload_bytes, 3 * MIB as u64);
    client.close();
    // At this start nothing of it is swept.
    let client = stage.start();
    stage.platform.http_status(Route::BlobPut, 400, None, 0);
    let ids = [client.set_aside_messages().unwrap()[0].id];
    assert_eq!(client.retry_set_aside_messages(&ids).unwrap(), 1);
    wait_sent(&client);
    assert!(stage.platform.messages()[0].payload == noise(3 * MIB, 1));
    client.close();
    assert_cleared(&stage);
}

#[test]
fn a_storage_without_blocks_gets_a_file_as_a_whole() {
    let stage = Stage::new();
    stage.platform.refuse_blocks(true);
    let client = stage.start();
    let path = file(&stage, "file", &noise(3 * MIB + 5, 1));
    sender(&client).enqueue_file(&path).unwrap();
    wait_sent(&client);
    assert!(stage.platform.messages()[0].payload == noise(3 * MIB + 5, 1));
    assert_eq!(stage.platform.http_request_count(Route::BlobPut), 1);
}
