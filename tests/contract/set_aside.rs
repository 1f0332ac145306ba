//! One bad Message does not stop the rest, and nobody is told that it was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use spotflow_device::{DeviceClient, Error};
use spotflow_emulator::{AckMode, Approval, Platform, Route};

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, sender};

#[test]
fn content_that_is_refused_for_good_is_set_aside_and_the_rest_goes_on() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    stage.platform.http_status(Route::FileUpload, 400, None, 5);
    let large = vec![b'x'; 300_000];
    let refused = std::thread::scope(|scope| {
        let sending = scope.spawn(|| sender.send_message(large.clone()));
        eventually("it is stored", || client.pending_messages_count() == 1);
        sender.send_message("behind").unwrap();
        sending.join().unwrap()
    });
    assert!(matches!(refused, Err(Error::SetAside)), "{refused:?}");
    assert_eq!(stage.received(), ["behind"]);
    let messages = client.set_aside_messages().unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].payload_bytes, 300_000);
    assert!(messages[0].reason.contains("400"), "{}", messages[0].reason);
    let status = client.status();
    assert_eq!((status.set_aside_messages, status.pending_messages), (1, 0));

    assert_eq!(
        client.retry_set_aside_messages(&[messages[0].id]).unwrap(),
        1
    );
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    let last = stage.platform.messages().pop().unwrap();
    assert_eq!(last.payload, large);
}

const PLACES: usize = 10;

#[test]
fn a_hub_without_a_free_place_for_uploads_is_asked_again_without_new_credentials() {
    let stage = Stage::new();
    // Ten uploads that nobody will end: their databases are gone.
    stage.platform.http_hang(Route::BlobPut, true);
    for place in 1..=PLACES {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("device.db");
        let client = stage.device_on(&database).start().unwrap();
        sender(&client)
            .enqueue_message(vec![b'x'; 300_000])
            .unwrap();
        stage
            .platform
            .wait_for_request(Route::BlobPut, place, PATIENCE)
            .unwrap();
        client.close();
    }
    let client = stage.start();
    stage
        .platform
        .wait_for_connected(DEVICE, true, PATIENCE)
        .unwrap();
    let registrations = stage.platform.http_request_count(Route::Register);
    sender(&client)
        .enqueue_message(vec![b'x'; 300_000])
        .unwrap();
    stage
        .platform
        .wait_for_request(Route::FileUpload, PLACES + 2, PATIENCE)
        .unwrap();
    assert_eq!(stage.platform.uploads().len(), PLACES);
    assert_eq!(
        stage.platform.http_request_count(Route::Register),
        registrations
    );
    assert_eq!(client.status().set_aside_messages, 0);
}

#[test]
fn who_waits_for_a_message_of_the_identity_before_is_told_that_it_is_not_sent() {
    let stage = Stage::with(Platform::builder().approval(Approval::Manual));
    let operations = Seen::new();
    let shown = Arc::clone(&operations);
    let builder = stage
        .device()
        .on_provisioning(move |operation| shown.push(operation.id.clone()));
    let client = std::thread::scope(|scope| {
        let starting = scope.spawn(|| builder.start().unwrap());
        stage
            .platform
            .approve(&operations.wait(|_| true), None)
            .unwrap();
        starting.join().unwrap()
    });
    let first = operations.all().remove(0);
    stage.platform.acknowledge(AckMode::Withhold);
    stage.platform.delete_device(DEVICE).unwrap();
    let second = operations.wait(|id| *id != first);
    let waited = std::thread::scope(|scope| {
        let sending = scope.spawn(|| sender(&client).send_message("old"));
        eventually("it is stored", || client.pending_messages_count() == 1);
        stage.platform.approve(&second, Some("renamed")).unwrap();
        sending.join().unwrap()
    });
    assert!(matches!(waited, Err(Error::SetAside)), "{waited:?}");
}

/// Interrupts a wait at the `n`th look.
fn interrupt_at(n: usize) -> impl Fn() -> bool + Send + Sync + 'static {
    let looks = AtomicUsize::new(0);
    move || looks.fetch_add(1, Ordering::Relaxed) >= n
}

#[test]
fn an_approval_whose_registration_was_cut_short_does_not_start_offline_as_the_device_before() {
    let stage = Stage::new();
    stage.start().close();
    let token = stage
        .platform
        .add_provisioning_token(None, Some("other-workspace"));
    let device = || {
        DeviceClient::builder(token.clone(), stage.database())
            .instance(stage.platform.instance())
            .ca_file(stage.platform.ca_file())
            .device_id(DEVICE)
            .on_provisioning(|_| {})
    };
    let registrations = stage.platform.http_request_count(Route::Register);
    stage
        .platform
        .http_status(Route::Register, 503, None, u64::MAX);
    std::thread::scope(|scope| {
        let requested = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requested);
        let check = move || seen.load(Ordering::Relaxed) > 0;
        let starting = scope.spawn(|| device().interrupt_check(check).start());
        stage
            .platform
            .wait_for_request(Route::Register, registrations + 1, PATIENCE)
            .unwrap();
        requested.store(1, Ordering::Relaxed);
        assert!(matches!(starting.join().unwrap(), Err(Error::Interrupted)));
    });
    stage.platform.accept_connections(false).unwrap();
    let offline = device().interrupt_check(interrupt_at(10)).start();
    assert!(matches!(offline, Err(Error::Interrupted)), "{offline:?}");

    stage.platform.clear_http_faults();
    stage.platform.accept_connections(true).unwrap();
    assert_eq!(device().start().unwrap().workspace_id(), "other-workspace");
}

#[test]
fn a_second_close_returns_only_when_the_file_is_free() {
    let stage = Stage::new();
    for _ in 0..10 {
        let client = stage.start();
        std::thread::scope(|scope| {
            scope.spawn(|| client.close());
            scope.spawn(|| client.close());
        });
        client.close();
        stage.start().close();
    }
    let client = stage.start();
    let (first, second) = (client.clone(), client);
    std::thread::scope(|scope| {
        scope.spawn(move || first.close());
        scope
            .spawn(|| {
                second.close();
                stage.start().close();
            })
            .join()
            .unwrap();
    });
}
