//! The file system lets nobody write, not even root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use spotflow_device::Error;

use crate::small_disk::{mount, on_a_disk_of};
use crate::support::{PATIENCE, Stage, sender};

fn assert_refused(stage: &Stage, said: &str) {
    let error = stage.device().start().expect_err("the file cannot be used");
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
    let text = error.chain().to_string();
    assert!(text.contains("device.db"), "{text}");
    assert!(text.contains(said), "{text}");
}

#[test]
fn a_read_only_disk_is_named_at_the_start_and_costs_nothing() {
    on_a_disk_of(
        8192,
        "read_only::a_read_only_disk_is_named_at_the_start_and_costs_nothing",
        |disk| {
            let stage = disk.stage();
            let client = stage.start();
            stage.cut_off();
            sender(&client).enqueue_message("kept").unwrap();
            client.close();
            mount(&["-o", "remount,bind,ro"], disk.path());
            assert_refused(&stage, "Read-only file system");
            mount(&["-o", "remount,bind,rw"], disk.path());
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
            let stage = disk.stage();
            stage.start().close();
            set_mode(&stage.database(), 0o400);
            assert_refused(&stage, "cannot open the database");
            set_mode(&stage.database(), 0o600);
            stage.start();
        },
    );
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_takes_no_new_files_is_named_at_the_start() {
    on_a_disk_of(
        8192,
        "read_only::a_directory_that_takes_no_new_files_is_named_at_the_start",
        |disk| {
            let stage = disk.stage();
            stage.start().close();
            let names = || fs::read_dir(stage.directory.path()).unwrap().count();
            let before = names();
            set_mode(stage.directory.path(), 0o500);
            assert_refused(&stage, "cannot write to its directory");
            assert_refused(&stage, "Permission denied");
            assert_eq!(names(), before);
            set_mode(stage.directory.path(), 0o700);
            stage.start();
        },
    );
}
