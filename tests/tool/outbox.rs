//! `status` and `outbox` on a database at rest.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;
use spotflow_device::{Compression, FileMessage, Message, SenderOptions};

use crate::program::{PATH, run, run_with_input, text};
use crate::support::{DEVICE, PATIENCE, Stage};

/// A device that was registered once, and has stored these without a network.
fn stored_offline(stage: &Stage, payloads: &[&str]) {
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    let compressing = client
        .create_stream_sender("g", "s t", Compression::SmallestSize)
        .unwrap();
    for (number, payload) in payloads.iter().enumerate() {
        let message = Message::new(*payload).message_id(format!("m/{number}"));
        compressing.enqueue_message(message).unwrap();
    }
    client.close();
}

/// Compressed when it is stored.
fn long_json() -> String {
    json!({ "values": vec![7; 100] }).to_string()
}

#[test]
fn status_tells_who_the_device_is_and_how_much_waits() {
    let stage = Stage::new();
    stored_offline(&stage, &["one", "three"]);
    let database = stage.database();
    let ended = run(&stage, &["status", "--json", "--db", text(&database)]);
    assert_eq!(ended.code, 0, "{ended:#?}");
    let status = &ended.json()[0];
    assert_eq!(status["device_id"], DEVICE);
    assert_eq!(status["workspace_id"], stage.platform.workspace_id());
    assert_eq!(status["instance"], stage.platform.instance());
    assert_eq!(status["has_registration"], true);
    assert_eq!(status["is_in_use"], false);
    assert_eq!(status["pending_messages"], 2);
    assert_eq!(status["pending_bytes"], 8);
    assert_eq!(status["set_aside_messages"], 0);
    let ended = run(&stage, &["status", "--db", text(&database)]);
    assert!(ended.stdout.contains("2 Messages, 8 B"), "{ended:#?}");
    assert!(ended.stdout.contains("none uses the file"), "{ended:#?}");
}

#[test]
fn messages_are_listed_and_shown_with_their_payloads_decoded() {
    let stage = Stage::new();
    let payload = long_json();
    stored_offline(&stage, &["one", &payload]);
    let database = stage.database();
    let list = ["outbox", "list", "--db", text(&database)];
    let listed = run(&stage, &list);
    assert_eq!(listed.stdout.lines().count(), 2, "{listed:#?}");
    assert!(listed.stdout.contains("stream-name=s t"), "{listed:#?}");
    let listed = run(&stage, &[&list[..], &["--json"]].concat()).json();
    assert_eq!(listed[1]["properties"]["message-id"], "m/1");
    let limited = run(&stage, &[&list[..], &["--limit", "1"]].concat());
    assert_eq!(limited.stdout.lines().count(), 1);
    let none = run(&stage, &[&list[..], &["--state", "set-aside"]].concat());
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));

    let id = listed[1]["id"].to_string();
    let show = ["outbox", "show", "--db", text(&database), &id];
    let shown = run(&stage, &show).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["payload"]["values"][99], 7);
    assert_eq!(
        run(&stage, &[&show[..], &["--raw"]].concat()).stdout,
        payload
    );
    let missing = run(
        &stage,
        &["outbox", "show", "--db", text(&database), "1000000"],
    );
    assert_eq!(missing.code, 1);
    assert!(
        missing.stderr.contains("no Message 1000000"),
        "{missing:#?}"
    );
}

#[test]
fn what_is_exported_is_imported_into_another_file_and_delivered_as_it_was() {
    let stage = Stage::new();
    let payload = long_json();
    stored_offline(&stage, &["one", &payload, "three"]);
    let (database, exported) = (stage.database(), stage.directory.path().join("m.jsonl"));
    let export = ["outbox", "export", "--db", text(&database)];
    let decoded = run(&stage, &[&export[..], &["--decode"]].concat()).json();
    assert_eq!(decoded[0]["payload"], "one");
    assert_eq!(decoded[1]["payload"]["values"][0], 7);
    let to_file = [&export[..], &["--output", text(&exported)]].concat();
    let ended = run(&stage, &to_file);
    assert!(
        ended.stdout.starts_with("3 Messages written to"),
        "{ended:#?}"
    );
    let again = run(&stage, &to_file);
    assert_eq!(again.code, 1, "no file is overwritten");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = exported.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // The same device with a file of its own: another gateway takes its place.
    stage.platform.accept_connections(true).unwrap();
    let other = stage.directory.path().join("other.db");
    stage.device_on(&other).start().unwrap().close();
    let import = ["outbox", "import", "--db", text(&other), text(&exported)];
    let asked = run(&stage, &import);
    assert_eq!(asked.code, 1);
    assert!(asked.stderr.contains("--yes"), "{asked:#?}");
    let ended = run(&stage, &[&import[..], &["--yes"]].concat());
    assert_eq!(
        ended.stdout, "3 Messages stored, to be sent\n",
        "{ended:#?}"
    );
    let client = stage.device_on(&other).start().unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    client.close();
    assert_eq!(stage.received(), ["one", &payload, "three"]);
    let sent = stage.platform.messages();
    assert_eq!(sent[2].property("message-id"), Some("m/2"));
}

/// Text of a file that no codec makes small enough for a row.
fn long_text(seed: u32) -> String {
    let words = (0..100_000_u32).map(|number| (number ^ seed).wrapping_mul(0x9E37_79B9));
    words.map(|word| format!("{word:08x}")).collect()
}

#[test]
fn the_content_of_files_is_listed_shown_exported_imported_and_dropped_as_any_other() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    let cases = [
        ("north gate", Compression::Fastest, long_text(1)),
        ("south", Compression::Uncompressed, long_text(2)),
    ];
    let path = stage.directory.path().join("content");
    for (key, compression, content) in &cases {
        let options = SenderOptions::new().keep_latest();
        let options = options.compression(*compression);
        let sender = client.create_stream_sender_with(None, "cameras", options);
        std::fs::write(&path, content).unwrap();
        let file = FileMessage::new(&path).message_id(*key).latest_key(*key);
        sender.unwrap().enqueue_file(file).unwrap();
    }
    client.close();
    let (database, exported) = (stage.database(), stage.directory.path().join("m.jsonl"));
    let outbox = |command: &str, arguments: &[&str]| {
        let command = ["outbox", command, "--db", text(&database)];
        run(&stage, &[&command[..], arguments].concat())
    };
    let listed = outbox("list", &["--json"]).json();
    assert_eq!(listed.len(), 2);
    for (message, (key, _, content)) in listed.iter().zip(&cases) {
        assert_eq!(message["latest_key"], *key);
        assert_eq!(message["is_uploaded"], true);
        let bytes = message["payload_bytes"].as_u64().unwrap() as usize;
        let is_compressed = message["properties"]["content-encoding"].is_string();
        assert!(bytes > 256 << 10 && is_compressed == (bytes < content.len()));
        let id = message["id"].to_string();
        assert!(outbox("show", &[&id, "--raw"]).stdout == *content);
        let shown: serde_json::Value =
            serde_json::from_str(&outbox("show", &[&id]).stdout).unwrap();
        assert_eq!(shown["latest_key"], *key);
    }
    assert!(listed[0]["properties"]["content-encoding"].is_string());
    let ended = outbox("export", &["--output", text(&exported)]);
    assert!(ended.stdout.starts_with("2 Messages"), "{ended:#?}");
    let dropped = outbox("drop", &["--yes", &listed[0]["id"].to_string()]);
    assert_eq!(dropped.stdout, "1 Message dropped\n", "{dropped:#?}");

    stage.platform.accept_connections(true).unwrap();
    let send = |database: &Path| {
        let client = stage.device_on(database).start().unwrap();
        let sent = client.wait_enqueued_messages_sent_timeout(PATIENCE);
        sent.unwrap();
        client.close();
    };
    send(&database);
    let other = stage.directory.path().join("other.db");
    stage.device_on(&other).start().unwrap().close();
    let import = ["outbox", "import", "--db", text(&other), text(&exported)];
    let ended = run(&stage, &[&import[..], &["--yes"]].concat());
    assert_eq!(ended.code, 0, "{ended:#?}");
    send(&other);
    let [north, south] = [0, 1].map(|case: usize| cases[case].2.as_str());
    assert!(stage.received() == [south, north, south]);
}

#[test]
fn a_line_that_cannot_be_imported_is_named_and_what_was_stored_before_is_left_out_the_next_time() {
    let stage = Stage::new();
    stored_offline(&stage, &["one", "two"]);
    let database = stage.database();
    let exported = run(&stage, &["outbox", "export", "--db", text(&database)]).stdout;
    let import = ["outbox", "import", "--yes", "--db", text(&database), "-"];
    let broken = format!("{exported}{{\"hunter2\": 1}}\n");
    let ended = run_with_input(&stage, &import, broken.as_bytes());
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("line 3: not a Message"), "{ended:#?}");
    assert!(ended.stderr.contains("0 Messages stored"), "{ended:#?}");
    assert!(!ended.stderr.contains("hunter2"), "{ended:#?}");
    let skipping = [&import[..], &["--skip", "1"]].concat();
    let ended = run_with_input(&stage, &skipping, exported.as_bytes());
    assert_eq!(ended.stdout, "1 Message stored, to be sent\n", "{ended:#?}");

    let foreign = exported.replace(DEVICE, "another-device");
    let ended = run_with_input(&stage, &import, foreign.as_bytes());
    assert!(
        ended.stderr.contains("line 1: it is of the device"),
        "{ended:#?}"
    );
    let taken = [&import[..], &["--as-this-device"]].concat();
    let ended = run_with_input(&stage, &taken, foreign.as_bytes());
    assert_eq!(
        ended.stdout, "2 Messages stored, to be sent\n",
        "{ended:#?}"
    );
}

/// As a person who lost patience, or the power, ends it: the next import says behind which line to go on.
#[test]
fn an_import_that_was_killed_is_gone_on_with_and_nothing_is_stored_twice() {
    let stage = Stage::new();
    stored_offline(&stage, &["one"]);
    let database = stage.database();
    let exported = run(&stage, &["outbox", "export", "--db", text(&database)]).stdout;
    let pending = || {
        let status = run(&stage, &["status", "--json", "--db", text(&database)]).json();
        status[0]["pending_messages"].as_u64().unwrap()
    };
    let import = ["outbox", "import", "--yes", "--db", text(&database), "-"];
    let mut child = Command::new(PATH)
        .args(import)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // One commit's worth, and some that wait for more.
    let mut input = child.stdin.take().unwrap();
    input.write_all(exported.repeat(510).as_bytes()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while pending() < 501 {
        assert!(Instant::now() < deadline, "{} are pending", pending());
    }
    child.kill().and_then(|()| child.wait()).unwrap();
    drop(input);

    let all = exported.repeat(700);
    let refused = run_with_input(&stage, &import, all.as_bytes());
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--skip 500;"), "{refused:#?}");
    assert_eq!(pending(), 501);
    let going_on = [&import[..], &["--skip", "500"]].concat();
    let ended = run_with_input(&stage, &going_on, all.as_bytes());
    assert_eq!(
        ended.stdout, "200 Messages stored, to be sent\n",
        "{ended:#?}"
    );
    assert_eq!(pending(), 701);
    // That one came to its end.
    let ended = run_with_input(&stage, &import, exported.as_bytes());
    assert_eq!(ended.code, 0, "{ended:#?}");
}

#[test]
fn messages_are_dropped_when_somebody_says_so_and_no_others() {
    let stage = Stage::new();
    stored_offline(&stage, &["one", "two", "three"]);
    let database = stage.database();
    let listed = run(
        &stage,
        &["outbox", "list", "--json", "--db", text(&database)],
    )
    .json();
    let id = listed[1]["id"].to_string();
    let drop = ["outbox", "drop", "--db", text(&database), &id];
    let asked = run(&stage, &drop);
    assert_eq!(asked.code, 1);
    assert!(asked.stderr.contains("--yes"), "{asked:#?}");
    let ended = run(&stage, &[&drop[..], &["--yes", "1000000"]].concat());
    assert_eq!(ended.code, 1, "one of them was not there: {ended:#?}");
    assert!(
        ended.stdout.starts_with("1 Message dropped\n1 of"),
        "{ended:#?}"
    );
    stage.platform.accept_connections(true).unwrap();
    let client = stage.start();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    client.close();
    assert_eq!(stage.received(), ["one", "three"]);
}

#[test]
fn messages_set_aside_are_told_with_the_reason_and_sent_after_a_retry() {
    let stage = Stage::new();
    stored_offline(&stage, &["one", "two"]);
    // The device becomes another one, and then itself again: what it had stored is set aside.
    stage.platform.accept_connections(true).unwrap();
    let renamed = stage.device().device_id("renamed-device").start().unwrap();
    renamed.close();
    let database = stage.database();
    let listed = run(
        &stage,
        &["outbox", "list", "--json", "--db", text(&database)],
    )
    .json();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["state"], "set_aside");
    assert_eq!(listed[0]["device_id"], DEVICE);
    assert!(
        listed[0]["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty())
    );
    let retry = ["outbox", "retry", "--all", "--yes", "--db", text(&database)];
    let ended = run(&stage, &retry);
    assert_eq!(ended.code, 1, "they are of another device: {ended:#?}");
    stage.start().close();
    let ended = run(&stage, &retry);
    assert_eq!(
        ended.stdout, "2 Messages put back, to be sent\n",
        "{ended:#?}"
    );
    let client = stage.start();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    client.close();
    assert_eq!(stage.received(), ["one", "two"]);
}

#[test]
fn a_file_that_is_not_there_or_not_ours_is_told_and_left_as_it_is() {
    let stage = Stage::new();
    let path = stage.directory.path().join("no.db");
    for command in [
        &["status"][..],
        &["outbox", "list"],
        &["outbox", "retry", "--all"],
    ] {
        let ended = run(&stage, &[command, &["--db", text(&path)]].concat());
        assert_eq!(ended.code, 1);
        assert!(
            ended.stderr.contains("no.db: cannot find the file"),
            "{ended:#?}"
        );
        assert!(!path.exists(), "nothing is created");
    }
    for (content, said) in [(&b""[..], "it is empty"), (&[7; 4096], "not a database")] {
        std::fs::write(&path, content).unwrap();
        let ended = run(&stage, &["status", "--db", text(&path)]);
        assert_eq!(ended.code, 1);
        assert!(ended.stderr.contains(said), "{ended:#?}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    let names = std::fs::read_dir(stage.directory.path()).unwrap().count();
    assert_eq!(names, 1, "nothing was left beside it");
}

#[test]
fn a_program_that_is_called_wrongly_says_so_and_exits_with_2() {
    let stage = Stage::new();
    for arguments in [
        &[][..],
        &["outbox"],
        &["status"],
        &["outbox", "drop", "--db", "a.db"],
    ] {
        let ended = run(&stage, arguments);
        assert_eq!(ended.code, 2, "{ended:#?}");
        assert!(ended.stderr.contains("Usage:"), "{ended:#?}");
    }
    let which = run(&stage, &["outbox", "retry", "--db", "a.db"]);
    assert!(which.stderr.contains("--all"), "{which:#?}");
    // What a client would not take, either; nothing is left of it.
    let bundle = stage.directory.path().join("ticket.json");
    let wrong = [
        "doctor",
        "--instance",
        "two words",
        "--bundle",
        text(&bundle),
    ];
    let ended = run(&stage, &wrong);
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(!bundle.exists());
    let help = run(&stage, &["outbox", "export", "--help"]);
    assert!(help.stdout.contains("Examples:"), "{help:#?}");
}
