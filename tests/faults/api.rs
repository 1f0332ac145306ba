//! The HTTP API refuses, fails, lies, or does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use spotflow_device::{DeviceClient, Error};
use spotflow_emulator::{Platform, RawAnswer, Route};

use crate::answers::{broken_http, broken_json, page};
use crate::cases::each;
use crate::support::{
    DEVICE, LogCapture, PATIENCE, Stage, eventually, in_a_process_of_its_own, registration, sender,
};

/// Statuses that say nothing about the token.
const UNAVAILABLE: [u16; 7] = [408, 423, 429, 500, 502, 503, 504];
const REFUSED: [u16; 4] = [400, 403, 410, 412];
/// The documented limits, and what a busy machine adds.
const START_LIMIT: Duration = Duration::from_secs(10 + 8);
const CLOSE_LIMIT: Duration = Duration::from_secs(5 + 5);
fn is_status(error: &Error, wanted: u16) -> bool {
    match error {
        Error::Unavailable { status, .. } => *status == wanted && UNAVAILABLE.contains(status),
        Error::Refused { status, .. } => *status == wanted && REFUSED.contains(status),
        _ => false,
    }
}

fn last_error(client: &DeviceClient) -> Option<Error> {
    client.status().last_error
}

fn assert_works(client: &DeviceClient) {
    let sent = sender(client).send_message_timeout("it works", PATIENCE);
    sent.expect("a Message is sent");
}

/// The statuses that were answered to such requests.
fn statuses(platform: &Platform, route: Route) -> Vec<u16> {
    let requests = platform.http_requests().into_iter();
    requests
        .filter(|request| request.route == route)
        .filter_map(|request| request.status)
        .collect()
}

#[test]
fn a_new_device_asks_again_after_any_status_that_may_pass() {
    let may_pass = |route| {
        let refused = REFUSED.into_iter().filter(move |status| match route {
            Route::Init => *status != 400,
            // A new operation, or the operator's refusal.
            Route::Complete => *status != 410,
            _ => true,
        });
        let all = refused.chain(UNAVAILABLE);
        all.map(move |status| (route, status))
    };
    let routes = [Route::Init, Route::Complete, Route::Register];
    each(routes.into_iter().flat_map(may_pass), |(route, status)| {
        let stage = Stage::new();
        stage.platform.http_status(route, status, None, 2);
        let client = stage.start();
        let error = last_error(&client);
        assert!(
            error.as_ref().is_some_and(|error| is_status(error, status)),
            "{route:?} {status}: {error:?}"
        );
        assert_eq!(
            statuses(&stage.platform, route),
            [status, status, 200],
            "{route:?}"
        );
        // An outage during the approval does not cost the operation.
        if route == Route::Complete {
            assert_eq!(stage.platform.http_request_count(Route::Init), 1);
        }
        assert_works(&client);
    });
}

#[test]
fn a_start_that_cannot_succeed_ends_with_the_reason_after_one_attempt() {
    const CANCELLED: &str = "/problems/deviceProvisioning/provisioningOperationCancelled";
    type Expected = fn(&Error) -> bool;
    let invalid: Expected = |error| matches!(error, Error::InvalidToken { .. });
    let cases: [(Route, u16, Option<&str>, Expected); 4] = [
        (Route::Init, 400, None, |error| is_status(error, 400)),
        (Route::Init, 401, None, invalid),
        (Route::Complete, 401, None, invalid),
        (Route::Complete, 410, Some(CANCELLED), |error| {
            matches!(error, Error::ProvisioningRefused)
        }),
    ];
    each(cases, |(route, status, problem, expected)| {
        let stage = Stage::new();
        stage.platform.http_status(route, status, problem, 9);
        let error = stage.device().start().unwrap_err();
        assert!(expected(&error), "{route:?} {status}: {error:?}");
        assert!(!error.is_retryable(), "{error:?}");
        assert_eq!(statuses(&stage.platform, route), [status]);
        stage.platform.clear_http_faults();
        assert_works(&stage.start());
    });
}

#[test]
fn an_operation_that_is_gone_is_followed_by_another() {
    let stage = Stage::new();
    stage.platform.http_status(Route::Complete, 410, None, 2);
    let client = stage.start();
    assert_eq!(statuses(&stage.platform, Route::Init), [200; 3]);
    assert_works(&client);
}

#[test]
fn a_registered_device_starts_offline_on_any_status_and_heals() {
    each(REFUSED.into_iter().chain(UNAVAILABLE), |status| {
        let stage = Stage::new();
        stage.start().close();
        stage.platform.http_status(Route::Register, status, None, 2);
        let begun = Instant::now();
        let client = stage.start();
        assert!(begun.elapsed() < Duration::from_secs(5), "{status}");
        eventually("the status tells", || {
            last_error(&client).is_some_and(|error| is_status(&error, status))
        });
        assert_works(&client);
        assert_eq!(
            stage.platform.http_request_count(Route::Init),
            1,
            "no new approval"
        );
    });
}

#[test]
fn a_registration_token_that_is_refused_is_replaced() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.http_status(Route::Register, 401, None, 1);
    let client = stage.start();
    assert_works(&client);
    assert_eq!(stage.platform.http_request_count(Route::Init), 2);
}

#[test]
fn a_failed_refresh_is_told_and_tried_again_if_that_can_help() {
    let refused = [401].into_iter().chain(REFUSED);
    each(refused.chain(UNAVAILABLE), |status| {
        let lifetime = Some(Duration::from_secs(6));
        let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
        stage.platform.http_status(Route::Refresh, status, None, 1);
        let client = stage.start();
        eventually("the status tells", || {
            last_error(&client).is_some_and(|error| match error {
                Error::InvalidToken { .. } => status == 401,
                error => is_status(&error, status),
            })
        });
        if UNAVAILABLE.contains(&status) {
            stage
                .platform
                .wait_for_request(Route::Refresh, 2, PATIENCE)
                .unwrap();
        }
        // The token in use still holds, and when it does not, the device is provisioned again.
        assert_works(&client);
        stage.platform.revoke_registration_tokens(DEVICE).unwrap();
        stage.platform.expire_sas(DEVICE).unwrap();
        assert_works(&client);
    });
}

#[test]
fn attempts_are_spaced() {
    const ATTEMPTS: usize = 5;
    each([Route::Init, Route::Complete, Route::Register], |route| {
        let stage = Stage::new();
        stage
            .platform
            .http_status(route, 503, None, ATTEMPTS as u64 - 1);
        let client = stage.start();
        let requests = stage.platform.http_requests();
        let times: Vec<Instant> = requests
            .iter()
            .filter(|request| request.route == route)
            .map(|request| request.at)
            .collect();
        assert_eq!(times.len(), ATTEMPTS, "{route:?}");
        // Up to 1, 2, 4 and 8 s, drawn evenly: less than this in all once in a million times.
        assert!(
            times[ATTEMPTS - 1] - times[0] > Duration::from_millis(200),
            "{route:?}"
        );
        assert_works(&client);
    });
}

#[test]
fn the_log_warns_of_a_failing_api_once_per_reason() {
    let name = "api::the_log_warns_of_a_failing_api_once_per_reason";
    in_a_process_of_its_own(name, || {
        let stage = Stage::new();
        for (route, status, count) in [
            (Route::Init, 503, 2),
            (Route::Init, 500, 1),
            (Route::Complete, 429, 2),
            (Route::Complete, 500, 1),
        ] {
            stage.platform.http_status(route, status, None, count);
        }
        stage.start();
        let lines = LogCapture::install().lines().into_iter();
        let warnings: Vec<String> = lines
            .filter(|line| line.level == log::Level::Warn && line.text.contains("HTTP status"))
            .map(|line| line.text)
            .collect();
        let told: Vec<bool> = warnings
            .iter()
            .zip(["503", "500", "429", "500"])
            .map(|(warning, status)| warning.contains(status))
            .collect();
        assert_eq!(told, [true; 4], "{warnings:#?}");
    });
}

#[test]
fn a_broken_answer_is_told_and_the_next_one_heals_it() {
    let routes = [Route::Init, Route::Complete, Route::Register];
    let cases = routes.into_iter().flat_map(|route| {
        broken_http()
            .into_iter()
            .chain(broken_json())
            .map(move |(what, answer)| (route, what, answer))
    });
    each(cases, |(route, what, answer)| {
        let stage = Stage::new();
        stage.platform.http_raw(route, answer, 1);
        let client = stage.start();
        let error = last_error(&client);
        let expected = matches!(
            error,
            Some(Error::Protocol { .. } | Error::Network { .. } | Error::Tls { .. })
        );
        assert!(expected, "{route:?}, {what}: {error:?}");
        assert!(error.is_some_and(|error| error.is_retryable()));
        assert_eq!(
            stage.platform.http_request_count(route),
            2,
            "{route:?}, {what}"
        );
        assert_works(&client);
    });
}

#[test]
fn a_broken_answer_to_a_refresh_is_told_and_the_next_one_heals_it() {
    each(
        broken_http().into_iter().chain(broken_json()),
        |(what, answer)| {
            let lifetime = Some(Duration::from_secs(4));
            let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
            stage.platform.http_raw(Route::Refresh, answer, 1);
            let client = stage.start();
            let told = || {
                matches!(
                    last_error(&client),
                    Some(Error::Protocol { .. } | Error::Network { .. })
                )
            };
            eventually(what, told);
            stage
                .platform
                .wait_for_request(Route::Refresh, 2, PATIENCE)
                .unwrap();
            assert_works(&client);
        },
    );
}

/// Statuses that somebody on the way may answer with.
const FOREIGN: [u16; 10] = [200, 302, 400, 401, 403, 404, 407, 410, 503, 511];

fn names_who_answers(error: Option<Error>, status: u16) -> bool {
    error.is_some_and(|error| {
        let text = error.to_string();
        let who = "text/html, which is not the Platform's";
        let issuer = "issued by Spotflow emulator's throw-away CA";
        error.is_retryable()
            && [&status.to_string(), who, issuer]
                .into_iter()
                .all(|part| text.contains(part))
    })
}

#[test]
fn a_page_in_the_platforms_place_costs_a_new_device_nothing_but_time() {
    let routes = [Route::Init, Route::Complete, Route::Register];
    let cases = routes
        .into_iter()
        .flat_map(|route| FOREIGN.map(|status| (route, status)));
    each(cases, |(route, status)| {
        let stage = Stage::new();
        stage.platform.http_raw(route, page(status), 2);
        let client = stage.start();
        let error = last_error(&client);
        assert!(
            names_who_answers(error.clone(), status),
            "{route:?} {status}: {error:?}"
        );
        assert_eq!(stage.platform.operations().len(), 1, "{route:?} {status}");
        assert_works(&client);
    });
}

#[test]
fn a_page_in_the_platforms_place_costs_a_registered_device_neither_its_start_nor_an_approval() {
    each(FOREIGN, |status| {
        let stage = Stage::new();
        stage.start().close();
        stage.platform.http_raw(Route::Register, page(status), 2);
        stage.platform.http_raw(Route::Init, page(status), 2);
        let begun = Instant::now();
        let client = stage.start();
        assert!(begun.elapsed() < Duration::from_secs(5), "{status}");
        eventually("the status tells who answers", || {
            names_who_answers(last_error(&client), status)
        });
        assert_works(&client);
        assert_eq!(stage.platform.operations().len(), 1, "no new approval");
    });
}

#[test]
fn a_page_in_answer_to_a_refresh_is_told_and_the_refresh_tried_again() {
    each(FOREIGN, |status| {
        let lifetime = Some(Duration::from_secs(6));
        let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
        stage.platform.http_raw(Route::Refresh, page(status), 1);
        let client = stage.start();
        eventually("the status tells who answers", || {
            names_who_answers(last_error(&client), status)
        });
        stage
            .platform
            .wait_for_request(Route::Refresh, 2, PATIENCE)
            .unwrap();
        assert_works(&client);
    });
}

#[test]
fn an_unusual_but_right_answer_is_understood() {
    let hub_device = |stage: &Stage| format!("{}:{DEVICE}", stage.platform.workspace_id());
    let answers: [fn(&str) -> String; 4] = [
        |body| {
            format!(
                "HTTP/1.1 103 X\r\nLink: a\r\n\r\nHTTP/1.1 201 X\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        },
        |body| {
            format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nDate: yesterday\r\n\r\n{body}")
        },
        |body| {
            format!(
                "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{body}\r\n0\r\nA: b\r\n\r\n",
                body.len()
            )
        },
        |body| {
            format!(
                "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        },
    ];
    each(answers, |answer| {
        let stage = Stage::new();
        let hub = stage.platform.hub_host_name();
        let body = registration(&hub, &hub_device(&stage), Duration::from_secs(3600));
        stage
            .platform
            .http_raw(Route::Register, RawAnswer::new(answer(&body)), 1);
        let client = stage.start();
        // Its password is not the hub's, which is for another registration to mend.
        let error = last_error(&client);
        assert!(
            matches!(error, None | Some(Error::ConnectionRefused { .. })),
            "{error:?}"
        );
        assert_works(&client);
    });
}

#[test]
fn a_registered_device_starts_in_time_whatever_the_silence() {
    type Silence = fn(&Platform);
    let silences: [(&str, Silence); 4] = [
        ("no answer", |platform| {
            platform.http_hang(Route::Register, true)
        }),
        ("a trickle", |platform| {
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".repeat(9);
            let answer = RawAnswer::new(answer).trickling(Duration::from_secs(1));
            platform.http_raw(Route::Register, answer, 9);
        }),
        ("half an answer", |platform| {
            let answer = RawAnswer::new("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
            platform.http_raw(Route::Register, answer.then_silence(), 9);
        }),
        ("informational answers only", |platform| {
            let answer = RawAnswer::new("HTTP/1.1 102 Processing\r\n\r\n").then_silence();
            platform.http_raw(Route::Register, answer, 9);
        }),
    ];
    each(silences, |(what, silence)| {
        let stage = Stage::new();
        stage.start().close();
        silence(&stage.platform);
        let begun = Instant::now();
        let client = stage.start();
        assert!(
            begun.elapsed() < START_LIMIT,
            "{what}: {:?}",
            begun.elapsed()
        );
        sender(&client).enqueue_message("stored").unwrap();
        eventually(what, || {
            matches!(last_error(&client), Some(Error::Network { .. }))
        });
        stage.platform.clear_http_faults();
        assert_works(&client);
    });
}

#[test]
fn a_close_does_not_wait_for_any_call() {
    let routes = [
        Route::Register,
        Route::Refresh,
        Route::FileUpload,
        Route::BlobPut,
        Route::FileNotification,
    ];
    each(routes, |route| {
        let lifetime = Some(Duration::from_secs(4));
        let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
        let client = stage.start();
        stage.platform.http_hang(route, true);
        let before = stage.platform.http_request_count(route);
        match route {
            Route::Register => stage.platform.expire_sas(DEVICE).unwrap(),
            Route::Refresh => {}
            _ => sender(&client).enqueue_message(vec![7; 300_000]).unwrap(),
        }
        stage
            .platform
            .wait_for_request(route, before + 1, PATIENCE)
            .unwrap();
        let begun = Instant::now();
        client.close();
        assert!(
            begun.elapsed() < CLOSE_LIMIT,
            "{route:?}: {:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn an_interrupted_start_does_not_wait_for_any_call() {
    each([Route::Init, Route::Complete, Route::Register], |route| {
        let stage = Stage::new();
        stage.platform.http_hang(route, true);
        let interrupted = Arc::new(AtomicBool::new(false));
        let check = Arc::clone(&interrupted);
        let builder = stage
            .device()
            .interrupt_check(move || check.load(Ordering::Relaxed));
        let (result, begun) = std::thread::scope(|scope| {
            let start = scope.spawn(|| builder.start());
            stage.platform.wait_for_request(route, 1, PATIENCE).unwrap();
            let begun = Instant::now();
            interrupted.store(true, Ordering::Relaxed);
            (start.join().unwrap(), begun)
        });
        assert!(matches!(result, Err(Error::Interrupted)), "{route:?}");
        assert!(
            begun.elapsed() < CLOSE_LIMIT,
            "{route:?}: {:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn a_refusal_is_explained_in_the_platforms_words_without_the_token() {
    let stage = Stage::new();
    let token = stage.platform.provisioning_token();
    let problem =
        json!({"title": "Bad\r\nluck", "detail": format!("of {token}"), "status": 5}).to_string();
    let length = problem.len();
    let answer = format!(
        "HTTP/1.1 400 X\r\nContent-Type: application/problem+json\r\nContent-Length: {length}\r\n\r\n{problem}"
    );
    stage
        .platform
        .http_raw(Route::Init, RawAnswer::new(answer), 1);
    let error = stage.device().start().unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("HTTP status 400 (Bad  luck: of ***)"),
        "{error}"
    );
}
