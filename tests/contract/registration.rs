//! Registration: an approval once, then credentials that are kept fresh in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, DeviceClientBuilder, Error, ProvisioningOperation};
use spotflow_emulator::{Approval, OperationState, Platform, Route};

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, sender};

/// A Platform on which a technician decides.
fn manual() -> Stage {
    Stage::with(Platform::builder().approval(Approval::Manual))
}

/// The test's device, which shows its operations to the test.
fn shown(stage: &Stage) -> (DeviceClientBuilder, Arc<Seen<ProvisioningOperation>>) {
    let operations = Seen::new();
    let seen = Arc::clone(&operations);
    let builder = stage
        .device()
        .on_provisioning(move |operation| seen.push(operation.clone()));
    (builder, operations)
}

/// Starts the device while `technician` is at work.
fn start_with(
    builder: DeviceClientBuilder,
    technician: impl FnOnce(),
) -> Result<DeviceClient, Error> {
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| builder.start());
        technician();
        starting.join().expect("start does not panic")
    })
}

/// Starts the device and approves what it shows.
fn approved(stage: &Stage, device_id: Option<&str>) -> DeviceClient {
    let (builder, operations) = shown(stage);
    let technician = || {
        let operation = operations.wait(|_| true);
        stage.platform.approve(&operation.id, device_id).unwrap();
    };
    start_with(builder, technician).expect("the device starts")
}

#[test]
fn the_first_start_shows_what_a_technician_needs_and_ends_with_the_approval() {
    let stage = manual();
    let (builder, operations) = shown(&stage);
    let technician = || {
        let shown = operations.wait(|_| true);
        let operation = stage.platform.wait_for_operation(PATIENCE).unwrap();
        assert_eq!(shown.id, operation.id);
        assert_eq!(shown.verification_code, operation.verification_code);
        assert_eq!(shown.expiration_time, operation.expiration_time);
        assert_eq!(operation.requested_device_id.as_deref(), Some(DEVICE));
        let text = shown.to_string();
        assert!(text.contains(&shown.verification_code), "{text}");
        // The device has no credentials before somebody lets it in.
        assert_eq!(stage.platform.http_request_count(Route::Register), 0);
        stage
            .platform
            .approve(&shown.verification_code, None)
            .unwrap();
    };
    let client = start_with(builder, technician).unwrap();
    assert_eq!(client.device_id(), DEVICE);
    assert_eq!(client.workspace_id(), stage.platform.workspace_id());
    assert_eq!(operations.all().len(), 1);
}

#[test]
fn the_technician_decides_the_device_id() {
    let stage = manual();
    let client = approved(&stage, Some("decided-here"));
    assert_eq!(client.device_id(), "decided-here");
    sender(&client).send_message("mine").unwrap();
    assert_eq!(stage.platform.messages_of("decided-here").len(), 1);
}

#[test]
fn without_a_device_id_the_provisioning_token_decides() {
    let stage = Stage::new();
    let token = stage
        .platform
        .add_provisioning_token(Some("of-the-token"), None);
    let client = DeviceClient::builder(token, stage.database())
        .instance(stage.platform.instance())
        .ca_file(stage.platform.ca_file())
        .on_provisioning(|_| {})
        .start()
        .unwrap();
    assert_eq!(client.device_id(), "of-the-token");
}

#[test]
fn an_expired_operation_is_followed_by_another() {
    let stage = manual();
    let (builder, operations) = shown(&stage);
    let technician = || {
        let first = operations.wait(|_| true);
        stage.platform.expire_operation(&first.id).unwrap();
        let second = operations.wait(|operation| operation.id != first.id);
        assert_ne!(second.verification_code, first.verification_code);
        stage.platform.approve(&second.id, None).unwrap();
    };
    start_with(builder, technician).unwrap();
    let states: Vec<_> = stage.platform.operations();
    assert_eq!(states[0].state, OperationState::Expired);
    assert_eq!(operations.all().len(), 2);
}

#[test]
fn a_refused_operation_ends_the_start() {
    let stage = manual();
    let (builder, operations) = shown(&stage);
    let technician = || {
        let operation = operations.wait(|_| true);
        stage.platform.refuse(&operation.id).unwrap();
    };
    let error = start_with(builder, technician).unwrap_err();
    assert!(matches!(error, Error::ProvisioningRefused), "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(operations.all().len(), 1);
    // The file is free again, and another approval is possible.
    assert_eq!(approved(&stage, None).device_id(), DEVICE);
}

#[test]
fn a_bad_provisioning_token_is_an_error_at_once() {
    let stage = Stage::new();
    stage
        .platform
        .revoke_provisioning_token(&stage.platform.provisioning_token());
    let error = stage.device().start().unwrap_err();
    assert!(
        matches!(error, Error::InvalidToken { token, .. } if token == "Provisioning Token"),
        "{error:?}"
    );
    assert_eq!(stage.platform.http_request_count(Route::Init), 1);
}

#[test]
fn a_provisioning_token_revoked_during_the_approval_is_an_error_at_once() {
    let stage = manual();
    let (builder, operations) = shown(&stage);
    let technician = || {
        operations.wait(|_| true);
        stage
            .platform
            .revoke_provisioning_token(&stage.platform.provisioning_token());
    };
    let error = start_with(builder, technician).unwrap_err();
    assert!(matches!(error, Error::InvalidToken { .. }), "{error:?}");
}

#[test]
fn what_the_platform_calls_a_bad_request_is_an_error_at_once() {
    let stage = Stage::new();
    stage.platform.http_status(Route::Init, 400, None, 1);
    let error = stage.device().start().unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 400, .. }),
        "{error:?}"
    );
    assert_eq!(stage.platform.http_request_count(Route::Init), 1);
}

#[test]
fn a_platform_that_cannot_serve_now_is_asked_again() {
    std::thread::scope(|scope| {
        for route in [Route::Init, Route::Register] {
            scope.spawn(move || {
                let stage = Stage::new();
                for status in [423, 429, 503] {
                    stage.platform.http_status(route, status, None, 1);
                }
                let client = stage.start();
                assert_eq!(client.device_id(), DEVICE);
                assert_eq!(stage.platform.http_request_count(route), 4, "{route:?}");
            });
        }
    });
}

#[test]
fn an_outage_during_the_approval_does_not_cost_the_operation() {
    std::thread::scope(|scope| {
        for status in [423, 429, 503] {
            scope.spawn(move || {
                let stage = Stage::new();
                stage.platform.http_status(Route::Complete, status, None, 1);
                let client = stage.start();
                assert_eq!(client.device_id(), DEVICE);
                assert_eq!(stage.platform.operations().len(), 1, "{status}");
                assert_eq!(stage.platform.http_request_count(Route::Complete), 2);
            });
        }
    });
}

#[test]
fn answers_that_make_no_sense_are_asked_for_again() {
    let oversized = format!(r#"{{"x": "{}"}}"#, "y".repeat(100_000));
    let bodies = [
        "[1, 2]",
        r#"{"provisioningOperationId": "a", "verif"#,
        &oversized,
    ];
    std::thread::scope(|scope| {
        for (route, bodies) in [
            (Route::Init, &bodies[..]),
            (Route::Register, &bodies[..]),
            (Route::Complete, &bodies[1..2]),
        ] {
            scope.spawn(move || {
                let stage = Stage::new();
                for body in bodies {
                    stage.platform.http_body(route, *body, 1);
                }
                let client = stage.start();
                assert_eq!(client.device_id(), DEVICE);
                let requests = stage.platform.http_request_count(route);
                assert_eq!(requests, bodies.len() + 1, "{route:?}");
            });
        }
    });
}

#[test]
fn the_second_start_with_the_same_file_needs_no_approval() {
    let stage = manual();
    let first = approved(&stage, Some("decided-here"));
    first.close();
    let (builder, operations) = shown(&stage);
    let second = builder.start().unwrap();
    assert_eq!(second.device_id(), "decided-here");
    assert!(operations.all().is_empty());
    assert_eq!(stage.platform.operations().len(), 1);
}

#[test]
fn another_provisioning_token_or_device_id_needs_another_approval() {
    let stage = Stage::new();
    stage.start().close();
    let other_token = stage.platform.add_provisioning_token(None, None);
    let other = DeviceClient::builder(other_token, stage.database())
        .instance(stage.platform.instance())
        .ca_file(stage.platform.ca_file())
        .device_id(DEVICE)
        .on_provisioning(|_| {});
    other.start().unwrap().close();
    assert_eq!(stage.platform.operations().len(), 2);
    let other_id = stage.device().device_id("another-device");
    assert_eq!(other_id.start().unwrap().device_id(), "another-device");
    assert_eq!(stage.platform.operations().len(), 3);
}

#[test]
fn a_stored_token_that_the_platform_refuses_leads_to_another_approval() {
    let stage = manual();
    approved(&stage, None).close();
    stage.platform.revoke_registration_tokens(DEVICE).unwrap();
    let client = approved(&stage, None);
    assert_eq!(client.device_id(), DEVICE);
    assert_eq!(stage.platform.operations().len(), 2);
    client.close();
    // The new token replaced the refused one.
    stage.start();
    assert_eq!(stage.platform.operations().len(), 2);
}

#[test]
fn start_does_not_wait_for_the_hub() {
    let stage = Stage::with(Platform::builder().own_hub_port(true));
    stage.platform.accept_hub_connections(false).unwrap();
    let client = stage.start();
    assert!(!client.status().is_connected);
    sender(&client).enqueue_message("later").unwrap();
    stage.platform.accept_hub_connections(true).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["later"]);
}

#[test]
fn an_interrupt_ends_the_wait_for_an_approval_and_leaves_a_usable_file() {
    let stage = manual();
    let (builder, operations) = shown(&stage);
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let builder = builder.interrupt_check(move || flag.load(Ordering::Relaxed));
    let signal = || {
        operations.wait(|_| true);
        interrupted.store(true, Ordering::Relaxed);
    };
    let error = start_with(builder, signal).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    assert_eq!(approved(&stage, None).device_id(), DEVICE);
}

#[test]
fn a_start_that_nobody_approves_ends_at_its_time_limit_and_leaves_a_usable_file() {
    let stage = manual();
    let (builder, operations) = shown(&stage);
    let error = builder
        .start_timeout(Duration::from_secs(3))
        .start()
        .unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error:?}");
    operations.wait(|_| true);
    assert_eq!(approved(&stage, None).device_id(), DEVICE);
}

#[test]
fn a_registered_device_goes_on_offline_at_the_time_limit_of_its_start() {
    let stage = Stage::new();
    stage.start();
    stage.platform.http_hang(Route::Any, true);
    let client = stage
        .device()
        .start_timeout(Duration::from_millis(500))
        .start()
        .unwrap();
    sender(&client).enqueue_message("later").unwrap();
    assert_eq!(client.pending_messages_count(), 1);
}

#[test]
fn an_interrupt_ends_the_first_start_although_the_platform_never_answers() {
    let stage = Stage::new();
    stage.platform.http_hang(Route::Any, true);
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let builder = stage
        .device()
        .interrupt_check(move || flag.load(Ordering::Relaxed));
    let began = Instant::now();
    let signal = || {
        let asked = stage.platform.wait_for_request(Route::Init, 1, PATIENCE);
        interrupted.store(true, Ordering::Relaxed);
        asked.unwrap();
    };
    let error = start_with(builder, signal).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(8));
    stage.platform.http_hang(Route::Any, false);
    stage.start();
}

#[test]
fn a_platform_that_never_answers_delays_a_stored_registration_by_ten_seconds_at_most() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.http_hang(Route::Any, true);
    let began = Instant::now();
    let client = stage.start();
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(client.device_id(), DEVICE);
    sender(&client).enqueue_message("offline").unwrap();
    // The attempt is under way, or follows: close does not wait for its answer.
    let registrations = stage.platform.http_request_count(Route::Register);
    eventually("another attempt", || {
        stage.platform.http_request_count(Route::Register) > registrations
    });
    let began = Instant::now();
    client.close();
    assert!(began.elapsed() < Duration::from_secs(8));
    stage.platform.http_hang(Route::Any, false);
    let client = stage.start();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["offline"]);
}
