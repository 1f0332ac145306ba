//! Calls over real connections: what ends them, and what they say of it. What answers mean: `answers.rs`.

use std::io::Read;
use std::net::TcpListener;
use std::thread;
use std::time::{Instant, SystemTime};

use spotflow_emulator::{RawAnswer, Route, ServerCertificate};

use super::*;
use crate::Error;
use crate::error::Chain;
use crate::http::peer::{PATIENCE, Peer};
use crate::http::request::{HTTPS_PORT, Method};
#[cfg(target_os = "linux")]
use crate::net::dial::tests::unanswering;
use crate::net::host::Host;
use crate::net::uplink::Uplink;

mod answers;

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

fn call(agent: &Agent, host: &Host) -> Result<Answer> {
    agent.call("test", &put(host, b""), CallLimits::within(CALL_TIMEOUT))
}

fn error_of(answer: Result<Answer>) -> Error {
    match answer {
        Ok(answer) => panic!("an answer, {}", answer.status),
        Err(error) => error,
    }
}

#[test]
fn a_request_has_all_that_its_head_needs() {
    let peer = Peer::raw("HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n");
    let request = Request {
        method: Method::Post,
        host: &peer.host(),
        target: "/a/b?c=d%20e".into(),
        headers: &[("authorization", "DeviceToken hunter2"), ("accept", "x/y")],
        body: b"{}",
    };
    let answer = peer
        .agent()
        .call("test", &request, CallLimits::within(CALL_TIMEOUT));
    assert_eq!(answer.unwrap().status, 200);
    let sent = peer.request();
    let mut lines: Vec<&str> = sent.head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /a/b?c=d%20e HTTP/1.1");
    lines.sort();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        "accept: x/y".to_owned(),
        "authorization: DeviceToken hunter2".to_owned(),
        "connection: close".to_owned(),
        "content-length: 2".to_owned(),
        format!("host: {}", peer.platform.instance()),
        format!("user-agent: spotflow-device-rust/{version}"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(sent.body, b"{}");
}

#[test]
fn cancelling_ends_a_request_in_flight_and_all_later_ones() {
    let peer = Peer::silent();
    let agent = peer.agent();
    let (worker, host) = (agent.clone(), peer.host());
    let start = Instant::now();
    let worker = thread::spawn(move || call(&worker, &host).map(drop));
    peer.platform
        .wait_for_request(Route::Any, 1, PATIENCE)
        .unwrap();
    agent.cancel();
    assert!(matches!(worker.join().unwrap(), Err(Error::Closed)));
    let later = call(&agent, &peer.host());
    assert!(matches!(later, Err(Error::Closed)));
    assert!(start.elapsed() < STEP_TIMEOUT);
}

#[test]
fn cancelling_ends_a_call_whose_answer_stops_halfway() {
    let half = "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhalf";
    let peer = Peer::answering(RawAnswer::new(half).then_silence());
    let agent = peer.agent();
    let (worker, host) = (agent.clone(), peer.host());
    let start = Instant::now();
    let worker = thread::spawn(move || call(&worker, &host).map(drop));
    peer.platform
        .wait_for_request(Route::Any, 1, PATIENCE)
        .unwrap();
    agent.cancel();
    assert!(matches!(worker.join().unwrap(), Err(Error::Closed)));
    assert!(start.elapsed() < STEP_TIMEOUT);
}

fn transfer_of_much(agent: &Agent, host: Host) -> thread::JoinHandle<Result<Answer>> {
    let agent = agent.clone();
    thread::spawn(move || {
        let content = vec![0; 8 << 20];
        agent.transfer("test", &put(&host, &content))
    })
}

#[test]
fn cancelling_ends_a_transfer_that_has_stalled() {
    // Accepts and never reads, so that the transfer is stuck in its handshake.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = Peer::start().agent();
    let worker = transfer_of_much(&agent, host(&listener.local_addr().unwrap().to_string()));
    let (mut socket, _) = listener.accept().unwrap();
    socket.read_exact(&mut [0]).unwrap();
    agent.cancel();
    assert!(matches!(worker.join().unwrap(), Err(Error::Closed)));
}

#[cfg(target_os = "linux")]
#[test]
fn cancelling_ends_a_connect_that_nobody_answers() {
    let (listener, _waiting) = unanswering();
    let agent = Peer::start().agent();
    let start = Instant::now();
    let worker = transfer_of_much(&agent, host(&listener.local_addr().unwrap().to_string()));
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
    let agent = Peer::start().agent();
    let host = host(&listener.local_addr().unwrap().to_string());
    let answer = agent.call(
        "test",
        &put(&host, b""),
        CallLimits::within(Duration::from_millis(300)),
    );
    let error = error_of(answer);
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert!(
        Chain(&error)
            .to_string()
            .contains("no connection was made in time")
    );
}

/// The limits, in seconds, of a call after so many of an outage: for the whole, a step, and the answer.
fn seconds_after(outage: u64) -> [u64; 3] {
    let limits = CallLimits {
        outage: Some(Duration::from_secs(outage)),
        ..CallLimits::within(CALL_TIMEOUT)
    };
    let limits = limits.of_steps();
    [limits.whole, limits.step, limits.head].map(|limit| limit.unwrap().as_secs())
}

#[test]
fn the_longer_an_outage_lasts_the_longer_a_call_may_take_and_the_silence_in_it_only_so_long() {
    let usual = CallLimits::within(CALL_TIMEOUT).of_steps();
    assert_eq!(
        (usual.step, usual.head),
        (Some(STEP_TIMEOUT), Some(STEP_TIMEOUT))
    );
    let after = [0, 8, 20, 30, 60, 100, 3600].map(seconds_after);
    let expected = [
        [30, 10, 5],
        [30, 10, 5],
        [30, 10, 10],
        [30, 10, 10],
        [30, 20, 20],
        [50, 20, 20],
        [120, 20, 20],
    ];
    assert_eq!(after, expected);
}

#[test]
fn redirects_are_answers_and_not_followed() {
    let peer = Peer::raw("HTTP/1.1 307 X\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n");
    let answer = call(&peer.agent(), &peer.host());
    assert_eq!(answer.unwrap().status, 307);
    assert_eq!(peer.requests().len(), 1);
}

/// Answers as soon as it has read the head of a request, and closes upon what it did not read.
fn early(answer: &str) -> Peer {
    Peer::answering(RawAnswer::new(answer).early())
}

#[test]
fn a_server_that_refuses_a_large_body_before_its_end_is_heard() {
    for answer in [
        "HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig",
        "HTTP/1.1 413 X\r\n\r\nbig",
        // The rest of its explanation is lost with the connection.
        "HTTP/1.1 413 X\r\nContent-Length: 3000\r\n\r\nbig",
    ] {
        let peer = early(answer);
        let answer = transfer_of_much(&peer.agent(), peer.host());
        let answer = answer.join().unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (413, &b"big"[..]));
    }
}

#[test]
fn a_server_that_refuses_a_large_body_and_leaves_the_connection_open_gets_no_more_of_it() {
    let answer = "HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig";
    let peer = Peer::answering(RawAnswer::new(answer).early().then_silence());
    let answer = transfer_of_much(&peer.agent(), peer.host());
    assert_eq!(answer.join().unwrap().unwrap().status, 413);
}

#[test]
fn a_success_before_the_end_of_the_body_is_none() {
    let peer = early("HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n");
    let error = error_of(transfer_of_much(&peer.agent(), peer.host()).join().unwrap());
    assert!(
        matches!(error, Error::Protocol { .. } | Error::Network { .. }),
        "{error:?}"
    );
}

#[test]
fn an_answer_that_trickles_ends_with_the_time_limit() {
    // A head of 2.5 s, so that the limit ends the body: it is one for both.
    let head = format!("HTTP/1.1 200 X\r\nA: {}\r\n\r\n", "a".repeat(29));
    let answer = RawAnswer::new(head.repeat(4)).trickling(Duration::from_millis(50));
    let peer = Peer::answering(answer);
    let limit = Duration::from_secs(3);
    let start = Instant::now();
    let answer = peer
        .agent()
        .call("test", &put(&peer.host(), b""), CallLimits::within(limit));
    assert!(matches!(answer, Err(Error::Network { .. })));
    assert!((limit..limit * 3 / 2).contains(&start.elapsed()));
}

#[test]
fn an_answer_to_the_end_of_the_connection_needs_a_declared_end() {
    let whole = RawAnswer::new("HTTP/1.1 200 X\r\n\r\nwhole");
    let peer = Peer::answering(whole.clone());
    let answer = call(&peer.agent(), &peer.host());
    assert_eq!(answer.unwrap().body, b"whole");
    // Without TLS's goodbye anybody can have ended the connection.
    let peer = Peer::answering(whole.cut());
    let error = error_of(call(&peer.agent(), &peer.host()));
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[test]
fn an_answer_that_says_its_length_needs_no_declared_end() {
    let whole = RawAnswer::new("HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nwhole");
    let peer = Peer::answering(whole.cut());
    let answer = call(&peer.agent(), &peer.host());
    assert_eq!(answer.unwrap().body, b"whole");
}

#[test]
fn a_large_body_arrives_whole() {
    let peer = Peer::raw("HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n");
    let content: Vec<u8> = (0..8_u32 << 20).map(|i| (i % 251) as u8).collect();
    let answer = peer
        .agent()
        .transfer("test", &put(&peer.host(), &content))
        .unwrap();
    assert_eq!(answer.status, 201);
    assert!(peer.request().body == content);
}

#[test]
fn while_much_is_sent_the_way_out_is_busy() {
    let peer = Peer::silent();
    let agent = peer.agent();
    let uplink = Arc::clone(&agent.dialer.uplink);
    let sending = transfer_of_much(&agent, peer.host());
    let deadline = Instant::now() + PATIENCE;
    while !uplink.is_busy() {
        assert!(Instant::now() < deadline, "the transfer has begun");
        thread::yield_now();
    }
    agent.cancel();
    assert!(sending.join().unwrap().is_err());
    assert!(!uplink.is_busy(), "it has ended");
}

#[test]
fn while_content_is_read_and_sent_the_way_out_is_busy() {
    /// Content that notes whether it is.
    struct Content<'a> {
        uplink: &'a Uplink,
        was_busy: bool,
    }

    impl Read for Content<'_> {
        fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
            self.was_busy = self.uplink.is_busy();
            part.fill(7);
            Ok(part.len())
        }
    }

    let peer = Peer::raw("HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n");
    let agent = peer.agent();
    let mut content = Content {
        uplink: &agent.dialer.uplink,
        was_busy: false,
    };
    let body = StreamedBody {
        bytes: 10,
        reader: &mut content,
    };
    let answer = agent.transfer_from("test", &put(&peer.host(), b""), body);
    assert_eq!(answer.unwrap().status, 201);
    assert!(content.was_busy);
    assert!(!agent.dialer.uplink.is_busy(), "it has ended");
}

#[test]
fn an_unknown_name_is_a_failure_of_the_network() {
    let answer = call(&Peer::start().agent(), &host("no-such-host.invalid"));
    assert!(matches!(answer, Err(Error::Network { .. })));
}

#[test]
fn certificates_that_are_not_in_order_are_explained() {
    let next_year = SystemTime::now() + Duration::from_secs(365 * 86_400);
    for (certificate, words) in [
        (
            ServerCertificate::Expired,
            "has expired (on 2020-01-01T00:00:00Z), or this machine's clock",
        ),
        (ServerCertificate::ValidFrom(next_year), "not valid yet"),
        (ServerCertificate::OtherName, "another host name"),
        (ServerCertificate::UnknownAuthority, "does not trust"),
        (ServerCertificate::SelfSigned, "does not trust"),
    ] {
        let peer = Peer::start();
        peer.platform.present_certificate(certificate).unwrap();
        let error = error_of(call(&peer.agent(), &peer.host()));
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        let text = Chain(&error).to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_refused_connection_is_a_failure_of_the_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let answer = call(&Peer::start().agent(), &host(&address));
    assert!(matches!(answer, Err(Error::Network { .. })));
}
