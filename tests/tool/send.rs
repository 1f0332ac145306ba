//! `send`: from a script to the Platform.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::program::{PATH, run, run_with_input, text};
use crate::support::{DEVICE, Stage, eventually};

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
    assert_eq!(ended.stdout, "2 Messages sent\n", "{ended:#?}");
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
    assert!(ended.stderr.contains("1 Message left in"), "{ended:#?}");
    assert!(ended.stderr.contains("the last error was"), "{ended:#?}");
    let ended = run(&stage, &send(&["--timeout", "0.5", "--no-wait", "later"]));
    assert_eq!(ended.stdout, "1 Message stored\n", "{ended:#?}");
    stage.platform.accept_connections(true).unwrap();
    let ended = run(&stage, &send(&["now"]));
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(stage.received(), ["late", "later", "now"]);
}

/// As of a sensor that never ends.
#[test]
fn a_line_is_sent_before_the_next_one_comes() {
    let stage = Stage::new();
    stage.start().close();
    let (database, ca_file) = (stage.database(), stage.platform.ca_file().to_owned());
    let mut child = Command::new(PATH)
        .args(send(text(&database), text(&ca_file), &["--lines"]))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in ["first", "second"] {
        writeln!(input, "{line}").unwrap();
        eventually("it is sent", || {
            stage.received().last().map(String::as_str) == Some(line)
        });
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(stage.received(), ["first", "second"]);
}

#[cfg(unix)]
#[test]
fn of_input_without_an_end_no_more_is_read_than_a_message_can_have() {
    let stage = Stage::new();
    stage.start().close();
    let (database, ca_file) = (stage.database(), stage.platform.ca_file().to_owned());
    for more in [
        &[][..],
        &["--lines"],
        &["--token-file", "/dev/zero", "payload"],
    ] {
        let ended = Command::new(PATH)
            .args(send(text(&database), text(&ca_file), more))
            .stdin(File::open("/dev/zero").unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            !said.is_empty() && !ended.status.success(),
            "{more:?}: {said}"
        );
    }
    assert!(stage.received().is_empty());
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
