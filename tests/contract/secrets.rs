//! Secrets stay secret: from a hub that is not the device's, and in the files of the device. What is
//! logged is looked at by every test (`support::Stage`), what is shown by `tests/faults/secrets.rs`.

use spotflow_device::{Compression, Error};
use spotflow_emulator::{Platform, Route};

use crate::support::{DEVICE, PATIENCE, Stage, eventually, registration, sender};

#[test]
fn a_hub_that_is_not_what_the_registration_says_hears_no_password() {
    let stage = Stage::new();
    let foreign = Platform::start().unwrap();
    let hub_device = format!("{}:{DEVICE}", stage.platform.workspace_id());
    let answer = registration(
        &foreign.hub_host_name(),
        &hub_device,
        std::time::Duration::from_secs(3600),
    );
    stage.platform.http_body(Route::Register, answer, 1);
    let client = stage.start();
    sender(&client).enqueue_message(vec![7; 300_000]).unwrap();
    eventually("it is told", || {
        matches!(client.status().last_error, Some(Error::Tls { .. }))
    });
    client.close();
    assert_eq!(foreign.connection_count(), 0);
    assert!(foreign.http_requests().is_empty());
}

#[cfg(unix)]
#[test]
fn every_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new();
    let client = stage.start();
    let sender = client
        .create_stream_sender(None, None, Compression::Uncompressed)
        .unwrap();
    sender.enqueue_message(vec![7; 300_000]).unwrap();
    stage
        .platform
        .wait_for_connected(DEVICE, true, PATIENCE)
        .unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(stage.directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "device.db",
            "device.db-lock",
            "device.db-sent",
            "device.db-wal"
        ]
    );
}
