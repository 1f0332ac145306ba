//! A device that ran the published SDK goes on with this one, from the same database file. The files
//! here are made by hand; tests/upgrade_from_published has them made by the published SDK itself.

use serde_json::json;
use spotflow_device::{DesiredProperties, DeviceClient};
use spotflow_emulator::Route;

use crate::published_file::{published, store};
use crate::support::{DEVICE, LogCapture, PATIENCE, Seen, Stage, in_a_process_of_its_own, sender};

#[test]
fn a_device_of_any_age_is_not_provisioned_again_and_its_messages_come_first() {
    for version in ["0.1.3", "1.0.1", "1.1.0", "1.2.0"] {
        let stage = Stage::new();
        let file = published(&stage, version);
        for number in 0..20 {
            store(&file, &number.to_string(), "None");
        }
        drop(file);
        let client = stage.start();
        assert_eq!(
            stage.platform.http_request_count(Route::Init),
            1,
            "{version}"
        );
        assert_eq!(client.device_id(), DEVICE);
        sender(&client).send_message("new").unwrap();
        let mut expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        expected.push("new".to_owned());
        assert_eq!(stage.received(), expected, "{version}");
        client.close();
        // The next start is an ordinary one.
        drop(stage.start());
        assert_eq!(
            stage.platform.http_request_count(Route::Init),
            1,
            "{version}"
        );
    }
}

#[test]
fn a_device_is_upgraded_without_a_network() {
    let stage = Stage::new();
    let file = published(&stage, "1.2.0");
    store(&file, "old", "None");
    file.execute(
        r#"INSERT INTO Twins (type, properties) VALUES ('desired', '{"$version": 7, "interval": 5}')"#,
        (),
    )
    .unwrap();
    drop(file);
    stage.platform.accept_connections(false).unwrap();
    let seen = Seen::new();
    let properties = std::sync::Arc::clone(&seen);
    let client = stage
        .device()
        .on_desired_properties(move |desired: DesiredProperties| properties.push(desired))
        .start()
        .unwrap();
    assert_eq!(client.pending_messages_count(), 1);
    let desired = seen.wait(|_| true);
    assert_eq!(desired.version(), 7);
    assert_eq!(desired.values().get("interval"), Some(&json!(5)));
    sender(&client).enqueue_message("new").unwrap();
    stage.platform.accept_connections(true).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["old", "new"]);
}

#[test]
fn what_was_to_be_reported_and_what_was_not_processed_is_not_forgotten() {
    let stage = Stage::new();
    let file = published(&stage, "1.2.0");
    file.execute_batch(
        r#"INSERT INTO ReportedPropertiesUpdates (update_type, patch)
               VALUES ('Full', '{"a": 1, "b": 2}'), ('Patch', '{"b": null, "c": 3}');
           INSERT INTO CloudToDeviceMessages (content) VALUES ('first'), ('second');
           INSERT INTO CloudToDeviceProperties VALUES (1, 'k', 'v ä'), (1, '$.mid', '1/2');"#,
    )
    .unwrap();
    drop(file);
    let client = stage.device().cloud_messages(true).start().unwrap();
    let reported = |reported: &serde_json::Value| *reported == json!({"a": 1, "c": 3});
    stage
        .platform
        .wait_for_reported(DEVICE, reported, PATIENCE)
        .unwrap();
    let receive = || client.receive_cloud_message(PATIENCE).unwrap().unwrap();
    let (first, second) = (receive(), receive());
    assert_eq!(first.payload(), b"first");
    assert_eq!(first.property("k").as_deref(), Some("v ä"));
    assert_eq!(first.property("$.mid").as_deref(), Some("1/2"));
    assert_eq!(second.payload(), b"second");
}

#[test]
fn messages_of_another_identity_and_broken_ones_are_set_aside() {
    let stage = Stage::new();
    let file = published(&stage, "1.2.0");
    store(&file, "as another", "None");
    store(&file, "broken", "Bogus");
    file.execute("UPDATE SdkConfiguration SET device_id = 'another'", ())
        .unwrap();
    drop(file);
    let client = stage.start();
    let set_aside = client.set_aside_messages().unwrap();
    let texts: Vec<String> = set_aside
        .iter()
        .map(|message| format!("{}: {}", message.device_id, message.reason))
        .collect();
    let workspace_id = stage.platform.workspace_id();
    let expected = [
        format!("another: stored as device {workspace_id}:another"),
        "another: taken over from the published SDK: its close_option is unknown".to_owned(),
    ];
    assert_eq!(texts, expected);
    assert_eq!(client.status().set_aside_messages, 2);
    assert_eq!(stage.received(), [""; 0]);
}

#[test]
fn an_unknown_version_is_an_error_that_names_it() {
    let stage = Stage::new();
    let file = published(&stage, "9.9.9");
    drop(file);
    let before = std::fs::read(stage.database()).unwrap();
    let error = stage.device().start().unwrap_err();
    assert!(
        error.chain().to_string().contains("9.9.9"),
        "{}",
        error.chain()
    );
    assert!(!error.is_retryable());
    assert_eq!(std::fs::read(stage.database()).unwrap(), before);
}

#[test]
fn the_log_tells_what_was_taken_over_and_which_rows_are_broken() {
    in_a_process_of_its_own(
        "upgrade::the_log_tells_what_was_taken_over_and_which_rows_are_broken",
        || {
            let log = LogCapture::install();
            let stage = Stage::new();
            let file = published(&stage, "1.1.0");
            store(&file, "content of the Message", "None");
            store(&file, "content of the Message", "Bogus");
            file.execute_batch(
                "INSERT INTO CloudToDeviceMessages (content) VALUES ('first');
                 INSERT INTO ReportedPropertiesUpdates (update_type, patch) VALUES ('Full', 'confidential')",
            )
            .unwrap();
            let token: String = file
                .query_row(
                    "SELECT registration_token FROM SdkConfiguration",
                    (),
                    |row| row.get(0),
                )
                .unwrap();
            drop(file);
            let client: DeviceClient = stage.start();
            client.close();
            let said = |level: log::Level| -> Vec<String> {
                let path = format!("{}: ", stage.database().display());
                let lines = log.lines().into_iter().filter(|line| line.level == level);
                lines
                    .filter_map(|line| line.text.strip_prefix(&path).map(str::to_owned))
                    .collect()
            };
            assert_eq!(
                said(log::Level::Info),
                [
                    "taking over from the published SDK",
                    "taken over from the published SDK (schema 1.1.0): 1 Messages to be sent, 1 set aside, 1 \
                     cloud-to-device messages, 0 pending updates of the Reported Properties, no Desired Properties"
                ]
            );
            let errors = said(log::Level::Error);
            assert_eq!(errors.len(), 3, "{errors:?}");
            assert!(errors[0].starts_with("row 2 of Messages is set aside"));
            assert_eq!(
                errors[1],
                "row 1 of CloudToDeviceMessages: content is text in the place of a BLOB"
            );
            assert!(
                errors[2]
                    .starts_with("row 1 of ReportedPropertiesUpdates is not taken over: not JSON")
            );
            for line in log.lines() {
                for secret in [
                    &token,
                    &stage.platform.provisioning_token(),
                    "content of",
                    "confidential",
                ] {
                    assert!(!line.text.contains(secret), "{}", line.text);
                }
            }
        },
    );
}
