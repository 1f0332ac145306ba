//! The file system does not let the client have its file, or takes it away.

use std::fs;
use std::time::Duration;

use spotflow_device::{DeviceClient, Error};
use spotflow_emulator::{AckMode, PacketKind};

use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

fn assert_refused(stage: &Stage, said: &str) {
    let error = stage.device().start().expect_err("the file cannot be used");
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
    let text = error.chain().to_string();
    assert!(text.contains("device.db"), "{text}");
    assert!(text.contains(said), "{text}");
}

fn drain(stage: &Stage, client: &DeviceClient) {
    stage.platform.accept_connections(true).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
}

#[test]
fn a_directory_that_does_not_exist_is_named() {
    let stage = Stage::new();
    fs::remove_dir(stage.directory.path()).unwrap();
    assert_refused(&stage, "No such file or directory");
}

#[test]
fn a_directory_in_the_place_of_a_file_is_named() {
    let stage = Stage::new();
    fs::create_dir(stage.database()).unwrap();
    let error = stage.device().start().unwrap_err();
    assert!(
        matches!(
            error,
            Error::InvalidArgument {
                argument: "database",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("is a directory"), "{error}");
    for suffix in ["-lock", "-wal"] {
        let stage = Stage::new();
        fs::create_dir(stage.directory.path().join(format!("device.db{suffix}"))).unwrap();
        assert_refused(&stage, "device.db");
    }
}

/// A device that has Messages from before and after its files were taken away, offline.
fn taken_away(take: impl FnOnce(&Stage)) -> (Stage, DeviceClient, Vec<String>) {
    let stage = Stage::new();
    let client = stage.start();
    stage.cut_off();
    let texts: Vec<String> = (0..50).map(|number| format!("{number:02}")).collect();
    let sender = sender(&client);
    sender.enqueue_messages(texts[..40].to_vec()).unwrap();
    take(&stage);
    for text in &texts[40..] {
        sender.enqueue_message(text.clone()).unwrap();
    }
    (stage, client, texts)
}

/// How many Messages a kill would leave in what is under the names now.
fn stored_after_a_kill(stage: &Stage) -> i64 {
    let killed = tempfile::tempdir().unwrap();
    for name in ["device.db", "device.db-wal"] {
        fs::copy(stage.directory.path().join(name), killed.path().join(name)).unwrap();
    }
    let file = rusqlite::Connection::open(killed.path().join("device.db")).unwrap();
    file.query_row("SELECT count(*) FROM outbox", (), |row| row.get(0))
        .unwrap()
}

fn assert_all_there(stage: &Stage, client: DeviceClient, texts: &[String]) {
    client.close();
    drop(client);
    let client = stage
        .device()
        .on_provisioning(|_| panic!("a new approval"))
        .start()
        .unwrap();
    drain(stage, &client);
    assert_eq!(stage.received(), texts);
    assert!(client.status().recovery.is_none());
}

#[test]
fn a_file_that_is_deleted_while_in_use_is_written_back() {
    for names in [
        &["device.db"][..],
        &["device.db-wal"],
        &["device.db", "device.db-wal"],
        &["device.db", "device.db-wal", "device.db-lock"],
    ] {
        let (stage, client, texts) = taken_away(|stage| {
            for name in names {
                fs::remove_file(stage.directory.path().join(name)).unwrap();
            }
        });
        let second = stage.device().start();
        assert!(
            matches!(second, Err(Error::DatabaseInUse { .. })),
            "{names:?}: {second:?}"
        );
        assert_eq!(stored_after_a_kill(&stage), texts.len() as i64, "{names:?}");
        assert_all_there(&stage, client, &texts);
    }
}

#[test]
fn a_file_that_is_deleted_is_written_back_at_the_latest_when_the_client_ends() {
    let stage = Stage::new();
    let client = stage.start();
    stage.cut_off();
    sender(&client).enqueue_message("kept").unwrap();
    fs::remove_file(stage.database()).unwrap();
    assert_all_there(&stage, client, &["kept".to_owned()]);
}

#[test]
fn a_file_that_is_replaced_while_in_use_is_written_back_and_the_other_one_kept() {
    let (stage, client, texts) = taken_away(|stage| {
        let other = stage.directory.path().join("other");
        fs::write(&other, "another").unwrap();
        fs::rename(other, stage.database()).unwrap();
    });
    let entries = fs::read_dir(stage.directory.path()).unwrap();
    let kept = entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains(".db-found-"))
        .expect("what was there is kept");
    assert_eq!(fs::read_to_string(kept).unwrap(), "another");
    assert_all_there(&stage, client, &texts);
}

#[test]
fn when_the_directory_is_gone_nothing_is_accepted_until_it_is_back() {
    let stage = Stage::new();
    let client = stage.start();
    stage.cut_off();
    let sender = sender(&client);
    sender.enqueue_message("before").unwrap();
    let directory = stage.directory.path();
    // At once, with all that is in it: what the client writes meanwhile must not keep it from going.
    let away = tempfile::tempdir().unwrap();
    fs::rename(directory, away.path().join("gone")).unwrap();
    drop(away);
    let error = sender.enqueue_message("meanwhile").unwrap_err();
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
    fs::create_dir(directory).unwrap();
    crate::support::eventually("it is written back", || {
        sender.enqueue_message("after").is_ok()
    });
    let texts = ["before".to_owned(), "after".to_owned()];
    assert_all_there(&stage, client, &texts);
}

#[test]
fn the_file_shrinks_while_the_device_runs_when_a_large_backlog_has_drained() {
    let stage = Stage::new();
    let client = stage.device().in_flight_window(64).start().unwrap();
    stage.cut_off();
    let (sender, database) = (sender(&client), stage.database());
    for _ in 0..30 {
        sender.enqueue_messages(vec![vec![7; 2000]; 100]).unwrap();
    }
    let bytes = |suffix: &str| {
        let file = format!("{}{suffix}", database.display());
        fs::metadata(file).map_or(0, |file| file.len())
    };
    eventually("the backlog is in the file", || bytes("") > 4 << 20);
    drain(&stage, &client);
    // It can be rewritten before the last of it is sent, and 2,000 free pages are not worth another time.
    const SMALL: u64 = 2200 << 10;
    eventually("the file is small again", || bytes("") < SMALL);
    // What is left is room that is used again from its start.
    let wal = bytes("-wal");
    assert!(wal < 3 << 20, "the write-ahead log has {wal} bytes");
    sender.send_message("goes on").unwrap();
    client.close();
    assert!(
        bytes("") < SMALL,
        "{} and {} bytes",
        bytes(""),
        bytes("-wal")
    );
    assert_eq!(stage.platform.messages().len(), 3001);
}

#[test]
fn the_file_shrinks_when_a_few_large_messages_have_drained() {
    let stage = Stage::new();
    let client = stage.start();
    stage.cut_off();
    let (sender, database) = (sender(&client), stage.database());
    let texts = (0..200).map(|_| vec![7; 60_000]);
    sender.enqueue_messages(texts.collect::<Vec<_>>()).unwrap();
    let bytes = || fs::metadata(&database).unwrap().len();
    eventually("the backlog is in the file", || bytes() > 10 << 20);
    drain(&stage, &client);
    eventually("the file is small again", || bytes() < 2200 << 10);
    assert_eq!(stage.platform.messages().len(), 200);
}

#[test]
fn a_disk_that_does_not_answer_stalls_no_keep_alive() {
    let stage = Stage::new();
    let device = stage.device().keep_alive(Duration::from_secs(5));
    let client = device.start().unwrap();
    let sender = sender(&client);
    sender.send_message("before").unwrap();
    stage.platform.acknowledge(AckMode::Withhold);
    let mut texts: Vec<String> = (1..=300).map(|number| number.to_string()).collect();
    sender.enqueue_messages(texts.clone()).unwrap();
    texts.insert(0, "before".to_owned());
    stage.platform.wait_for_messages(2, PATIENCE).unwrap();

    // Whoever has to wait for the disk waits from here on.
    let hold = client.hold_for_fork();
    stage.platform.acknowledge(AckMode::Immediately);
    // So many acknowledgements are recorded without the database.
    stage.platform.wait_for_messages(256, PATIENCE).unwrap();
    let pings = |packets: &[spotflow_emulator::PacketSeen]| {
        let pings = packets.iter().filter(|it| it.kind == PacketKind::PingReq);
        pings.count()
    };
    let before = pings(&stage.platform.packets(DEVICE));
    let pinged = |packets: &[_]| pings(packets) >= before + 3;
    let wait = stage.platform.wait_for_packets(DEVICE, pinged, PATIENCE);
    wait.unwrap();
    // The next one leaves only when the acknowledgement is recorded.
    assert_eq!(stage.received(), texts[..256]);
    assert_eq!(stage.platform.connection_count(), 1);

    drop(hold);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), texts);
    assert_eq!(stage.platform.connection_count(), 1);
}
