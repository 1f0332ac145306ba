//! What answers mean, without connections: ureq's parser over bytes that come cut anywhere.

use std::collections::VecDeque;
use std::sync::Arc;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::*;
use crate::http::error::{AnswerError, HttpError};
use crate::http::transport::{CallBuffers, Course};
use crate::sync::Mutex;

/// Connects to an answer that comes in these parts, after which the peer declares the end.
#[derive(Debug)]
struct Script {
    parts: Mutex<Vec<Vec<u8>>>,
}

impl Connector for Script {
    type Out = Scripted;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Scripted>, ureq::Error> {
        Ok(Some(Scripted {
            buffers: CallBuffers::default(),
            parts: std::mem::take(&mut *self.parts.lock()).into(),
        }))
    }
}

#[derive(Debug)]
struct Scripted {
    buffers: CallBuffers,
    parts: VecDeque<Vec<u8>>,
}

impl Transport for Scripted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let part = self.parts.pop_front();
        if let Some(part) = &part {
            self.buffers.receive(part);
        }
        Ok(part.is_some())
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// The answer that comes in these parts; `None`: it is none.
fn read_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Option<Answer> {
    let parts = parts.into_iter().map(<[u8]>::to_vec).collect();
    let script = Script {
        parts: Mutex::new(parts),
    };
    let agent = ureq::Agent::with_parts(config(Limits::default()), script, NoResolver);
    let host = host("hub.example");
    let response = agent.run(put(&host, b"{}").build().unwrap()).ok()?;
    read(response, &Arc::<Course>::default()).ok()
}

fn whole(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    read_parts([answer]).map(|answer| (answer.status, answer.body))
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";

/// Answers and what they say.
fn good() -> Vec<(Vec<u8>, u16, Vec<u8>)> {
    let text = |answer: &str, status, body: &str| (answer.into(), status, body.into());
    let large = "x".repeat(BODY_BYTES_MAX);
    vec![
        text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}"),
        text("HTTP/1.1 200\r\ncontent-length:2 \r\n\r\n{}more", 200, "{}"),
        text("HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end"),
        text("HTTP/1.1 404 \r\n\r\n", 404, ""),
        text("HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nnever", 204, ""),
        text(
            "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n",
            304,
            "",
        ),
        text(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: a\r\n\r\n\
             HTTP/1.1 201 X\r\nContent-Length: 1\r\n\r\na",
            201,
            "a",
        ),
        text(
            &format!("{CHUNKED}3\r\nabc\r\nA ;x=y\r\n0123456789\r\n0\r\n\r\n"),
            200,
            "abc0123456789",
        ),
        text(
            &format!("{CHUNKED}1\r\na\r\n00\r\nA: trailer\r\n\r\nHTTP/1.1"),
            200,
            "a",
        ),
        text(
            &format!("HTTP/1.1 200 X\r\nContent-Length: {BODY_BYTES_MAX}\r\n\r\n{large}"),
            200,
            &large,
        ),
    ]
}

/// Answers that are none.
fn bad() -> Vec<Vec<u8>> {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{{}}");
    let too_large = "x".repeat(BODY_BYTES_MAX + 1);
    let texts = [
        "".to_owned(),
        "HTTP/1.1 200 OK\r\nA: b\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}".to_owned(),
        format!("{CHUNKED}3\r\nab"),
        format!("{CHUNKED}3\r\nabc\r\n"),
        "<html>\r\n\r\n".to_owned(),
        "HTTP/2 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 2000 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 099 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_owned(),
        head("Content-Length: -1"),
        head("Content-Length: +2"),
        head("Content-Length: 0x2"),
        head("Content-Length:"),
        head("Content-Length: 2\r\ncontent-length: 3"),
        head("Content-Length: 2\r\nTransfer-Encoding: chunked"),
        head("Transfer-Encoding: gzip, chunked"),
        format!("{CHUNKED}zz\r\n"),
        format!("{CHUNKED}-1\r\n"),
        format!("{CHUNKED}\r\n"),
        format!("{CHUNKED}1\na\r\n0\r\n\r\n"),
        format!("{CHUNKED}1\r\nab\r\n0\r\n\r\n"),
        format!("{CHUNKED}FFFFFFFFFFFFFFFFFFFFFF\r\n"),
        head("Content-Length: 99999999999999999999999"),
        head(&format!("Content-Length: {}", BODY_BYTES_MAX + 1)),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{too_large}",
            BODY_BYTES_MAX + 1
        ),
        format!("HTTP/1.1 200 OK\r\n\r\n{too_large}"),
        format!(
            "{CHUNKED}{BODY_BYTES_MAX:x}\r\n{}\r\n1\r\na\r\n0\r\n\r\n",
            &too_large[1..]
        ),
        head(&"a: b\r\n".repeat(200)),
        head(&format!("a: {}", "b".repeat(HEAD_BYTES_MAX))),
        "x".repeat(HEAD_BYTES_MAX + 1),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

#[test]
fn answers_are_read_to_their_ends() {
    for (answer, status, body) in good() {
        assert!(
            whole(&answer) == Some((status, body)),
            "{:?}",
            start(&answer)
        );
    }
}

#[test]
fn what_is_no_answer_is_not_read() {
    for answer in bad() {
        assert_eq!(whole(&answer), None, "{:?}", start(&answer));
    }
}

fn start(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).chars().take(150).collect()
}

#[test]
fn the_time_is_the_servers() {
    let time = |date: &str| {
        let answer = format!("HTTP/1.1 200 X\r\n{date}Content-Length: 0\r\n\r\n");
        read_parts([answer.as_bytes()]).unwrap().time
    };
    let noon = ServerTime::from_rfc3339("2026-11-22T12:00:00Z");
    assert_eq!(time("date: Sun, 22 Nov 2026 12:00:00 GMT\r\n"), noon);
    assert_eq!(time("date: yesterday\r\n"), None);
    assert_eq!(time(""), None);
}

#[test]
fn it_does_not_matter_where_an_answer_is_cut() {
    let all = good().into_iter().map(|(answer, ..)| answer).chain(bad());
    for answer in all.filter(|answer| answer.len() < 5_000) {
        let in_bytes = read_parts(answer.chunks(1)).map(|answer| (answer.status, answer.body));
        assert!(in_bytes == whole(&answer), "{:?}", start(&answer));
    }
}

#[test]
fn damaged_answers_are_read_alike_wherever_they_are_cut() {
    const CASES: usize = 20_000;
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    let all: Vec<_> = good()
        .into_iter()
        .map(|(answer, ..)| answer)
        .filter(|answer| answer.len() < 500)
        .collect();
    for _ in 0..CASES {
        let mut answer = all[random.usize(..all.len())].clone();
        for _ in 0..random.usize(..4) {
            if answer.is_empty() {
                break;
            }
            let at = random.usize(..answer.len());
            match random.u8(..4) {
                0 => answer[at] = random.u8(..),
                1 => drop(answer.remove(at)),
                2 => answer.insert(at, *random.choice(b"\r\n0:; a-").unwrap()),
                _ => answer.truncate(at + 1),
            }
        }
        let mut parts = Vec::new();
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let (part, others) = rest.split_at(random.usize(1..=rest.len().min(20)));
            parts.push(part);
            rest = others;
        }
        let in_parts = read_parts(parts.iter().copied()).map(|it| (it.status, it.body));
        assert_eq!(
            in_parts,
            whole(&answer),
            "{:?} in {parts:?}",
            start(&answer)
        );
    }
}

#[test]
fn what_ureq_says_is_told_in_our_words() {
    let told = |error: ureq::Error| HttpError::from(error);
    let late = told(ureq::Error::Timeout(ureq::Timeout::RecvResponse));
    assert!(matches!(late, HttpError::Late(_)), "{late:?}");
    let large = told(ureq::Error::LargeResponseHeader(2, 1));
    assert!(matches!(large, HttpError::Answer(AnswerError::TooLarge)));
    let uri = told(ureq::Error::BadUri("https://hunter2".into()));
    assert!(matches!(uri, HttpError::Unmade));
}
