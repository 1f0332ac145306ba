//! The status and the connection callback tell how the device is doing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spotflow_device::{ConnectionChange, DeviceClient, Error};
use spotflow_emulator::{AckMode, Platform, Route};

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, sender};

fn wait_connected(client: &DeviceClient) {
    eventually("the device is connected", || client.status().is_connected);
}

fn with_callback(stage: &Stage) -> (DeviceClient, Arc<Seen<ConnectionChange>>) {
    let changes = Seen::new();
    let seen = Arc::clone(&changes);
    let builder = stage
        .device()
        .on_connection_change(move |change| seen.push(change));
    (builder.start().unwrap(), changes)
}

#[test]
fn the_connection_has_an_age_that_starts_over_with_every_change() {
    let stage = Stage::with(Platform::builder().own_hub_port(true));
    stage.platform.accept_hub_connections(false).unwrap();
    let began = Instant::now();
    let client = stage.start();
    let aged = Duration::from_millis(100);
    eventually("the offline time grows", || {
        client.status().connection_age > aged
    });
    assert!(!client.status().is_connected);
    assert!(client.status().connection_age <= began.elapsed());

    let opened = Instant::now();
    stage.platform.accept_hub_connections(true).unwrap();
    wait_connected(&client);
    assert!(client.status().connection_age <= opened.elapsed());
    eventually("the connection's age grows", || {
        client.status().connection_age > aged
    });

    let cut = Instant::now();
    stage.platform.accept_hub_connections(false).unwrap();
    stage.platform.close_connections();
    eventually("the cut is noticed", || !client.status().is_connected);
    assert!(client.status().connection_age <= cut.elapsed());
}

#[test]
fn reconnects_are_counted() {
    let stage = Stage::new();
    let client = stage.start();
    wait_connected(&client);
    assert_eq!(client.status().reconnects, 0);
    for count in 1..=3 {
        stage.platform.close_connections();
        eventually("the device is back", || {
            let status = client.status();
            status.reconnects == count && status.is_connected
        });
    }
}

#[test]
fn the_last_error_says_what_went_wrong() {
    let stage = Stage::with(Platform::builder().own_hub_port(true));
    let client = stage.start();
    wait_connected(&client);
    assert!(
        client.status().last_error.is_none(),
        "{:?}",
        client.status().last_error
    );

    stage.platform.accept_hub_connections(false).unwrap();
    stage.platform.close_connections();
    eventually("the refused connection shows", || {
        matches!(client.status().last_error, Some(Error::Network { .. }))
    });
    stage.platform.refuse_connects(1, None);
    stage.platform.accept_hub_connections(true).unwrap();
    eventually("the hub's refusal shows", || {
        matches!(
            client.status().last_error,
            Some(Error::ConnectionRefused { .. })
        )
    });
    stage.platform.http_status(Route::Register, 503, None, 1);
    stage.platform.refuse_connects(5, Some(1));
    eventually("the API's refusal shows", || {
        matches!(
            client.status().last_error,
            Some(Error::Unavailable { status: 503, .. })
        )
    });
    wait_connected(&client);
}

#[test]
fn pending_messages_are_counted_with_their_bytes_and_age() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    let sender = sender(&client);
    let status = client.status();
    assert_eq!((status.pending_messages, status.pending_bytes), (0, 0));
    assert_eq!(status.oldest_pending_age, None);
    let began = Instant::now();
    sender.enqueue_message("12345").unwrap();
    sender.enqueue_message("").unwrap();
    sender.enqueue_messages(["678", "9"]).unwrap();
    let status = client.status();
    assert_eq!((status.pending_messages, status.pending_bytes), (4, 9));
    let grown = Duration::from_millis(50);
    eventually("the oldest one ages", || {
        client.status().oldest_pending_age > Some(grown)
    });
    let age = client.status().oldest_pending_age.unwrap();
    // The wall clock counts milliseconds.
    assert!(age <= began.elapsed() + Duration::from_millis(2), "{age:?}");
    client.close();

    let client = stage.start();
    let status = client.status();
    assert_eq!(
        (status.pending_messages, status.pending_bytes),
        (4, 9),
        "right from the start"
    );
    assert!(status.oldest_pending_age >= Some(grown));
    stage.platform.acknowledge(AckMode::Immediately);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    let status = client.status();
    assert_eq!((status.pending_messages, status.pending_bytes), (0, 0));
    assert_eq!(status.oldest_pending_age, None);
}

#[test]
fn the_connection_callback_is_told_of_coming_and_going_with_the_reason() {
    let stage = Stage::new();
    let (client, changes) = with_callback(&stage);
    let came = changes.wait(|change| change.is_connected);
    assert!(came.error.is_none());
    stage.platform.accept_connections(false).unwrap();
    stage.platform.close_connections();
    let went = changes.wait(|change| !change.is_connected);
    assert!(
        matches!(went.error, Some(Error::Network { .. } | Error::Tls { .. })),
        "{:?}",
        went.error
    );
    assert_eq!(changes.all().len(), 2, "failed attempts are no changes");
    stage.platform.accept_connections(true).unwrap();
    eventually("it comes again", || changes.all().len() == 3);
    assert!(changes.all()[2].is_connected);
    sender(&client).send_message("works").unwrap();
}

#[test]
fn a_panic_in_the_connection_callback_is_survived() {
    let stage = Stage::new();
    let changes = Seen::new();
    let seen = Arc::clone(&changes);
    let callback = move |change: ConnectionChange| {
        seen.push(change.is_connected);
        panic!("a test's panic");
    };
    let client = stage
        .device()
        .on_connection_change(callback)
        .start()
        .unwrap();
    changes.wait(|connected| *connected);
    stage.platform.accept_connections(false).unwrap();
    stage.platform.close_connections();
    changes.wait(|connected| !*connected);
    stage.platform.accept_connections(true).unwrap();
    stage
        .platform
        .wait_for_connected(DEVICE, true, PATIENCE)
        .unwrap();
    sender(&client).send_message("works").unwrap();
}

#[test]
fn a_planned_change_of_the_login_is_no_error() {
    let stage = Stage::with(Platform::builder().sas_lifetime(Duration::from_secs(4)));
    let (client, changes) = with_callback(&stage);
    eventually("the login was renewed", || client.status().reconnects >= 1);
    assert!(
        client.status().last_error.is_none(),
        "{:?}",
        client.status().last_error
    );
    let errors = changes.all().into_iter().filter_map(|change| change.error);
    assert_eq!(errors.count(), 0);
}
