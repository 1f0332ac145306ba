//! One identity: a Message is sent only as the device that stored it.

use serde_json::json;
use spotflow_device::{DeviceClient, DeviceClientBuilder};
use spotflow_emulator::{AckMode, Approval, Platform, Route};

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, sender};

/// The test's device with another Provisioning Token.
fn with_token(stage: &Stage, token: String) -> DeviceClientBuilder {
    DeviceClient::builder(token, stage.database())
        .instance(stage.platform.instance())
        .ca_file(stage.platform.ca_file())
        .device_id(DEVICE)
        .on_provisioning(|_| {})
}

fn with_other_workspace(stage: &Stage) -> DeviceClientBuilder {
    let token = stage
        .platform
        .add_provisioning_token(None, Some("other-workspace"));
    with_token(stage, token)
}

/// A run of the test's device that leaves these Messages unsent.
fn leave_unsent(stage: &Stage, texts: &[&str]) {
    let client = stage.start();
    stage.cut_off();
    sender(&client)
        .enqueue_messages(texts.iter().copied())
        .unwrap();
    client.close();
    stage.platform.accept_connections(true).unwrap();
}

/// The ids of the Messages set aside, after a look at the rest.
fn set_aside(client: &DeviceClient, workspace_id: &str, device_id: &str) -> Vec<i64> {
    let messages = client.set_aside_messages().unwrap();
    for message in &messages {
        assert_eq!(
            (&*message.workspace_id, &*message.device_id),
            (workspace_id, device_id)
        );
        let named = message.reason.contains(workspace_id) && message.reason.contains(device_id);
        assert!(named, "{}", message.reason);
    }
    assert_eq!(client.status().set_aside_messages, messages.len() as u64);
    messages.iter().map(|message| message.id).collect()
}

#[test]
fn messages_of_another_workspace_are_set_aside_and_never_sent() {
    let stage = Stage::new();
    leave_unsent(&stage, &["a", "bc"]);
    let client = with_other_workspace(&stage).start().unwrap();
    assert_eq!(client.workspace_id(), "other-workspace");
    assert_eq!(client.pending_messages_count(), 0);
    let ids = set_aside(&client, &stage.platform.workspace_id(), DEVICE);
    assert_eq!(ids.len(), 2);
    let listed = client.set_aside_messages().unwrap();
    assert_eq!((listed[0].payload_bytes, listed[1].payload_bytes), (1, 2));
    // Nor does a retry send them as somebody else.
    assert_eq!(client.retry_set_aside_messages(&ids).unwrap(), 0);
    sender(&client).send_message("new").unwrap();
    assert_eq!(stage.received(), ["new"]);
    assert_eq!(stage.platform.messages()[0].workspace_id, "other-workspace");
    assert_eq!(
        set_aside(&client, &stage.platform.workspace_id(), DEVICE),
        ids
    );
}

#[test]
fn messages_of_another_device_id_are_set_aside_and_sent_when_it_is_back() {
    let stage = Stage::new();
    leave_unsent(&stage, &["old 1", "old 2"]);
    let other = stage.device().device_id("another-device").start().unwrap();
    let ids = set_aside(&other, &stage.platform.workspace_id(), DEVICE);
    sender(&other).send_message("of the other").unwrap();
    other.close();

    let client = stage.start();
    assert_eq!(
        set_aside(&client, &stage.platform.workspace_id(), DEVICE),
        ids
    );
    sender(&client).enqueue_message("new").unwrap();
    assert_eq!(client.retry_set_aside_messages(&ids).unwrap(), 2);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["of the other", "new", "old 1", "old 2"]);
    assert_eq!(stage.platform.messages_of("another-device").len(), 1);
    assert_eq!(client.status().set_aside_messages, 0);
    assert_eq!(client.retry_set_aside_messages(&ids).unwrap(), 0);
}

#[test]
fn what_is_stored_under_the_new_identity_is_sent_after_a_restart() {
    let stage = Stage::new();
    leave_unsent(&stage, &["old"]);
    let token = stage
        .platform
        .add_provisioning_token(None, Some("other-workspace"));
    let client = with_token(&stage, token.clone()).start().unwrap();
    stage.platform.accept_connections(false).unwrap();
    stage.platform.close_connections();
    eventually("it is cut off", || !client.status().is_connected);
    sender(&client).enqueue_message("new").unwrap();
    client.close();
    stage.platform.accept_connections(true).unwrap();
    let client = with_token(&stage, token).start().unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["new"]);
    assert_eq!(client.status().set_aside_messages, 1);
}

#[test]
fn another_token_for_the_same_identity_sets_nothing_aside() {
    let stage = Stage::new();
    leave_unsent(&stage, &["1", "2"]);
    let token = stage.platform.add_provisioning_token(None, None);
    let client = with_token(&stage, token).start().unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["1", "2"]);
    assert_eq!(client.status().set_aside_messages, 0);
}

#[test]
fn messages_set_aside_survive_restarts_and_can_be_dropped() {
    let stage = Stage::new();
    leave_unsent(&stage, &["1", "2", "3"]);
    let token = stage
        .platform
        .add_provisioning_token(None, Some("other-workspace"));
    with_token(&stage, token.clone()).start().unwrap().close();
    let client = with_token(&stage, token).start().unwrap();
    let ids = set_aside(&client, &stage.platform.workspace_id(), DEVICE);
    assert_eq!(ids.len(), 3);
    assert_eq!(client.drop_set_aside_messages(&ids[..1]).unwrap(), 1);
    assert_eq!(client.drop_set_aside_messages(&ids[..1]).unwrap(), 0);
    assert_eq!(
        set_aside(&client, &stage.platform.workspace_id(), DEVICE),
        ids[1..]
    );
    assert_eq!(client.drop_set_aside_messages(&ids).unwrap(), 2);
    assert_eq!(client.status().set_aside_messages, 0);
}

#[test]
fn a_message_in_flight_when_the_identity_changes_is_set_aside() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    sender(&client)
        .enqueue_messages(["in flight", "behind"])
        .unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    client.close();
    stage.platform.acknowledge(AckMode::Immediately);
    let client = with_other_workspace(&stage).start().unwrap();
    sender(&client).send_message("new").unwrap();
    assert_eq!(
        set_aside(&client, &stage.platform.workspace_id(), DEVICE).len(),
        2
    );
    assert_eq!(stage.received(), ["in flight", "new"]);
}

#[test]
fn a_technician_who_renames_the_running_device_has_its_unsent_messages_set_aside() {
    let stage = Stage::with(Platform::builder().approval(Approval::Manual));
    let operations = Seen::new();
    let (seen, shown) = (std::sync::Arc::clone(&operations), &operations);
    let builder = stage
        .device()
        .on_provisioning(move |operation| seen.push(operation.id.clone()));
    let client = std::thread::scope(|scope| {
        let starting = scope.spawn(|| builder.start().unwrap());
        stage.platform.approve(&shown.wait(|_| true), None).unwrap();
        starting.join().unwrap()
    });
    let sender = sender(&client);
    sender.send_message("before").unwrap();
    stage.platform.delete_device(DEVICE).unwrap();
    let second = {
        let first = operations.all().remove(0);
        operations.wait(|id| *id != first)
    };
    sender.enqueue_message("between").unwrap();
    assert_eq!(client.pending_messages_count(), 1);
    stage.platform.approve(&second, Some("renamed")).unwrap();
    eventually("the device is renamed", || client.device_id() == "renamed");
    sender.send_message("after").unwrap();
    assert_eq!(
        set_aside(&client, &stage.platform.workspace_id(), DEVICE).len(),
        1
    );
    assert_eq!(stage.received(), ["before", "after"]);
    assert_eq!(stage.platform.messages_of("renamed").len(), 1);
}

#[test]
fn start_returns_under_the_new_identity_although_the_platform_falters() {
    let stage = Stage::new();
    leave_unsent(&stage, &["old"]);
    stage.platform.http_status(Route::Register, 503, None, 1);
    let client = with_other_workspace(&stage).start().unwrap();
    assert_eq!(client.workspace_id(), "other-workspace");
    sender(&client).enqueue_message("new").unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["new"]);
    assert_eq!(client.status().set_aside_messages, 1);
}

#[test]
fn properties_do_not_pass_from_one_identity_to_another() {
    let stage = Stage::new();
    let client = stage.start();
    client
        .update_reported_properties(&json!({"firmware": 7}))
        .unwrap();
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({"of": "the first"}))
        .unwrap();
    eventually("both are exchanged", || {
        let desired = client.get_desired_properties().unwrap().version();
        desired == version && !client.any_pending_reported_properties_updates()
    });
    client.close();
    stage.platform.withhold_twin_answers(true);
    let as_another = || stage.device().device_id("another-device").start().unwrap();
    let client = as_another();
    assert_eq!(client.get_desired_properties_if_newer(None), None);
    client.close();
    let client = as_another();
    assert_eq!(client.get_desired_properties_if_newer(None), None);
    stage.platform.withhold_twin_answers(false);
    stage.platform.close_connections();
    assert!(client.get_desired_properties().unwrap().values().is_empty());
    // What the device reports is true of it under any name.
    let is_there = |reported: &serde_json::Value| *reported == json!({"firmware": 7});
    stage
        .platform
        .wait_for_reported("another-device", is_there, PATIENCE)
        .unwrap();
}
