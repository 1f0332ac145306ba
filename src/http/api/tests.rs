use super::*;
use crate::error::Chain;
use crate::http::agent::{ANSWER_MIN, STEP_TIMEOUT};
use crate::http::peer::Peer;
use spotflow_fuzz::fuzz;
use std::net::TcpListener;
use std::time::Instant;

const SAS: &str = "SharedAccessSignature sr=h&sig=hunter2&se=1795352400";

fn api(peer: &Peer) -> Api {
    Api::new(&peer.instance(), peer.agent())
}

fn answering(status: u16, body: &str) -> (Peer, Api) {
    let peer = Peer::json(status, body);
    let api = api(&peer);
    (peer, api)
}

fn token() -> Secret {
    Secret::new("p-hunter2")
}

fn sent(peer: &Peer) -> (String, Value) {
    let request = peer.request();
    (request.head.to_ascii_lowercase(), request.json())
}

#[test]
fn init_states_the_device_id_only_when_there_is_one() {
    let answer = r#"{"provisioningOperationId": "op", "verificationCode": "ABC",
                     "expirationTime": "2026-11-22T13:00:00Z", "more": {}}"#;
    let (peer, api) = answering(200, answer);
    let operation = api.init_provisioning(&token(), Some("dev")).unwrap();
    assert_eq!(operation.id, "op");
    assert_eq!(operation.verification_code, "ABC");
    assert_eq!(operation.expiration_time, "2026-11-22T13:00:00Z");
    let (head, body) = sent(&peer);
    assert!(head.starts_with("post /provisioning-operations/init http/1.1\r\n"));
    assert!(head.contains("\r\nauthorization: devicetoken p-hunter2\r\n"));
    assert!(head.contains("\r\ncontent-type: application/json\r\n"));
    assert!(head.contains("\r\nuser-agent: spotflow-device-rust/"));
    assert_eq!(body, json!({ "deviceId": "dev" }));
    api.init_provisioning(&token(), None).unwrap();
    assert_eq!(sent(&peer).1, json!({}));
}

#[test]
fn complete_tells_the_four_outcomes_apart() {
    let outcome = |status, body: &str| {
        let (peer, api) = answering(status, body);
        let outcome = api.complete_provisioning(&token(), "op").unwrap();
        let (head, body) = sent(&peer);
        assert!(head.starts_with("put /provisioning-operations/complete "));
        assert_eq!(body, json!({ "provisioningOperationId": "op" }));
        outcome
    };
    assert!(matches!(outcome(202, ""), Completion::Pending));
    assert!(matches!(outcome(410, "{}"), Completion::Expired));
    let cancelled = r#"{"type": "/problems/deviceProvisioning/provisioningOperationCancelled"}"#;
    assert!(matches!(outcome(410, cancelled), Completion::Refused));
    let approved = r#"{"registrationToken": "r", "expirationTime": "2026-11-22T14:00:00+01:00"}"#;
    let Completion::Approved(issued) = outcome(200, approved) else {
        panic!("not approved");
    };
    assert_eq!(issued.registration_token.expose(), "r");
    assert_eq!(
        issued.lifetime,
        Lifetime::Remaining(Duration::from_secs(3_600))
    );
    let Completion::Approved(issued) = outcome(200, r#"{"registrationToken": "r"}"#) else {
        panic!("not approved");
    };
    assert_eq!(issued.lifetime, Lifetime::Unlimited);
}

#[test]
fn register_brings_the_hubs_credentials_with_lifetimes_by_the_servers_clock() {
    let answer = format!(
        r#"{{"connectionString": "HostName=h;DeviceId=w:d;SharedAccessSignature={SAS}",
            "iotHubHostName": "h", "connectionStringType": "SharedAccessSignature",
            "tokenRemainingLifetime": "1.00:00:00"}}"#
    );
    let (peer, api) = answering(200, &answer);
    let registration = api.register(&Secret::new("r")).unwrap();
    let hour = Some(Duration::from_secs(3_600));
    assert_eq!(registration.credentials.lifetime, hour);
    assert_eq!(registration.credentials.sas.expose(), SAS);
    assert_eq!(
        registration.token_lifetime,
        Lifetime::Remaining(Duration::from_secs(86_400))
    );
    let (head, body) = sent(&peer);
    assert!(head.starts_with("put /devices/register "));
    assert_eq!(
        body,
        json!({ "connectionStringType": "SharedAccessSignature" })
    );
}

#[test]
fn refresh_exchanges_the_token() {
    let (peer, api) = answering(
        201,
        r#"{"registrationToken": "new", "expirationTime": null}"#,
    );
    let issued = api.refresh(&token(), &Secret::new("old")).unwrap();
    assert_eq!(issued.registration_token.expose(), "new");
    let (head, body) = sent(&peer);
    assert!(head.starts_with("put /devices/registration-tokens/refresh "));
    assert_eq!(body, json!({ "registrationToken": "old" }));
}

#[test]
fn every_status_becomes_the_error_that_says_what_to_do() {
    let error = |status| {
        let (_peer, api) = answering(status, r#"{"title": "T", "detail": "old p-hunter2 D"}"#);
        api.refresh(&token(), &Secret::new("old")).unwrap_err()
    };
    for status in [400, 403, 404, 410, 412] {
        let error = error(status);
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(error.to_string().ends_with("(T: *** *** D)"), "{error}");
    }
    for status in [408, 423, 429, 500, 503] {
        let error = error(status);
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.is_retryable());
    }
    assert!(matches!(
        error(401),
        Error::InvalidToken {
            token: PROVISIONING_TOKEN
        }
    ));
    for status in [202, 204, 302] {
        assert!(matches!(error(status), Error::Protocol { .. }), "{status}");
    }
    let (_peer, api) = answering(401, "");
    let error = api.register(&token()).unwrap_err();
    assert!(matches!(
        error,
        Error::InvalidToken {
            token: REGISTRATION_TOKEN
        }
    ));
}

#[test]
fn malformed_truncated_and_oversized_answers_are_errors_of_the_protocol() {
    let chunked = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n";
    for raw in [
        "nonsense\r\n\r\n".to_owned(),
        "HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}".into(),
        "HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{".into(),
        "HTTP/1.1 200 X\r\n\r\n{\"registrationToken\": \"p-hunter2".into(),
        "HTTP/1.1 200 X\r\nContent-Length: 34\r\n\r\n{\"registrationToken\": [\"p-hunter2\"]"
            .into(),
        "HTTP/1.1 200 X\r\nContent-Length: 25\r\n\r\n{\"registrationToken\": \"\" }".into(),
        format!("{chunked}zz\r\n{{}}\r\n0\r\n\r\n"),
        format!("HTTP/1.1 200 X\r\n\r\n{}", " ".repeat(70_000)),
        format!("HTTP/1.1 200 X\r\nA: {}\r\n\r\n{{}}", "a".repeat(40_000)),
    ] {
        let error = api(&Peer::raw(raw))
            .refresh(&token(), &token())
            .unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
        assert!(!format!("{error:?} {}", Chain(&error)).contains("hunter2"));
    }
}

#[test]
fn a_chunked_answer_is_read() {
    let raw = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n\
               10\r\n{\"registrationTo\r\n9\r\nken\":\"r\"}\r\n0\r\n\r\n";
    let issued = api(&Peer::raw(raw)).refresh(&token(), &token()).unwrap();
    assert_eq!(issued.registration_token.expose(), "r");
}

#[test]
fn a_connection_cut_before_the_answer_is_a_failure_of_the_network() {
    let error = api(&Peer::raw("")).register(&token()).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
}

#[test]
fn a_silent_platform_is_waited_for_only_as_long_as_asked() {
    let peer = Peer::silent();
    let start = Instant::now();
    let error = api(&peer)
        .within(Duration::from_millis(300))
        .register(&token())
        .unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert!(start.elapsed() < STEP_TIMEOUT / 2);
}

#[test]
fn silence_is_not_waited_for_much_longer_than_an_outage_has_lasted() {
    let prompt = STEP_TIMEOUT - Duration::from_secs(2);
    // Takes connections, as far as the system does that for it, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = Peer::silent();
    let mute = Api::new(&Instance::parse(&address).unwrap(), peer.agent());
    // The answer is given more time than the first word.
    for (silent, least) in [(mute, Duration::ZERO), (api(&peer), ANSWER_MIN)] {
        let begun = Instant::now();
        let after = Duration::from_secs(3);
        let error = silent.after(after).register(&token()).unwrap_err();
        assert!(matches!(error, Error::Network { .. }), "{error:?}");
        assert!(
            (least..prompt).contains(&begun.elapsed()),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn a_token_that_cannot_be_a_header_is_refused_unsent() {
    let peer = Peer::silent();
    for text in ["a\nb", "a b", "ä", "a\r\nX: y"] {
        let error = api(&peer).register(&Secret::new(text)).unwrap_err();
        assert!(matches!(error, Error::InvalidToken { .. }), "{error:?}");
    }
    assert!(peer.requests().is_empty());
}

/// A call whose answers are decoded here; nothing is sent.
fn call<'a>(token: &'a Secret, other_secret: Option<&'a Secret>) -> Call<'a> {
    Call {
        action: "refresh the Registration Token",
        method: Method::Put,
        path: "/",
        token,
        token_name: PROVISIONING_TOKEN,
        body: json!({}),
        other_secret,
    }
}

#[test]
fn fuzz_issued_tokens_are_taken_as_they_came_or_refused_without_being_repeated() {
    fuzz("issued tokens", |choices| {
        let (token, other) = (Secret::new("p-hunter2"), Secret::new("r-hunter2"));
        let mut answer = Value::Object(choices.document(1));
        let issued = match choices.one_in(4) {
            true => choices.text(),
            false => choices.damaged_text("hunter2-issued"),
        };
        let fields = [
            ("registrationToken", issued.as_str()),
            ("expirationTime", "2026-11-22T12:00:00.123+00:00"),
            ("provisioningOperationId", "hunter2-operation"),
            ("verificationCode", "hunter2-code"),
            (
                "type",
                "/problems/deviceProvisioning/provisioningOperationCancelled",
            ),
            ("detail", "p-hunter2 and r-hunter2 are known"),
        ];
        for (field, value) in fields {
            match choices.byte() % 8 {
                0 => {}
                1 => answer[field] = choices.json(1),
                2 => answer[field] = choices.damaged_text(value).into(),
                _ => answer[field] = value.into(),
            }
        }
        let mut body = answer.to_string().into_bytes();
        let is_whole = !choices.one_in(3);
        if !is_whole {
            choices.damage(&mut body);
        }
        let answer = Answer {
            status: choices.pick(&[
                200, 200, 200, 201, 202, 400, 401, 403, 410, 423, 429, 503, 302,
            ]),
            time: choices.bool().then_some(ServerTime(1_700_000_000)),
            media_type: choices.pick(&[
                MediaType::Problem,
                MediaType::Problem,
                MediaType::Json,
                MediaType::Html,
            ]),
            issuer: None,
            body,
        };
        let call = call(&token, Some(&other));
        match call.issued_token(&answer) {
            Ok(read) => {
                assert!(matches!(answer.status, 200 | 201));
                assert!(!read.registration_token.expose().is_empty());
                assert!(!format!("{read:?}").contains("hunter2"));
                // Not if there is nonsense in what is not looked at.
                if let Ok(sent) = serde_json::from_slice::<Value>(&answer.body) {
                    assert_eq!(sent["registrationToken"], read.registration_token.expose());
                    let expires = sent["expirationTime"].is_string();
                    assert_eq!(read.lifetime == Lifetime::Unlimited, !expires);
                }
            }
            Err(error) => {
                let text = format!("{error:?} {}", Chain(&error));
                assert!(
                    !text.contains("p-hunter2") && !text.contains("r-hunter2"),
                    "{text}"
                );
                let is_refusal =
                    matches!(answer.status, 400..=599) && answer.media_type == MediaType::Problem;
                assert_eq!(is_refusal, !matches!(error, Error::Protocol { .. }));
                // What is not understood is not repeated either.
                assert!(is_refusal || !text.contains("hunter2"), "{text}");
            }
        }
        // An operation is shown as it came: its code is what a technician compares.
        if let Ok(operation) = call.success::<NewOperation>(&answer)
            && let Ok(sent) = serde_json::from_slice::<Value>(&answer.body)
        {
            assert_eq!(sent["provisioningOperationId"], operation.id);
            assert_eq!(sent["verificationCode"], operation.verification_code);
            assert_eq!(sent["expirationTime"], operation.expiration_time);
        }
    });
}
