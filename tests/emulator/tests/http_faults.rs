//! The HTTP side says exactly what it is told to, and knows what it gave out.

mod support;

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spotflow_emulator::{HttpAnswer, Platform, RawAnswer, Route};
use support::{Client, api, call, device, provision};

const HEAD: &[u8] = b"PUT /devices/register HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n";

/// Sends these bytes, and reads what comes until the connection ends, and how it does.
fn answer_to(platform: &Platform, request: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let client = Client::open(platform, &platform.instance()).unwrap();
    let mut stream = client.into_stream();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).map(drop);
    (answer, end)
}

fn whole() -> Vec<u8> {
    [HEAD, b"hello"].concat()
}

#[test]
fn raw_bytes_come_as_they_are_and_end_as_told() {
    let platform = Platform::start().unwrap();
    let raw = |answer: RawAnswer| {
        platform.http_raw(Route::Register, answer, 1);
        answer_to(&platform, &whole())
    };
    let (answer, end) = raw(RawAnswer::new("no HTTP"));
    assert_eq!((answer.as_slice(), end.is_ok()), (&b"no HTTP"[..], true));
    let (answer, end) = raw(RawAnswer::new("cut").cut());
    assert_eq!(answer, b"cut");
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let (_, end) = raw(RawAnswer::new("reset").reset());
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let start = Instant::now();
    let pause = Duration::from_millis(20);
    let (answer, _) = raw(RawAnswer::new("trickle").trickling(pause));
    assert_eq!(answer, b"trickle");
    assert!(start.elapsed() >= 6 * pause);
    assert_eq!(platform.http_request_count(Route::Register), 4);
}

#[test]
fn somebody_else_answers_for_a_while() {
    let platform = Platform::start().unwrap();
    let body = json!({ "connectionStringType": "SharedAccessSignature" });
    let token = provision(&platform, "dev-1");
    let register = || api(&platform, "PUT", "/devices/register", &token, &body);
    platform.http_answer(Route::Any, HttpAnswer::html(511, "Sign in"), None);
    for _ in 0..3 {
        let answer = register();
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (511, "text/html; charset=utf-8")
        );
        assert!(answer.body.contains("<title>Sign in</title>"));
        assert!(answer.date.is_some());
    }
    platform.clear_http_faults();
    assert_eq!(register().status, 200);

    let redirect = HttpAnswer::new(302)
        .header("location", "http://portal.example/")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
        .header("not allowed", "x")
        .header("not-allowed", "x\r\n");
    platform.http_answer(Route::Register, redirect, Some(1));
    let request = b"PUT /devices/register HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let (answer, _) = answer_to(&platform, request);
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    for line in [
        "http/1.1 302 found",
        "location: http://portal.example/",
        "set-cookie: b=2",
        "content-length: 0",
    ] {
        assert!(answer.contains(&format!("{line}\r\n")), "{answer}");
    }
    assert_eq!(answer.matches("set-cookie").count(), 2);
    assert_eq!(answer.matches("date: thu, 01 jan 1970").count(), 1);
    assert!(!answer.contains("allowed"));
    assert_eq!(register().status, 200);
    platform.http_answer(Route::Init, HttpAnswer::new(407), Some(0));
    assert_eq!(register().status, 200);
}

#[test]
fn an_early_answer_does_not_wait_for_the_body() {
    let platform = Platform::start().unwrap();
    platform.http_raw(Route::Register, RawAnswer::new("early").early(), 1);
    assert_eq!(answer_to(&platform, HEAD).0, b"early");
}

#[test]
fn silence_follows_where_it_is_told_to() {
    let platform = Platform::start().unwrap();
    platform.http_raw(Route::Register, RawAnswer::new("then").then_silence(), 1);
    let client = Client::open(&platform, &platform.instance()).unwrap();
    let mut stream = client.into_stream();
    stream.write_all(&whole()).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    let limit = Some(Duration::from_millis(200));
    stream.get_mut().set_read_timeout(limit).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ),
        "{error:?}"
    );
}

#[test]
fn other_routes_and_later_requests_are_answered_as_ever() {
    let platform = Platform::start().unwrap();
    platform.http_raw(Route::Register, RawAnswer::new("once"), 1);
    let token = provision(&platform, "dev-1");
    assert_eq!(answer_to(&platform, &whole()).0, b"once");
    let body = json!({ "connectionStringType": "SharedAccessSignature" });
    let answer = api(&platform, "PUT", "/devices/register", &token, &body);
    assert_eq!(answer.status, 200);
    platform.http_raw(Route::Register, RawAnswer::new("never"), 1);
    platform.clear_http_faults();
    let answer = api(&platform, "PUT", "/devices/register", &token, &body);
    assert_eq!(answer.status, 200);
}

#[test]
fn every_secret_that_was_given_out_is_known() {
    let platform = Platform::start().unwrap();
    let other = platform.add_provisioning_token(None, None);
    let first = device(&platform, "dev-1");
    platform.expire_sas("dev-1").unwrap();
    let token = provision(&platform, "dev-1");
    let url = format!(
        "https://{}/devices/{}/files?api-version=2020-03-13",
        first.hub_host,
        device(&platform, "dev-2").hub_id
    );
    let second = device(&platform, "dev-2");
    let headers = [("authorization", second.sas.as_str())];
    let place: Value = call(&platform, "POST", &url, &headers, br#"{"blobName": "b"}"#).json();
    let secrets = platform.secrets();
    for secret in [platform.provisioning_token(), other, token] {
        assert!(secrets.contains(&secret));
    }
    for text in [&first.sas, &second.sas, place["sasToken"].as_str().unwrap()] {
        let known = secrets.iter().filter(|secret| text.contains(*secret));
        assert_eq!(known.count(), 1, "the signature in {text}");
    }
}
