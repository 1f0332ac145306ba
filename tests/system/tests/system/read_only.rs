//! The file system lets nobody write, not even root.

use std::path::Path;
use std::process::Command;

use spotflow_device::Error;

use crate::small_disk::on_a_disk_of;
use crate::support::{PATIENCE, Stage, sender};

fn assert_refused(stage: &Stage, said: &str) {
    let error = stage.device().start().expect_err("the file cannot be used");
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
    let text = error.chain().to_string();
    assert!(text.contains("device.db"), "{text}");
    assert!(text.contains(said), "{text}");
}

/// Changes a mount of this process's own.
fn mount(arguments: &[&str], place: &Path) {
    let status = Command::new("mount").args(arguments).arg(place).status();
    assert!(status.expect("`mount`").success(), "mount {arguments:?}");
}

#[test]
fn a_read_only_disk_is_named_at_the_start_and_costs_nothing() {
    on_a_disk_of(
        8192,
        "read_only::a_read_only_disk_is_named_at_the_start_and_costs_nothing",
        |disk| {
            let stage = Stage {
                directory: tempfile::tempdir_in(disk.path()).unwrap(),
                ..Stage::new()
            };
            let client = stage.start();
            stage.cut_off();
            sender(&client).enqueue_message("kept").unwrap();
            client.close();
            mount(&["-o", "remount,ro"], disk.path());
            assert_refused(&stage, "Read-only file system");
            mount(&["-o", "remount,rw"], disk.path());
            let client = stage.start();
            stage.platform.accept_connections(true).unwrap();
            client
                .wait_enqueued_messages_sent_timeout(PATIENCE)
                .unwrap();
            assert_eq!(stage.received(), ["kept"]);
        },
    );
}

#[test]
fn a_file_that_is_read_only_is_named_at_the_start() {
    on_a_disk_of(
        8192,
        "read_only::a_file_that_is_read_only_is_named_at_the_start",
        |disk| {
            let stage = Stage {
                directory: tempfile::tempdir_in(disk.path()).unwrap(),
                ..Stage::new()
            };
            stage.start().close();
            let database = stage.database();
            let file = database.to_str().unwrap();
            // For root, too, whom permissions do not stop.
            mount(&["--bind", file], &database);
            mount(&["-o", "remount,bind,ro"], &database);
            assert_refused(&stage, "cannot open the database");
        },
    );
}
