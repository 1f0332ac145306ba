//! `send`: from a script to the Platform.

use crate::program::{run, run_with_input, text};
use crate::support::{DEVICE, Stage};

/// The arguments that lead to the test's Platform.
fn send<'a>(database: &'a str, ca_file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["send", "--db", database, "--ca-file", ca_file], more].concat()
}

#[test]
fn payloads_from_arguments_and_from_standard_input_are_delivered_in_order() {
    let stage = Stage::new();
    let (database, ca_file) = (stage.database(), stage.platform.ca_file().to_owned());
    let send = |more: &[&'static str]| send(text(&database), text(&ca_file), more);
    // A device that is new: it is told who it is, and waits for its approval, which comes at once.
    let token_file = stage.directory.path().join("token");
    std::fs::write(&token_file, stage.platform.provisioning_token()).unwrap();
    let instance = stage.platform.instance();
    let first = [
        "--token-file",
        text(&token_file),
        "--instance",
        &instance,
        "--device-id",
        DEVICE,
        "--stream",
        "readings",
        "1",
        "2",
    ];
    let ended = run(&stage, &[&send(&[])[..], &first].concat());
    assert_eq!(
        ended.stdout, "2 Messages are with the Platform\n",
        "{ended:#?}"
    );
    assert!(ended.stderr.contains("to be approved"), "{ended:#?}");
    // From now on all that is in the file.
    let ended = run_with_input(&stage, &send(&["--lines"]), b"3\r\n4\n5");
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(!ended.stderr.contains("to be approved"), "{ended:#?}");
    let ended = run_with_input(&stage, &send(&["--compress", "smallest"]), b"6\n7\n");
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(stage.received(), ["1", "2", "3", "4", "5", "6\n7\n"]);
    let stream = stage.platform.messages();
    assert_eq!(stream[0].property("stream-name"), Some("readings"));
}

#[test]
fn what_the_platform_does_not_acknowledge_in_time_waits_in_the_file() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let (database, ca_file) = (stage.database(), stage.platform.ca_file().to_owned());
    let send = |more: &[&'static str]| send(text(&database), text(&ca_file), more);
    let ended = run(&stage, &send(&["--timeout", "0.5", "late"]));
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert!(ended.stderr.contains("1 Messages wait in"), "{ended:#?}");
    assert!(ended.stderr.contains("the last error was"), "{ended:#?}");
    let ended = run(&stage, &send(&["--timeout", "0.5", "--no-wait", "later"]));
    assert_eq!(ended.stdout, "1 Messages are stored\n", "{ended:#?}");
    stage.platform.accept_connections(true).unwrap();
    let ended = run(&stage, &send(&["now"]));
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(stage.received(), ["late", "later", "now"]);
}

#[test]
fn without_a_token_or_a_payload_it_says_what_is_missing() {
    let stage = Stage::new();
    let database = stage.database();
    let ended = run(&stage, &["send", "--db", text(&database), "payload"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("--token-file"), "{ended:#?}");
    let ended = run(&stage, &["send", "--db", text(&database), "--lines"]);
    assert!(ended.stderr.contains("nothing to send"), "{ended:#?}");
    assert!(!database.exists());
}
