//! The disk is full: while storing, at the start, during an upgrade, when the file should shrink.

use std::fs;
use std::process::Command;

use spotflow_device::Error;
use spotflow_emulator::Route;

use crate::published_file::{published, store};
use crate::small_disk::on_a_disk_of;
use crate::support::{LogCapture, LogLine, PATIENCE, Stage, eventually, sender};

fn assert_full<T: std::fmt::Debug>(stage: &Stage, result: Result<T, Error>) {
    let error = result.expect_err("there is no room for this");
    assert!(matches!(error, Error::StorageFull { .. }), "{error}");
    assert!(error.is_retryable());
    let text = error.to_string();
    let database = stage.database();
    assert!(text.starts_with(database.to_str().unwrap()), "{text}");
    assert!(text.contains("no space left"), "{text}");
}

/// Stores Messages of this size until the disk is full; returns those that were accepted.
fn store_until_full(
    stage: &Stage,
    client: &spotflow_device::DeviceClient,
    bytes: usize,
) -> Vec<String> {
    let sender = sender(client);
    let mut accepted = Vec::new();
    loop {
        let text = format!("{} {}", accepted.len(), "x".repeat(bytes));
        match sender.enqueue_message(text.clone()) {
            Ok(_) => accepted.push(text),
            full => {
                assert_full(stage, full);
                return accepted;
            }
        }
    }
}

fn drain(stage: &Stage, client: &spotflow_device::DeviceClient) {
    stage.platform.accept_connections(true).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(client.pending_messages_count(), 0);
}

#[test]
fn on_a_full_disk_nothing_accepted_is_lost_and_acknowledgements_make_room_again() {
    on_a_disk_of(
        4096,
        "full_disk::on_a_full_disk_nothing_accepted_is_lost_and_acknowledgements_make_room_again",
        |disk| {
            for bytes in [0, 200, 3000, 100_000] {
                let stage = disk.stage();
                let client = stage.start();
                stage.cut_off();
                let mut accepted = store_until_full(&stage, &client, bytes.max(3000));
                disk.fill();
                accepted.extend(store_until_full(&stage, &client, bytes));
                assert_eq!(client.pending_messages_count(), accepted.len() as u64);
                drain(&stage, &client);
                assert!(stage.received() == accepted, "{bytes}");

                // The disk is as full as before; the file has room of its own now.
                let sender = sender(&client);
                sender.enqueue_message("there is room again").unwrap();
                client.wait_enqueued_messages_sent().unwrap();
                disk.free();
            }
        },
    );
}

#[test]
fn a_file_that_the_disk_has_no_room_for_is_an_error_and_what_was_copied_makes_room_again() {
    on_a_disk_of(
        16 << 10,
        "full_disk::a_file_that_the_disk_has_no_room_for_is_an_error_and_what_was_copied_makes_room_again",
        |disk| {
            let stage = disk.stage();
            let client = stage.start();
            stage.cut_off();
            let sender = sender(&client);
            sender.enqueue_message("before").unwrap();
            let elsewhere = tempfile::tempdir().unwrap();
            let path = elsewhere.path().join("file");
            fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
            let database_bytes = || fs::metadata(stage.database()).unwrap().len();
            let before = database_bytes();
            assert_full(&stage, sender.enqueue_file(&path));
            eventually("what was copied is deleted", || {
                sender.enqueue_message("x".repeat(100_000)).is_ok()
            });
            drain(&stage, &client);
            eventually("the file shrinks", || database_bytes() < before + (2 << 20));
            assert_eq!(stage.received()[0], "before");
            // One that fits is stored.
            fs::File::create(&path).unwrap().set_len(2 << 20).unwrap();
            sender.enqueue_file(&path).unwrap();
            drain(&stage, &client);
        },
    );
}

#[test]
fn what_others_fill_the_disk_with_does_not_keep_acknowledgements_from_being_recorded() {
    on_a_disk_of(
        4096,
        "full_disk::what_others_fill_the_disk_with_does_not_keep_acknowledgements_from_being_recorded",
        |disk| {
            let stage = disk.stage();
            let client = stage.device().in_flight_window(16).start().unwrap();
            stage.cut_off();
            let sender = sender(&client);
            // Few enough for all of them to be in the WAL and none in the database.
            let texts: Vec<String> = (0..600).map(|number| format!("{number}")).collect();
            for text in &texts {
                sender.enqueue_message(text.clone()).unwrap();
            }
            disk.fill();
            store_until_full(&stage, &client, 2000).clear();
            let accepted = client.pending_messages_count();
            drain(&stage, &client);
            assert_eq!(stage.received().len() as u64, accepted);
            client.close();
            // Recorded on the disk, not only in memory.
            let client = stage.start();
            assert_eq!(client.pending_messages_count(), 0);
            assert_eq!(stage.received().len() as u64, accepted);
        },
    );
}

#[test]
fn a_device_starts_on_a_full_disk_and_sends_and_forgets_what_it_has() {
    on_a_disk_of(
        4096,
        "full_disk::a_device_starts_on_a_full_disk_and_sends_and_forgets_what_it_has",
        |disk| {
            let stage = disk.stage();
            let client = stage.start();
            stage.cut_off();
            let sender = sender(&client);
            let texts: Vec<String> = (0..300).map(|number| format!("{number}")).collect();
            sender.enqueue_messages(texts.clone()).unwrap();
            client.close();
            disk.fill();
            let client = stage.start();
            drain(&stage, &client);
            assert_eq!(stage.received(), texts);
            client.close();
            assert_eq!(stage.start().pending_messages_count(), 0);
        },
    );
}

#[test]
fn a_first_start_on_a_full_disk_says_so_and_succeeds_when_there_is_space() {
    on_a_disk_of(
        4096,
        "full_disk::a_first_start_on_a_full_disk_says_so_and_succeeds_when_there_is_space",
        |disk| {
            let stage = disk.stage();
            disk.fill();
            assert_full(&stage, stage.device().start());
            disk.free();
            sender(&stage.start()).send_message("here").unwrap();
        },
    );
}

#[test]
fn the_client_goes_on_by_itself_once_there_is_space() {
    on_a_disk_of(
        4096,
        "full_disk::the_client_goes_on_by_itself_once_there_is_space",
        |disk| {
            let stage = disk.stage();
            let client = stage.start();
            stage.cut_off();
            disk.fill();
            let mut accepted = store_until_full(&stage, &client, 2000);
            eventually("the status names the disk", || {
                // Until the next attempt to connect fails, too.
                let full = self::sender(&client).enqueue_message("x".repeat(100_000));
                assert_full(&stage, full);
                let error = client.status().last_error;
                matches!(error, Some(Error::StorageFull { .. }))
            });
            disk.free();
            let sender = sender(&client);
            sender.enqueue_message("with space").unwrap();
            accepted.push("with space".to_owned());
            drain(&stage, &client);
            assert!(stage.received() == accepted);
        },
    );
}

#[test]
fn the_file_shrinks_on_a_full_disk_too_after_a_large_backlog_has_drained() {
    on_a_disk_of(
        16 << 10,
        "full_disk::the_file_shrinks_on_a_full_disk_too_after_a_large_backlog_has_drained",
        |disk| {
            let stage = disk.stage();
            let client = stage.device().in_flight_window(64).start().unwrap();
            stage.cut_off();
            let sender = sender(&client);
            for _ in 0..30 {
                sender.enqueue_messages(vec![vec![7; 2000]; 100]).unwrap();
            }
            let bytes = || fs::metadata(stage.database()).unwrap().len();
            eventually("the backlog is in the file", || bytes() > 4 << 20);
            disk.fill();
            drain(&stage, &client);
            // At the latest now: while the disk is full it may take more than one attempt.
            client.close();
            assert!(bytes() < 2200 << 10, "{} bytes are left", bytes());
        },
    );
}

#[test]
fn an_upgrade_on_a_full_disk_says_so_leaves_the_old_file_alone_and_succeeds_when_there_is_space() {
    on_a_disk_of(
        8192,
        "full_disk::an_upgrade_on_a_full_disk_says_so_leaves_the_old_file_alone_and_succeeds_when_there_is_space",
        |disk| {
            let stage = disk.stage();
            let file = published(&stage, "1.2.0");
            // What does not become small when it is compressed, as the take-over does.
            let noise = || std::iter::repeat_with(fastrand::alphanumeric).take(10_000);
            let texts: Vec<String> = (0..100)
                .map(|number| format!("{number} {}", noise().collect::<String>()))
                .collect();
            for text in &texts {
                store(&file, text, "None");
            }
            drop(file);
            let old = fs::read(stage.database()).unwrap();
            let names = || {
                let entries = fs::read_dir(stage.directory.path()).unwrap();
                let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
                let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
                names.retain(|name| !name.ends_with("-lock") && !name.ends_with("-sent"));
                names
            };
            // At the first byte of the new file, in the midst of it, and close to its end.
            for left in [0, 100 << 10, 300 << 10, 600 << 10] {
                disk.fill();
                disk.free_some(left);
                assert_full(&stage, stage.device().start());
                assert!(fs::read(stage.database()).unwrap() == old, "{left}");
                assert_eq!(names(), ["device.db"], "{left}");
            }
            disk.free();
            let client = stage.start();
            client
                .wait_enqueued_messages_sent_timeout(PATIENCE)
                .unwrap();
            let received = stage.platform.messages();
            assert_eq!(received.len(), texts.len());
            let arrived = |(message, text): (&spotflow_emulator::Message, &String)| {
                message.payload == text.as_bytes()
            };
            assert!(received.iter().zip(&texts).all(arrived));
            assert_eq!(stage.platform.http_request_count(Route::Init), 1);
        },
    );
}

/// The largest that a file of this process may become; `unlimited`, or bytes.
fn limit_files(bytes: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string()])
        .arg(format!("--fsize={bytes}:unlimited"))
        .status();
    assert!(limited.expect("`prlimit` (util-linux)").success());
}

#[test]
fn a_file_that_may_not_grow_is_a_full_disk_of_which_the_log_tells_once() {
    on_a_disk_of(
        16 << 10,
        "full_disk::a_file_that_may_not_grow_is_a_full_disk_of_which_the_log_tells_once",
        |disk| {
            for (window, bytes) in [(1, 3000), (16, 100_000)] {
                let stage = disk.stage();
                let client = stage.device().in_flight_window(window).start().unwrap();
                stage.cut_off();
                let warnings_before = warnings();
                limit_files("2000000");
                let mut accepted = store_until_full(&stage, &client, bytes);
                assert!(!accepted.is_empty());
                for _ in 0..50 {
                    let full = sender(&client).enqueue_message("x".repeat(bytes));
                    assert_full(&stage, full);
                }
                let text = sender(&client)
                    .enqueue_message("x".repeat(bytes))
                    .map_err(|error| error.chain().to_string());
                let text = text.expect_err("as full as before");
                assert!(text.contains("File too large"), "{text}");
                drain(&stage, &client);
                assert!(stage.received() == accepted, "{bytes}");
                let told = warnings() - warnings_before;
                assert!(told < 10, "{told} warnings");

                limit_files("unlimited");
                accepted = (0..60)
                    .map(|number| format!("{number} {}", "y".repeat(50_000)))
                    .collect();
                for text in &accepted {
                    sender(&client).enqueue_message(text.clone()).unwrap();
                }
                drain(&stage, &client);
                assert!(stage.received().ends_with(&accepted), "{bytes}");
            }
        },
    );
}

fn warnings() -> usize {
    let lines = LogCapture::install().lines();
    let is_ours = |line: &&LogLine| line.target.contains("store") && line.level <= log::Level::Warn;
    lines.iter().filter(is_ours).count()
}
