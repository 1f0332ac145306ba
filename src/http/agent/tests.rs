use super::*;
use crate::Error;
use crate::error::Chain;
use crate::http::request::{HTTPS_PORT, Method};
use crate::http::test_server::{Reply, TestServer, unanswering};
use crate::net::host::Host;
use std::io::Read;
use std::net::TcpListener;
use std::thread;
use std::time::Instant;

fn host(authority: &str) -> Host {
    Host::parse(authority, HTTPS_PORT).unwrap()
}

fn put<'a>(host: &'a Host, body: &'a [u8]) -> Request<'a> {
    Request {
        method: Method::Put,
        host,
        target: "/x".into(),
        headers: &[],
        body,
    }
}

fn call(agent: &Agent, authority: &str) -> Result<Answer> {
    agent.call("test", &put(&host(authority), b""), CONTROL_TIMEOUT)
}

#[test]
fn cancelling_ends_a_request_in_flight_and_all_later_ones() {
    let server = TestServer::start(|_| Reply::Silence);
    let agent = server.agent();
    let (worker, host) = (agent.clone(), server.host.clone());
    let start = Instant::now();
    let worker = thread::spawn(move || call(&worker, &host).map(drop));
    server.arrived.recv().unwrap();
    agent.cancel();
    assert!(matches!(worker.join().unwrap(), Err(Error::Closed)));
    let later = call(&agent, &server.host);
    assert!(matches!(later, Err(Error::Closed)));
    assert!(start.elapsed() < CONTROL_TIMEOUT);
}

fn transfer_of_much(agent: &Agent, authority: String) -> thread::JoinHandle<Result<Answer>> {
    let agent = agent.clone();
    thread::spawn(move || {
        let content = vec![0; 8 << 20];
        agent.transfer("test", &put(&host(&authority), &content))
    })
}

#[test]
fn cancelling_ends_a_transfer_that_has_stalled() {
    // Accepts and never reads, so that the transfer is stuck in its handshake.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = TestServer::start(|_| Reply::Silence).agent();
    let worker = transfer_of_much(&agent, listener.local_addr().unwrap().to_string());
    let (mut socket, _) = listener.accept().unwrap();
    socket.read_exact(&mut [0]).unwrap();
    agent.cancel();
    assert!(matches!(worker.join().unwrap(), Err(Error::Closed)));
}

#[cfg(target_os = "linux")]
#[test]
fn cancelling_ends_a_connect_that_nobody_answers() {
    let (listener, _waiting) = unanswering();
    let agent = TestServer::start(|_| Reply::Silence).agent();
    let start = Instant::now();
    let worker = transfer_of_much(&agent, listener.local_addr().unwrap().to_string());
    // Nothing tells that it connects; if it does not yet, that is no less of a cancellation.
    thread::park_timeout(Duration::from_millis(100));
    agent.cancel();
    assert!(matches!(worker.join().unwrap(), Err(Error::Closed)));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[cfg(target_os = "linux")]
#[test]
fn a_host_that_nobody_answers_for_is_given_up_in_time() {
    let (listener, _waiting) = unanswering();
    let agent = TestServer::start(|_| Reply::Silence).agent();
    let host = host(&listener.local_addr().unwrap().to_string());
    let answer = agent.call("test", &put(&host, b""), Duration::from_millis(300));
    let Err(error) = answer else {
        panic!("an answer")
    };
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert!(
        Chain(&error)
            .to_string()
            .contains("no connection was made in time")
    );
}

#[test]
fn redirects_are_answers_and_not_followed() {
    let server = TestServer::start(|_| {
        Reply::Raw(b"HTTP/1.1 307 X\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    let answer = call(&server.agent(), &server.host);
    assert_eq!(answer.unwrap().status, 307);
    assert_eq!(server.requests().len(), 1);
}

/// Answers as soon as it has read the head of a request, and closes upon what it did not read.
fn early(answer: &'static [u8]) -> TestServer {
    TestServer::unread(move |_| Reply::Raw(answer.to_vec()))
}

#[test]
fn a_server_that_refuses_a_large_body_before_its_end_is_heard() {
    for answer in [
        &b"HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig"[..],
        b"HTTP/1.1 413 X\r\n\r\nbig",
        // The rest of its explanation is lost with the connection.
        b"HTTP/1.1 413 X\r\nContent-Length: 3000\r\n\r\nbig",
    ] {
        let server = early(answer);
        let answer = transfer_of_much(&server.agent(), server.host.clone());
        let answer = answer.join().unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (413, &b"big"[..]));
    }
}

#[test]
fn a_success_before_the_end_of_the_body_is_none() {
    let server = early(b"HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n");
    let answer = transfer_of_much(&server.agent(), server.host.clone());
    let Err(error) = answer.join().unwrap() else {
        panic!("taken for an upload");
    };
    assert!(
        matches!(error, Error::Protocol { .. } | Error::Network { .. }),
        "{error:?}"
    );
}

#[test]
fn an_answer_that_trickles_ends_with_the_time_limit() {
    // A head of 2.5 s, so that the limit ends the body: it is one for both.
    let server = TestServer::start(|_| {
        let head = format!("HTTP/1.1 200 X\r\nA: {}\r\n\r\n", "a".repeat(29));
        Reply::Trickle(head.into_bytes().repeat(4))
    });
    let host = host(&server.host);
    let limit = Duration::from_secs(3);
    let start = Instant::now();
    let answer = server.agent().call("test", &put(&host, b""), limit);
    assert!(matches!(answer, Err(Error::Network { .. })));
    assert!((limit..limit * 3 / 2).contains(&start.elapsed()));
}

#[test]
fn an_answer_to_the_end_of_the_connection_needs_a_declared_end() {
    let answer = |reply: fn(Vec<u8>) -> Reply| {
        let server = TestServer::start(move |_| reply(b"HTTP/1.1 200 X\r\n\r\nwhole".to_vec()));
        call(&server.agent(), &server.host)
    };
    assert_eq!(answer(Reply::Raw).unwrap().body, b"whole");
    // Without TLS's goodbye anybody can have ended the connection.
    assert!(matches!(answer(Reply::Cut), Err(Error::Protocol { .. })));
}

#[test]
fn an_answer_that_says_its_length_needs_no_declared_end() {
    let raw = b"HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nwhole";
    let server = TestServer::start(|_| Reply::Cut(raw.to_vec()));
    assert_eq!(call(&server.agent(), &server.host).unwrap().body, b"whole");
}

#[test]
fn a_large_body_arrives_whole() {
    let server = TestServer::start(|request| Reply::Json(200, request.body.len().to_string()));
    let answer = transfer_of_much(&server.agent(), server.host.clone());
    assert_eq!(
        answer.join().unwrap().unwrap().body,
        (8 << 20).to_string().as_bytes()
    );
    assert!(server.requests()[0].body.iter().all(|byte| *byte == 0));
}

#[test]
fn an_unknown_name_is_a_failure_of_the_network() {
    let agent = TestServer::start(|_| Reply::Silence).agent();
    let answer = call(&agent, "no-such-host.invalid");
    assert!(matches!(answer, Err(Error::Network { .. })));
}

#[test]
fn an_untrusted_certificate_is_explained() {
    let server = TestServer::start(|_| Reply::Silence);
    let stranger = TestServer::start(|_| Reply::Silence);
    assert_explained(server.agent(), &stranger, "does not trust");
}

#[test]
fn certificates_out_of_their_time_or_for_another_name_are_explained() {
    let server = |names: &[&str], from: i32, until: i32| {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        TestServer::with_certificate(&params.self_signed(&key).unwrap(), &key, |_| Reply::Silence)
    };
    let expired = server(&["127.0.0.1"], 2000, 2001);
    assert_explained(
        expired.agent(),
        &expired,
        "has expired (on 2001-01-01T00:00:00Z), or this machine's clock",
    );
    let early = server(&["127.0.0.1"], 2500, 2501);
    assert_explained(early.agent(), &early, "not valid yet");
    let other = server(&["hub.example"], 2000, 2500);
    assert_explained(other.agent(), &other, "another host name");
}

fn assert_explained(agent: Agent, server: &TestServer, words: &str) {
    let Err(error) = call(&agent, &server.host) else {
        panic!("trusted");
    };
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(
        Chain(&error).to_string().contains(words),
        "{}",
        Chain(&error)
    );
}

#[test]
fn a_refused_connection_is_a_failure_of_the_network() {
    let server = TestServer::start(|_| Reply::Silence);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let answer = call(&server.agent(), &address);
    assert!(matches!(answer, Err(Error::Network { .. })));
}
