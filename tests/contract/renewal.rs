//! Credentials are renewed in the background, and the flow of Messages does not notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Error, ProvisioningOperation};
use spotflow_emulator::{Approval, Builder, Platform, Route};

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, sender};

/// A device that was approved once on a Platform where a technician decides; what it shows from now
/// on is in the list.
fn approved(builder: Builder) -> (Stage, DeviceClient, Arc<Seen<ProvisioningOperation>>) {
    let stage = Stage::with(builder.approval(Approval::Manual));
    let operations = Seen::new();
    let (seen, shown) = (Arc::clone(&operations), Seen::new());
    let first = Arc::clone(&shown);
    let builder = stage.device().on_provisioning(move |operation| {
        first.push(operation.clone());
        if first.all().len() > 1 {
            seen.push(operation.clone());
        }
    });
    let client = std::thread::scope(|scope| {
        let starting = scope.spawn(|| builder.start().unwrap());
        let operation = shown.wait(|_| true);
        stage.platform.approve(&operation.id, None).unwrap();
        starting.join().unwrap()
    });
    (stage, client, operations)
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

#[test]
fn a_sas_is_renewed_ahead_without_loss_or_repeat() {
    let lifetime = Duration::from_secs(4);
    let stage = Stage::with(Platform::builder().sas_lifetime(lifetime));
    let client = stage.start();
    let sender = sender(&client);
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    while stage.platform.connection_count() < 4 {
        assert!(Instant::now() < deadline, "the SAS is not renewed");
        sender.send_message(sent.to_string()).unwrap();
        sent += 1;
    }
    assert_eq!(stage.received(), numbers(sent));
    let connections = stage.platform.connections();
    for connection in &connections {
        assert_eq!(connection.code, 0, "{connection:?}");
        let end = connection.end.as_deref().unwrap_or_default();
        assert!(!end.contains("SAS"), "{connection:?}");
    }
    let registrations = stage.platform.http_request_count(Route::Register);
    assert!(registrations >= 4, "each had a SAS of its own");
    assert_eq!(stage.platform.operations().len(), 1);
}

#[test]
fn a_device_whose_sas_expired_connects_with_a_fresh_one() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    sender.send_message("before").unwrap();
    stage.platform.expire_sas(DEVICE).unwrap();
    sender.send_message("after").unwrap();
    assert_eq!(stage.received(), ["before", "after"]);
    assert_eq!(stage.platform.http_request_count(Route::Register), 2);
    assert_eq!(stage.platform.operations().len(), 1);
}

#[test]
fn a_hub_that_refuses_the_login_gets_another() {
    for code in [3, 4, 5] {
        let stage = Stage::new();
        stage.platform.refuse_connects(code, Some(1));
        let client = stage.start();
        sender(&client).send_message("in").unwrap();
        let registrations = stage.platform.http_request_count(Route::Register);
        assert_eq!(registrations, 2, "code {code}");
        let codes: Vec<u8> = stage
            .platform
            .connections()
            .iter()
            .map(|connection| connection.code)
            .collect();
        assert_eq!(codes, [code, 0]);
    }
}

#[test]
fn a_deleted_device_is_provisioned_again_and_loses_no_message() {
    let (stage, client, operations) = approved(Platform::builder());
    let sender = sender(&client);
    sender.send_message("0").unwrap();
    stage.platform.delete_device(DEVICE).unwrap();
    let operation = operations.wait(|_| true);
    // Nothing of this waits for the approval.
    for text in &numbers(20)[1..] {
        sender.enqueue_message(text.as_str()).unwrap();
    }
    assert_eq!(client.pending_messages_count(), 19);
    stage.platform.approve(&operation.id, None).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), numbers(20));
    assert_eq!(client.status().set_aside_messages, 0);
    assert_eq!(operations.all().len(), 1);
}

#[test]
fn a_revoked_registration_token_is_noticed_at_the_next_renewal() {
    let lifetime = Duration::from_secs(3);
    let (stage, client, operations) = approved(Platform::builder().sas_lifetime(lifetime));
    let sender = sender(&client);
    sender.send_message("0").unwrap();
    stage.platform.revoke_registration_tokens(DEVICE).unwrap();
    let operation = operations.wait(|_| true);
    for text in &numbers(10)[1..] {
        sender.enqueue_message(text.as_str()).unwrap();
    }
    stage.platform.approve(&operation.id, None).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    let distinct = stage.platform.distinct_messages();
    let texts: Vec<_> = distinct
        .iter()
        .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
        .collect();
    assert_eq!(texts, numbers(10));
}

#[test]
fn a_refusal_in_the_background_keeps_what_is_stored() {
    let (stage, client, operations) = approved(Platform::builder());
    let sender = sender(&client);
    sender.send_message("0").unwrap();
    stage.platform.delete_device(DEVICE).unwrap();
    let operation = operations.wait(|_| true);
    stage.platform.refuse(&operation.id).unwrap();
    eventually("the refusal shows in the status", || {
        matches!(client.status().last_error, Some(Error::ProvisioningRefused))
    });
    sender.enqueue_message("1").unwrap();
    assert_eq!(client.pending_messages_count(), 1);
    assert!(!client.status().is_connected);
    client.close();

    let (shown, again) = (Seen::new(), Seen::new());
    let (seen, builder) = (Arc::clone(&shown), stage.device());
    let builder = builder.on_provisioning(move |operation| seen.push(operation.id.clone()));
    std::thread::scope(|scope| {
        scope.spawn(|| again.push(builder.start().unwrap()));
        let id = shown.wait(|_| true);
        stage.platform.approve(&id, None).unwrap();
    });
    let client = again.wait(|_| true);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["0", "1"]);
}

#[test]
fn close_does_not_wait_for_an_approval() {
    let (stage, client, operations) = approved(Platform::builder());
    stage.platform.delete_device(DEVICE).unwrap();
    operations.wait(|_| true);
    let began = Instant::now();
    client.close();
    assert!(began.elapsed() < Duration::from_secs(8));
    drop(stage);
}

#[test]
fn a_registration_token_is_refreshed_ahead_and_the_next_start_uses_the_new_one() {
    let lifetime = Some(Duration::from_secs(6));
    let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
    let client = stage.start();
    sender(&client).send_message("before").unwrap();
    // The third request shows that the answer to the second is stored. By then the Platform has revoked
    // the first token, as the predecessor of one that was refreshed.
    stage
        .platform
        .wait_for_request(Route::Refresh, 3, PATIENCE)
        .unwrap();
    sender(&client).send_message("after").unwrap();
    assert_eq!(stage.platform.connection_count(), 1, "the link stays");
    client.close();
    stage.start();
    assert_eq!(stage.platform.operations().len(), 1);
}

#[test]
fn a_refresh_that_the_platform_refuses_leaves_all_as_it_is() {
    std::thread::scope(|scope| {
        for status in [401, 403, 410, 412] {
            scope.spawn(move || {
                let lifetime = Some(Duration::from_secs(3));
                let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
                stage.platform.http_status(Route::Refresh, status, None, 1);
                let client = stage.start();
                eventually("the refusal shows in the status", || {
                    match client.status().last_error {
                        Some(Error::Refused { status: told, .. }) => told == status,
                        Some(Error::InvalidToken { token, .. }) => {
                            token == "Provisioning Token" && status == 401
                        }
                        _ => false,
                    }
                });
                sender(&client).send_message("goes on").unwrap();
                assert_eq!(stage.platform.connection_count(), 1);
                assert_eq!(stage.platform.http_request_count(Route::Refresh), 1);
            });
        }
    });
}

#[test]
fn a_refresh_that_the_platform_cannot_serve_now_is_tried_again() {
    let lifetime = Some(Duration::from_secs(10));
    let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
    for status in [429, 503] {
        stage.platform.http_status(Route::Refresh, status, None, 1);
    }
    let client = stage.start();
    sender(&client).send_message("flows").unwrap();
    eventually("a refresh succeeds", || {
        let requests = stage.platform.http_requests();
        requests
            .iter()
            .any(|request| request.route == Route::Refresh && request.status == Some(200))
    });
    assert_eq!(stage.platform.connection_count(), 1);
}
