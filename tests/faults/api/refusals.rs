//! The HTTP API refuses or fails, in its own form.

use std::time::{Duration, Instant};

use serde_json::json;
use spotflow_device::Error;
use spotflow_emulator::{Platform, RawAnswer, Route};

use super::{assert_works, last_error};
use crate::cases::each;
use crate::support::{DEVICE, LogCapture, PATIENCE, Stage, eventually, in_a_process_of_its_own};

/// Statuses that say nothing about the token.
const UNAVAILABLE: [u16; 7] = [408, 423, 429, 500, 502, 503, 504];
const REFUSED: [u16; 4] = [400, 403, 410, 412];

fn is_status(error: &Error, wanted: u16) -> bool {
    match error {
        Error::Unavailable { status, .. } => *status == wanted && UNAVAILABLE.contains(status),
        Error::Refused { status, .. } => *status == wanted && REFUSED.contains(status),
        _ => false,
    }
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
    // A Platform whose operations are all gone is not asked for one after the other.
    let requests = stage.platform.http_requests();
    let begun = requests.iter().filter(|it| it.route == Route::Init);
    let begun: Vec<Instant> = begun.map(|request| request.at).collect();
    assert!(begun[1] - begun[0] >= Duration::from_millis(500));
    assert!(begun[2] - begun[1] >= Duration::from_secs(1));
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
    let name = "api::refusals::the_log_warns_of_a_failing_api_once_per_reason";
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
