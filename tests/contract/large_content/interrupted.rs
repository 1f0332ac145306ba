//! An upload that fails, is cut or restarted goes on; it is not made twice.

use std::net::TcpListener;

use spotflow_device::Error;
use spotflow_emulator::{AckMode, Platform, Route};

use super::{assert_arrived, noise};
use crate::support::{LogCapture, PATIENCE, Stage, eventually, in_a_process_of_its_own, sender};

/// The seconds between the requests of a kind.
fn gaps(platform: &Platform, route: Route) -> Vec<f64> {
    let requests = platform.http_requests();
    let times: Vec<_> = requests
        .iter()
        .filter(|request| request.route == route)
        .map(|request| request.at)
        .collect();
    times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect()
}

/// What goes wrong in one step of the upload.
struct Mishap {
    route: Route,
    status: u16,
    /// Whether the hub can be told that the upload failed.
    told: bool,
}

#[test]
fn an_upload_that_fails_at_any_step_is_tried_again() {
    let mishaps = [
        (Route::FileUpload, 500, false),
        (Route::FileUpload, 401, false),
        (Route::FileUpload, 403, false),
        (Route::BlobPut, 503, true),
        (Route::BlobPut, 403, true),
        (Route::FileNotification, 401, false),
    ];
    std::thread::scope(|scope| {
        for (route, status, told) in mishaps {
            scope.spawn(move || {
                survives(&Mishap {
                    route,
                    status,
                    told,
                })
            });
        }
    });
}

fn survives(mishap: &Mishap) {
    let Mishap {
        route,
        status,
        told,
    } = *mishap;
    let stage = Stage::new();
    stage.platform.http_status(route, status, None, 1);
    let client = stage.start();
    let sender = sender(&client);
    let large = noise(300_000, 1);
    sender.enqueue_message(large.clone()).unwrap();
    sender.enqueue_message("behind").unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(&stage.platform, &[&large, b"behind"]);
    let requests = stage.platform.http_requests();
    assert!(
        requests
            .iter()
            .any(|request| request.route == route && request.status == Some(status)),
        "{route:?} {status} happened"
    );
    let uploads = stage.platform.uploads();
    assert_eq!(
        uploads.last().and_then(|upload| upload.success),
        Some(true),
        "{route:?} {status}"
    );
    let failed = uploads
        .iter()
        .filter(|upload| upload.success == Some(false))
        .count();
    assert_eq!(
        failed,
        usize::from(told),
        "{route:?} {status}: the hub is told of the failure"
    );
    if matches!(status, 401 | 403) && route != Route::BlobPut {
        assert!(
            stage.platform.http_request_count(Route::Register) > 1,
            "{route:?}: fresh SAS"
        );
    }
}

#[test]
fn a_failed_notification_does_not_upload_the_content_again() {
    let stage = Stage::new();
    stage
        .platform
        .http_status(Route::FileNotification, 500, None, 1);
    let client = stage.start();
    let large = noise(300_000, 1);
    sender(&client).send_message(large.clone()).unwrap();
    assert_arrived(&stage.platform, &[&large]);
    assert_eq!(stage.platform.http_request_count(Route::BlobPut), 1);
    assert_eq!(
        stage.platform.http_request_count(Route::FileNotification),
        2
    );
}

#[test]
fn a_hub_that_does_not_answer_is_asked_again() {
    let stage = Stage::new();
    stage.platform.http_hang(Route::FileUpload, true);
    let client = stage.start();
    let large = noise(300_000, 1);
    sender(&client).enqueue_message(large.clone()).unwrap();
    stage
        .platform
        .wait_for_request(Route::FileUpload, 1, PATIENCE)
        .unwrap();
    // A control call has ten seconds.
    stage
        .platform
        .wait_for_request(Route::FileUpload, 2, PATIENCE)
        .unwrap();
    stage.platform.http_hang(Route::FileUpload, false);
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(&stage.platform, &[&large]);
}

#[test]
fn an_upload_that_is_cut_is_tried_again() {
    let stage = Stage::new();
    let storage = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = serde_json::json!({
        "correlationId": "of-the-cut-upload",
        "hostName": storage.local_addr().unwrap().to_string(),
        "containerName": "container",
        "blobName": "blob",
        "sasToken": "?sig=x",
    });
    stage
        .platform
        .http_body(Route::FileUpload, place.to_string(), 1);
    let client = stage.start();
    let large = noise(300_000, 1);
    sender(&client).enqueue_message(large.clone()).unwrap();
    drop(storage.accept().unwrap());
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(&stage.platform, &[&large]);
    assert_eq!(
        stage.platform.http_request_count(Route::FileNotification),
        3,
        "failed, told twice as the hub knows of no such upload, and done"
    );
    assert!(matches!(
        client.status().last_error,
        Some(Error::Network { .. } | Error::Tls { .. })
    ));
}

#[test]
fn failing_uploads_back_off() {
    let stage = Stage::new();
    stage.platform.http_status(Route::BlobPut, 500, None, 3);
    let client = stage.start();
    let large = noise(300_000, 1);
    sender(&client).send_message(large.clone()).unwrap();
    assert_arrived(&stage.platform, &[&large]);
    let gaps = gaps(&stage.platform, Route::BlobPut);
    assert_eq!(gaps.len(), 3);
    for (gap, at_least) in gaps.iter().zip([0.5, 1.0, 2.0]) {
        assert!(*gap >= at_least, "{gaps:?}");
    }
}

#[test]
fn an_upload_goes_on_after_a_restart_in_its_middle() {
    let stage = Stage::new();
    stage.platform.http_hang(Route::BlobPut, true);
    let large = noise(300_000, 1);
    let client = stage.start();
    let sender_before = sender(&client);
    sender_before.enqueue_message("before").unwrap();
    sender_before.enqueue_message(large.clone()).unwrap();
    sender_before.enqueue_message("behind").unwrap();
    stage
        .platform
        .wait_for_request(Route::BlobPut, 1, PATIENCE)
        .unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    eventually("the one before is acknowledged", || {
        client.pending_messages_count() == 2
    });
    client.close();

    stage.platform.http_hang(Route::BlobPut, false);
    let client = stage.start();
    assert_eq!(client.pending_messages_count(), 2);
    client.wait_enqueued_messages_sent().unwrap();
    assert_arrived(&stage.platform, &[b"before", &large, b"behind"]);
}

#[test]
fn uploaded_content_is_not_uploaded_again_after_a_restart() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let large = noise(300_000, 1);
    let client = stage.start();
    sender(&client).enqueue_message(large.clone()).unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    client.close();

    stage.platform.acknowledge(AckMode::Immediately);
    let client = stage.start();
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.platform.uploads().len(), 1);
    assert_arrived(&stage.platform, &[&large, &large]);
    assert!(
        stage.platform.messages()[1].repeat,
        "the same link, so the Platform drops it"
    );
}

#[test]
fn the_log_warns_of_a_failing_upload_once_per_reason() {
    in_a_process_of_its_own(
        "large_content::interrupted::the_log_warns_of_a_failing_upload_once_per_reason",
        || {
            let log = LogCapture::install();
            let stage = Stage::new();
            // Not the upload itself: an answer before its end may be lost with the connection.
            stage.platform.http_status(Route::FileUpload, 500, None, 2);
            stage.platform.http_status(Route::FileUpload, 503, None, 1);
            let client = stage.start();
            sender(&client).send_message(noise(300_000, 1)).unwrap();
            let warnings: Vec<_> = log
                .lines()
                .into_iter()
                .filter(|line| line.level == log::Level::Warn && line.text.contains("upload"))
                .map(|line| line.text)
                .collect();
            assert_eq!(warnings.len(), 2, "{warnings:?}");
            assert!(
                warnings[0].contains("500") && warnings[1].contains("503"),
                "{warnings:?}"
            );
        },
    );
}
