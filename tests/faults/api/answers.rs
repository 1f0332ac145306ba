//! What is answered is broken, somebody else's, or unusual.

use std::time::Duration;

use spotflow_device::Error;
use spotflow_emulator::{Platform, RawAnswer, Route};

use super::{assert_works, last_error};
use crate::answers::{broken_http, broken_json, page};
use crate::cases::each;
use crate::support::{DEVICE, PATIENCE, Stage, eventually, registration};

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
        stage
            .platform
            .http_raw(Route::Register, page(status), u64::MAX);
        stage.platform.http_raw(Route::Init, page(status), u64::MAX);
        let client = stage.start();
        eventually("the status tells who answers", || {
            names_who_answers(last_error(&client), status)
        });
        stage.platform.clear_http_faults();
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
