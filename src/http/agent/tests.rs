use super::*;
use crate::error::Chain;
use crate::http::test_server::{Reply, TestServer};
use std::thread;
use std::time::Instant;

fn get(server: &TestServer) -> Request<Vec<u8>> {
    Request::put(format!("https://{}/x", server.host))
        .body(vec![])
        .unwrap()
}

#[test]
fn cancelling_ends_a_request_in_flight_and_all_later_ones() {
    let server = TestServer::start(|_| Reply::Silence);
    let agent = server.agent();
    let (worker, request) = (agent.clone(), get(&server));
    let start = Instant::now();
    let worker = thread::spawn(move || worker.call("test", request, CONTROL_TIMEOUT).map(drop));
    server.arrived.recv().unwrap();
    agent.cancel();
    assert!(matches!(worker.join().unwrap(), Err(Error::Closed)));
    let later = agent.call("test", get(&server), CONTROL_TIMEOUT);
    assert!(matches!(later, Err(Error::Closed)));
    assert!(start.elapsed() < CONTROL_TIMEOUT);
}

#[test]
fn cancelling_ends_a_transfer_that_has_stalled() {
    // Accepts and never reads, so that the transfer is stuck in its handshake or body.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/x", listener.local_addr().unwrap());
    let agent = TestServer::start(|_| Reply::Silence).agent();
    let worker = agent.clone();
    let worker = thread::spawn(move || {
        let content = vec![0; 1 << 20];
        let request = Request::put(url).body(content.as_slice()).unwrap();
        worker.transfer("test", request).map(drop)
    });
    let (mut socket, _) = listener.accept().unwrap();
    std::io::Read::read_exact(&mut socket, &mut [0]).unwrap();
    agent.cancel();
    assert!(matches!(worker.join().unwrap(), Err(Error::Closed)));
}

#[test]
fn redirects_are_answers_and_not_followed() {
    let server = TestServer::start(|_| {
        Reply::Raw(b"HTTP/1.1 307 X\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    let answer = server.agent().call("test", get(&server), CONTROL_TIMEOUT);
    assert_eq!(answer.unwrap().status, 307);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn only_https_is_spoken() {
    let request = Request::put("http://127.0.0.1:1/x").body(vec![]).unwrap();
    let server = TestServer::start(|_| Reply::Silence);
    let answer = server.agent().call("test", request, CONTROL_TIMEOUT);
    assert!(matches!(answer, Err(Error::Protocol { .. })));
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
        "has expired, or this machine's clock",
    );
    let early = server(&["127.0.0.1"], 2500, 2501);
    assert_explained(early.agent(), &early, "not valid yet");
    let other = server(&["hub.example"], 2000, 2500);
    assert_explained(other.agent(), &other, "another host name");
}

fn assert_explained(agent: Agent, server: &TestServer, words: &str) {
    let Err(error) = agent.call("test", get(server), CONTROL_TIMEOUT) else {
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
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/x", listener.local_addr().unwrap());
    drop(listener);
    let request = Request::put(url).body(vec![]).unwrap();
    let answer = server.agent().call("test", request, CONTROL_TIMEOUT);
    assert!(matches!(answer, Err(Error::Network { .. })));
}
