//! Large content does not go up: refused, cut off, sent astray or left waiting, at each of the three
//! steps of its upload.

mod blocks;
mod waits;

use std::time::{Duration, Instant};

use serde_json::json;
use spotflow_device::{DeviceClient, Error, Priority, SenderOptions};
use spotflow_emulator::{Platform, RawAnswer, Route};

use crate::answers::{broken_http, broken_json, page};
use crate::cases::each;
use crate::support::{DEVICE, PATIENCE, Stage, eventually, in_a_process_of_its_own, sender};

const STEPS: [Route; 3] = [Route::FileUpload, Route::BlobPut, Route::FileNotification];
/// More than sockets and TLS hold on their way.
const MUCH: usize = 16 << 20;

fn last_error(client: &DeviceClient) -> Option<Error> {
    client.status().last_error
}

fn large() -> Vec<u8> {
    (0..300_000_u32)
        .map(|number| (number % 251) as u8)
        .collect()
}

/// Large content and a small Message behind it are stored.
fn enqueue(client: &DeviceClient) {
    let sender = sender(client);
    sender.enqueue_message(large()).unwrap();
    sender.enqueue_message("behind").unwrap();
}

/// Both arrive, once and in order.
fn assert_arrive(stage: &Stage, client: &DeviceClient, what: &str) {
    let waited = client.wait_enqueued_messages_sent_timeout(2 * PATIENCE);
    waited.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let messages = stage.platform.messages();
    let arrived: Vec<_> = messages
        .iter()
        .map(|message| message.payload.as_slice())
        .collect();
    assert!(arrived == [large().as_slice(), b"behind"], "{what}");
    assert_eq!(client.status().set_aside_messages, 0, "{what}");
}

/// The pauses between the requests of a step.
fn pauses(platform: &Platform, route: Route) -> Vec<Duration> {
    let requests = platform.http_requests();
    let times: Vec<Instant> = requests
        .iter()
        .filter(|request| request.route == route)
        .map(|request| request.at)
        .collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn assert_backs_off(stage: &Stage, route: Route, what: &str) {
    let pauses = pauses(&stage.platform, route);
    assert!(pauses.len() >= 2, "{what}: three attempts");
    let least = [Duration::from_millis(500), Duration::from_secs(1)];
    let enough = pauses
        .iter()
        .zip(least)
        .all(|(pause, least)| *pause >= least);
    assert!(enough, "{what}: {pauses:?}");
}

/// The hub is told of every place that it gave out and that came to nothing.
fn assert_told(stage: &Stage, came_to_nothing: usize, what: &str) {
    let uploads = stage.platform.uploads();
    let failed = uploads
        .iter()
        .filter(|upload| upload.success == Some(false))
        .count();
    assert_eq!(failed, came_to_nothing, "{what}");
    assert_eq!(uploads.len(), came_to_nothing + 1, "{what}");
    assert_eq!(
        uploads.last().and_then(|upload| upload.success),
        Some(true),
        "{what}"
    );
}

#[test]
fn a_status_that_may_pass_delays_the_content_and_what_is_behind_it() {
    let cases = STEPS.into_iter().flat_map(|route| {
        let of_hub: &[u16] = match route {
            Route::BlobPut => &[403],
            _ => &[401, 403, 404],
        };
        let all = of_hub.iter().copied().chain([408, 429, 500, 502, 503]);
        all.map(move |status| (route, status))
    });
    each(cases, |(route, status)| {
        let what = format!("{route:?} {status}");
        let stage = Stage::new();
        let is_refused = matches!(status, 401 | 403 | 404);
        stage.platform.http_status(route, status, None, 2);
        let client = stage.start();
        enqueue(&client);
        assert_arrive(&stage, &client, &what);
        let error = last_error(&client);
        assert!(
            matches!(error, Some(Error::Unavailable { status: told, .. } | Error::Refused { status: told, .. }) if told == status),
            "{what}: {error:?}"
        );
        assert_backs_off(&stage, route, &what);
        let came_to_nothing = match route {
            Route::BlobPut => 2,
            // Refused with other credentials, too: only then the content goes up once more.
            Route::FileNotification if is_refused => 1,
            _ => 0,
        };
        assert_told(&stage, came_to_nothing, &what);
        // The SAS may be what the hub does not take.
        let renewed = stage.platform.http_request_count(Route::Register) > 1;
        assert_eq!(renewed, route != Route::BlobPut && is_refused, "{what}");
    });
}

#[test]
fn a_broken_answer_delays_the_content_and_what_is_behind_it() {
    let of_every_step = STEPS.into_iter().flat_map(|route| {
        broken_http()
            .into_iter()
            .map(move |(what, answer)| (route, what, answer))
    });
    let places = broken_json()
        .into_iter()
        .map(|(what, answer)| (Route::FileUpload, what, answer));
    each(of_every_step.chain(places), |(route, what, answer)| {
        let what = format!("{route:?}, {what}");
        let stage = Stage::new();
        stage.platform.http_raw(route, answer, 2);
        let client = stage.start();
        enqueue(&client);
        assert_arrive(&stage, &client, &what);
        let error = last_error(&client);
        assert!(
            matches!(error, Some(Error::Protocol { .. } | Error::Network { .. })),
            "{what}: {error:?}"
        );
        assert_backs_off(&stage, route, &what);
        let came_to_nothing = if route == Route::BlobPut { 2 } else { 0 };
        assert_told(&stage, came_to_nothing, &what);
    });
}

#[test]
fn a_step_without_an_answer_is_given_up_and_tried_again() {
    // An upload itself may take hours: that its silence stalls nothing else is shown in the contract.
    each([Route::FileUpload, Route::FileNotification], |route| {
        let what = format!("{route:?}");
        let stage = Stage::new();
        let answer = RawAnswer::new("HTTP/1.1 2").then_silence();
        stage.platform.http_raw(route, answer, 1);
        let client = stage.start();
        enqueue(&client);
        assert_arrive(&stage, &client, &what);
        assert!(
            matches!(last_error(&client), Some(Error::Network { .. })),
            "{what}"
        );
        assert!(
            pauses(&stage.platform, route)[0] >= Duration::from_secs(10),
            "{what}"
        );
        assert_told(&stage, 0, &what);
    });
}

#[test]
fn a_storage_that_refuses_much_content_before_its_end_is_heard() {
    let stage = Stage::new();
    stage.platform.refuse_blocks(true);
    let answer = "HTTP/1.1 413 X\r\nContent-Length: 9\r\n\r\ntoo large";
    stage
        .platform
        .http_raw(Route::BlobPut, RawAnswer::new(answer).early(), 5);
    let client = stage.start();
    let sender = sender(&client);
    sender.enqueue_message(vec![7; MUCH]).unwrap();
    sender.enqueue_message("behind").unwrap();
    eventually("the status tells", || {
        matches!(
            last_error(&client),
            Some(Error::Refused { status: 413, .. })
        )
    });
    assert_eq!(client.pending_messages_count(), 2, "it may yet be taken");
    let waited = client.wait_enqueued_messages_sent_timeout(2 * PATIENCE);
    assert!(matches!(waited, Err(Error::SetAside)), "{waited:?}");
    let [message] = &client.set_aside_messages().unwrap()[..] else {
        panic!("one Message is set aside");
    };
    assert!(message.reason.contains("413"), "{}", message.reason);
    assert_eq!(stage.received(), ["behind"]);
    let uploads = stage.platform.uploads();
    assert_eq!(uploads.len(), 5);
    assert!(
        uploads.iter().all(|upload| upload.success == Some(false)),
        "the hub is told"
    );

    client.retry_set_aside_messages(&[message.id]).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.platform.messages().pop().unwrap().payload.len(), MUCH);
}

#[test]
fn a_page_in_the_place_of_the_hub_or_its_storage_is_no_success_and_costs_no_content() {
    let cases = STEPS
        .into_iter()
        .flat_map(|route| [200, 302, 400, 401, 407, 511].map(|status| (route, status)));
    each(cases, |(route, status)| {
        let stage = Stage::new();
        stage.platform.http_raw(route, page(status), 2);
        let client = stage.start();
        sender(&client).enqueue_message(large()).unwrap();
        client
            .wait_enqueued_messages_sent_timeout(2 * PATIENCE)
            .unwrap();
        let error = last_error(&client);
        assert!(
            error
                .as_ref()
                .is_some_and(|error| error.to_string().contains("text/html")),
            "{route:?} {status}: {error:?}"
        );
        let messages = stage.platform.messages();
        assert_eq!(messages.len(), 1);
        assert!(messages[0].payload == large(), "{route:?} {status}");
    });
}

#[test]
fn a_success_before_the_end_of_the_content_is_not_believed() {
    let stage = Stage::new();
    stage.platform.refuse_blocks(true);
    let answer = RawAnswer::new("HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n").early();
    stage.platform.http_raw(Route::BlobPut, answer, 1);
    let client = stage.start();
    let content: Vec<u8> = (0..MUCH).map(|number| (number % 251) as u8).collect();
    sender(&client).enqueue_message(content.clone()).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    let messages = stage.platform.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].payload == content, "it is there as a whole");
    assert!(last_error(&client).is_some());
}

#[test]
fn an_upload_that_waits_for_the_network_goes_on_as_soon_as_the_link_is_back() {
    const FAILURES: u8 = 5;
    let stage = Stage::new();
    let reset = RawAnswer::new("").reset();
    stage
        .platform
        .http_raw(Route::BlobPut, reset, FAILURES.into());
    let client = stage.start();
    enqueue(&client);
    stage
        .platform
        .wait_for_request(Route::FileNotification, FAILURES.into(), 2 * PATIENCE)
        .unwrap();
    assert!(matches!(last_error(&client), Some(Error::Network { .. })));
    stage.platform.close_connections();
    assert_arrive(&stage, &client, "the link is back");
    let pauses = pauses(&stage.platform, Route::BlobPut);
    let [.., before, last] = &pauses[..] else {
        panic!("{FAILURES} pauses");
    };
    assert!(*before >= Duration::from_secs(4), "{pauses:?}");
    // The pauses double from half a second on at least: this one would be of 8 s.
    assert!(*last < Duration::from_secs(8), "{pauses:?}");
}

#[test]
fn a_hub_that_uploads_cannot_reach_is_asked_as_its_outage_lasts() {
    const FAILURES: u8 = 5;
    let stage = Stage::new();
    let reset = RawAnswer::new("").reset();
    let platform = &stage.platform;
    platform.http_raw(Route::FileUpload, reset, FAILURES.into());
    let client = stage.start();
    enqueue(&client);
    assert_arrive(&stage, &client, "the hub is back");
    let pauses = pauses(&stage.platform, Route::FileUpload);
    assert_eq!(pauses.len(), usize::from(FAILURES), "{pauses:?}");
    assert_backs_off(&stage, Route::FileUpload, "the hub is away");
    // One that doubles would be of 8 s at least; of an outage of some 6 s it is two fifths.
    let last = pauses.last().unwrap();
    assert!(*last < Duration::from_secs(8), "{pauses:?}");
}

#[test]
fn a_hostile_place_gets_nothing_and_only_delays_the_content() {
    let foreign = Platform::start().unwrap();
    let stranger = foreign.hub_host_name();
    let link = "?sv=1&sig=abc&sp=rw";
    let places = [
        ("no host", "", "c", "b", link),
        ("a host with a path", "hub.example/x?", "c", "b", link),
        ("a host with a user", "user@hub.example", "c", "b", link),
        ("a host with a line", "hub.example\r\nX: y", "c", "b", link),
        ("a token with a line", &stranger, "c", "b", "?a\r\nX: y"),
        ("a token with a space", &stranger, "c", "b", "? HTTP/1.1"),
        ("a token with a fragment", &stranger, "c", "b", "?a#b"),
        ("a token that is no ASCII", &stranger, "c", "b", "?\u{e4}"),
        ("nobody's address", "127.0.0.1:1", "c", "b", link),
        ("no such name", "no-such-host.invalid", "c", "b", link),
        ("another's storage", &stranger, "c", "b", link),
        ("a path upwards", &stranger, "..", "../..//x y?z#", link),
    ];
    each(places, |(what, host, container, blob, token)| {
        let stage = Stage::new();
        let place = json!({
            "correlationId": "correlation", "hostName": host, "containerName": container,
            "blobName": blob, "sasToken": token,
        });
        stage
            .platform
            .http_body(Route::FileUpload, place.to_string(), 1);
        let client = stage.start();
        enqueue(&client);
        assert_arrive(&stage, &client, what);
        let error = last_error(&client);
        assert!(error.is_some_and(|error| error.is_retryable()), "{what}");
        assert_eq!(
            stage.platform.http_request_count(Route::BlobPut),
            1,
            "{what}"
        );
        // Of the place that came to nothing, twice, as the hub knows of none; and of the one that did not.
        assert_eq!(
            stage.platform.http_request_count(Route::FileNotification),
            3,
            "{what}"
        );
    });
    assert!(foreign.http_requests().is_empty());
}

#[test]
fn a_notification_that_fails_for_long_costs_no_further_upload() {
    let stage = Stage::new();
    stage
        .platform
        .http_status(Route::FileNotification, 503, None, 4);
    let client = stage.start();
    enqueue(&client);
    assert_arrive(&stage, &client, "503");
    assert_eq!(stage.platform.http_request_count(Route::BlobPut), 1);
    assert_eq!(
        stage.platform.http_request_count(Route::FileNotification),
        5
    );
}

#[test]
fn a_notification_that_is_refused_for_good_costs_five_uploads_at_most() {
    let stage = Stage::new();
    stage
        .platform
        .http_status(Route::FileNotification, 400, None, 1_000);
    let client = stage.start();
    enqueue(&client);
    let waited = client.wait_enqueued_messages_sent_timeout(2 * PATIENCE);
    assert!(matches!(waited, Err(Error::SetAside)), "{waited:?}");
    assert_eq!(stage.platform.http_request_count(Route::BlobPut), 5);
    assert_eq!(stage.received(), ["behind"]);
}

#[test]
fn a_close_during_an_upload_gives_its_place_back_at_the_next_start() {
    // More often than the hub has places.
    const CLOSES: usize = 12;
    let stage = Stage::new();
    stage.platform.http_hang(Route::BlobPut, true);
    enqueue(&stage.start());
    for close in 1..=CLOSES {
        let client = stage.start();
        let reached = stage
            .platform
            .wait_for_request(Route::BlobPut, close, PATIENCE);
        reached.unwrap_or_else(|error| panic!("close {close}: {error}"));
        client.close();
    }
    stage.platform.http_hang(Route::BlobPut, false);
    let client = stage.start();
    assert_arrive(&stage, &client, "closed");
    let open = stage.platform.uploads().into_iter();
    assert_eq!(open.filter(|upload| upload.success.is_none()).count(), 0);
}
