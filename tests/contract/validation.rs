//! What breaks a rule is refused with the argument's name, and nothing is stored.

use std::time::Duration;

use serde_json::{Value, json};
use spotflow_device::{
    Compression, DeviceClient, DeviceClientBuilder, Error, MAX_PAYLOAD_BYTES, Message, Pace,
    Pacing, Priority,
};
use spotflow_emulator::Route;

use crate::support::{Stage, sender};

/// The argument that an error blames; the rule must be told, too.
fn blamed<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Err(Error::InvalidArgument { argument, rule, .. }) => {
            assert!(!rule.is_empty());
            argument
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

/// Starts what must be refused, and looks whether it left anything behind.
fn refused_start(
    stage: &Stage,
    change: impl FnOnce(DeviceClientBuilder) -> DeviceClientBuilder,
) -> &'static str {
    let argument = blamed(change(stage.device()).start());
    let files = std::fs::read_dir(stage.directory.path()).unwrap().count();
    assert_eq!(files, 0, "{argument}: a file was made");
    assert_eq!(stage.platform.http_request_count(Route::Any), 0);
    argument
}

#[test]
fn a_device_id_has_4_to_90_characters_of_its_alphabet() {
    let stage = Stage::new();
    let long = "a".repeat(91);
    for id in [
        "",
        "abc",
        &long,
        "with space",
        "ws:dev",
        "a/bc",
        "geräte",
        "line\nend",
        "null\0",
    ] {
        assert_eq!(
            refused_start(&stage, |d| d.device_id(id)),
            "device_id",
            "{id:?}"
        );
    }
    for id in ["a-_.", &long[..90]] {
        assert_eq!(
            stage.device().device_id(id).start().unwrap().device_id(),
            id
        );
    }
}

#[test]
#[cfg(not(feature = "zstd"))]
fn a_codec_that_is_not_in_the_build_is_refused_at_the_start() {
    let stage = Stage::new();
    let argument = refused_start(&stage, |device| device.codec(spotflow_device::Codec::Zstd));
    assert_eq!(argument, "codec");
}

#[test]
#[cfg(not(any(feature = "brotli", feature = "gzip", feature = "zstd")))]
fn a_build_without_codecs_sends_what_need_not_be_compressed() {
    let stage = Stage::new();
    let client = stage.start();
    let compressing = client.create_stream_sender(None, None, Compression::Fastest);
    assert_eq!(blamed(compressing), "compression");
    sender(&client).send_message("plain").unwrap();
    assert_eq!(stage.received(), ["plain"]);
}

#[test]
#[cfg(all(feature = "zstd", not(any(feature = "brotli", feature = "gzip"))))]
fn the_only_codec_in_the_build_compresses() {
    let stage = Stage::new();
    let client = stage.start();
    let compressing = client.create_stream_sender(None, None, Compression::SmallestSize);
    compressing.unwrap().send_message("x".repeat(1000)).unwrap();
    assert_eq!(stage.received(), ["x".repeat(1000)]);
    assert!(
        stage.platform.messages()[0]
            .topic
            .contains("content-encoding=zstd")
    );
}

#[test]
fn an_instance_is_a_host() {
    let stage = Stage::new();
    for instance in [
        "",
        "http://host",
        "host/path",
        "user:secret@host",
        "a b",
        "host:0",
        "host:70000",
        "host\r\nx: y",
    ] {
        let argument = refused_start(&stage, |device| device.instance(instance));
        assert_eq!(argument, "instance", "{instance:?}");
    }
    // The same instance in other words: no second approval.
    stage.start().close();
    let url = format!("https://{}/", stage.platform.instance());
    stage.device().instance(url).start().unwrap();
    assert_eq!(stage.platform.operations().len(), 1);
}

#[test]
fn a_provisioning_token_is_one_printable_word() {
    let stage = Stage::new();
    for token in ["", "token\n", "to ken", "tokén", "a\r\nX-Injected: b"] {
        let builder = DeviceClient::builder(token, stage.database())
            .instance(stage.platform.instance())
            .ca_file(stage.platform.ca_file());
        assert_eq!(blamed(builder.start()), "provisioning_token", "{token:?}");
    }
    assert_eq!(
        std::fs::read_dir(stage.directory.path()).unwrap().count(),
        0
    );
}

#[test]
fn a_database_is_a_file_that_ends_in_db() {
    let stage = Stage::new();
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("directory.db");
    std::fs::create_dir(&inside).unwrap();
    let paths = [
        "",
        ".db",
        "device",
        "device.sqlite",
        "device.db.bak",
        "device.DB",
    ];
    let paths = paths.map(|name| directory.path().join(name));
    for path in paths.iter().chain([&inside]) {
        let builder = DeviceClient::builder(stage.platform.provisioning_token(), path);
        assert_eq!(blamed(builder.start()), "database", "{}", path.display());
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    // A directory that does not exist is another matter: it may be mounted later.
    let missing = directory.path().join("missing").join("device.db");
    let error = DeviceClient::builder(stage.platform.provisioning_token(), &missing)
        .start()
        .unwrap_err();
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
}

#[test]
fn a_ca_file_holds_certificates() {
    let stage = Stage::new();
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("ca.pem");
    std::fs::write(&text, "no certificate").unwrap();
    for path in [text, directory.path().join("missing.pem")] {
        assert_eq!(
            refused_start(&stage, |device| device.ca_file(&path)),
            "ca_file"
        );
    }
}

#[test]
fn the_window_and_the_keep_alive_have_their_ranges() {
    let stage = Stage::new();
    for window in [0, 257, usize::MAX] {
        let argument = refused_start(&stage, |device| device.in_flight_window(window));
        assert_eq!(argument, "in_flight_window");
    }
    for seconds in [0, 4, 1768, u64::MAX] {
        let interval = Duration::from_secs(seconds);
        assert_eq!(
            refused_start(&stage, |device| device.keep_alive(interval)),
            "keep_alive"
        );
    }
    let accepted = stage
        .device()
        .in_flight_window(256)
        .keep_alive(Duration::from_secs(1767));
    sender(&accepted.start().unwrap())
        .send_message("in")
        .unwrap();
    assert_eq!(stage.platform.connections()[0].keep_alive, 1767);
}

#[test]
fn a_pace_is_above_zero_and_a_burst_has_its_range() {
    let stage = Stage::new();
    let bad = [
        (
            Pace::new().messages_per_second(0.0),
            "pacing.messages_per_second",
        ),
        (
            Pace::new().messages_per_second(f64::NAN),
            "pacing.messages_per_second",
        ),
        (Pace::new().bytes_per_second(0), "pacing.bytes_per_second"),
        (Pace::new().burst(Duration::ZERO), "pacing.burst"),
        (Pace::new().burst(Duration::MAX), "pacing.burst"),
    ];
    for (pace, argument) in bad {
        let pacing = Pacing::new().lane(Priority::Low, pace);
        assert_eq!(
            refused_start(&stage, |device| device.pacing(pacing)),
            argument
        );
    }
    let client = stage.start();
    for (pace, argument) in bad {
        assert_eq!(blamed(client.set_pacing(Pacing::new().all(pace))), argument);
    }
    sender(&client).send_message("not paced").unwrap();
}

#[test]
fn a_database_in_use_names_the_process_that_uses_it() {
    let stage = Stage::new();
    let client = stage.start();
    let error = stage.device().start().unwrap_err();
    let Error::DatabaseInUse { path, holder, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*path, stage.database());
    assert_eq!(*holder, Some(std::process::id()));
    // The first one is none the worse for it, and lets go with its end.
    sender(&client).send_message("works").unwrap();
    client.close();
    stage.start();
}

#[test]
fn names_and_ids_are_not_empty_and_fit_a_topic() {
    let stage = Stage::new();
    let client = stage.start();
    let long = "x".repeat(70_000);
    for bad in ["", &long] {
        let to = |group: Option<&str>, stream: Option<&str>| {
            client.create_stream_sender(group, stream, Compression::Uncompressed)
        };
        assert_eq!(blamed(to(Some(bad), None)), "stream_group");
        assert_eq!(blamed(to(None, Some(bad))), "stream");
        let sender = sender(&client);
        let message = || Message::new("x");
        let cases = [
            ("batch_id", message().batch_id(bad)),
            ("batch_slice_id", message().batch_slice_id(bad)),
            ("message_id", message().message_id(bad)),
            ("chunk_id", message().chunk_id(bad)),
        ];
        for (argument, message) in cases {
            assert_eq!(blamed(sender.enqueue_message(message.clone())), argument);
            assert_eq!(blamed(sender.send_message(message.clone())), argument);
            // All of them or none.
            let both = [Message::new("good"), message];
            assert_eq!(blamed(sender.enqueue_messages(both)), argument);
        }
        assert_eq!(blamed(sender.enqueue_batch_completion(bad)), "batch_id");
        assert_eq!(
            blamed(sender.enqueue_message_completion(bad, "m")),
            "batch_id"
        );
        assert_eq!(
            blamed(sender.enqueue_message_completion("b", bad)),
            "message_id"
        );
    }
    assert_eq!(client.pending_messages_count(), 0);
    // A name of which each character takes three bytes in a topic.
    let encoded = "ä/".repeat(10_000);
    assert_eq!(
        blamed(sender(&client).enqueue_message(Message::new("x").batch_id(encoded))),
        "batch_id"
    );
    sender(&client).send_message("only this").unwrap();
    assert_eq!(stage.received(), ["only this"]);
}

#[test]
fn ids_as_long_as_allowed_arrive() {
    let stage = Stage::new();
    let client = stage.start();
    let long = "y".repeat(65_000);
    sender(&client)
        .send_message(Message::new("x").batch_id(&*long))
        .unwrap();
    let odd = "a b/c&d=e?f#g+h%20ä\u{1F600}\"'\n";
    sender(&client)
        .send_message(Message::new("x").batch_id(odd).message_id("m"))
        .unwrap();
    let messages = stage.platform.messages();
    assert_eq!(messages[0].batch_id.as_deref(), Some(&*long));
    assert_eq!(messages[1].batch_id.as_deref(), Some(odd));
}

#[test]
fn a_payload_has_a_documented_limit() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let too_long = vec![0; MAX_PAYLOAD_BYTES + 1];
    assert_eq!(blamed(sender.enqueue_message(too_long)), "payload");
    assert_eq!(client.pending_messages_count(), 0);
    sender.send_message("").unwrap();
    assert_eq!(stage.received(), [""]);
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({ "k": inner }))
}

#[test]
fn reported_properties_that_the_hub_would_refuse_are_refused_at_once() {
    let stage = Stage::new();
    let client = stage.start();
    let many: serde_json::Map<_, _> = (0..9)
        .map(|i| (format!("k{i}"), json!("x".repeat(4096))))
        .collect();
    let cases = [
        (json!([1]), "object"),
        (json!("text"), "object"),
        (json!({"a.b": 1}), "a.b"),
        (json!({"$a": 1}), "$a"),
        (json!({"a b": 1}), "a b"),
        (json!({"outer": {"b\u{7}": 1}}), "outer"),
        (json!({"a": [{"b.c": 1}]}), "a[0]"),
        (json!({"": 1}), "empty"),
        (json!({"list": [1, null]}), "list[1]"),
        (json!({"long": "x".repeat(4097)}), "4096"),
        (nested(12), "10 levels"),
        (many.into(), "32768"),
    ];
    for (properties, told) in cases {
        let error = client
            .update_reported_properties(&properties)
            .expect_err(told);
        assert!(
            error.to_string().contains(told),
            "{error} does not tell {told:?}"
        );
        assert_eq!(blamed::<()>(Err(error)), "properties");
    }
    assert!(!client.any_pending_reported_properties_updates());
    let good = nested(11);
    client.update_reported_properties(&good).unwrap();
    let device = client.device_id();
    let wait = |wanted: &Value| *wanted == good;
    stage
        .platform
        .wait_for_reported(&device, wait, crate::support::PATIENCE)
        .unwrap();
    assert_eq!(
        stage.platform.reported_patches(&device).unwrap(),
        std::slice::from_ref(&good)
    );
}
