use super::*;
use crate::http::body::BODY_BYTES_MAX;

/// Status and body of an answer that comes in these parts, after which the peer declares the end.
fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(u16, Vec<u8>), AnswerError> {
    let mut reader = AnswerReader::default();
    for part in parts {
        reader.receive(part)?;
    }
    reader.end(true)?;
    let answer = reader.take().expect("an answer that is over is complete");
    Ok((answer.status, answer.body))
}

fn whole(answer: &[u8]) -> Result<(u16, Vec<u8>), AnswerError> {
    read([answer])
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

/// Answers that are none, and why.
fn bad() -> Vec<(Vec<u8>, AnswerError)> {
    use AnswerError::{CutShort, Framing, NotHttp, TooLarge};
    let text = |answer: &str, error| (answer.as_bytes().to_vec(), error);
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{{}}");
    let too_large = "x".repeat(BODY_BYTES_MAX + 1);
    vec![
        text("", CutShort),
        text("HTTP/1.1 200 OK\r\nA: b\r\n", CutShort),
        text("HTTP/1.1 100 Continue\r\n\r\n", CutShort),
        text("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", CutShort),
        text(&format!("{CHUNKED}3\r\nab"), CutShort),
        text(&format!("{CHUNKED}3\r\nabc\r\n"), CutShort),
        text(&format!("{CHUNKED}0\r\n"), CutShort),
        text("<html>\r\n\r\n", NotHttp),
        text("HTTP/2 200 OK\r\n\r\n", NotHttp),
        text("HTTP/1.1 2000 OK\r\n\r\n", NotHttp),
        text("HTTP/1.1 099 OK\r\n\r\n", NotHttp),
        text("HTTP/1.1 700 OK\r\n\r\n", NotHttp),
        text("HTTP/1.1 101 Switching\r\n\r\n", NotHttp),
        text("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", NotHttp),
        text(&head("Content-Length: -1"), Framing),
        text(&head("Content-Length: +2"), Framing),
        text(&head("Content-Length: 2, 2"), Framing),
        text(&head("Content-Length: 0x2"), Framing),
        text(&head("Content-Length:"), Framing),
        text(&head("Content-Length: 2\r\ncontent-length: 2"), Framing),
        text(
            &head("Content-Length: 2\r\nTransfer-Encoding: chunked"),
            Framing,
        ),
        text(&head("Transfer-Encoding: gzip, chunked"), Framing),
        text(
            &head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            Framing,
        ),
        text(&head("Transfer-Encoding: identity"), Framing),
        text(
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Framing,
        ),
        text(&format!("{CHUNKED}zz\r\n"), Framing),
        text(&format!("{CHUNKED}-1\r\n"), Framing),
        text(&format!("{CHUNKED}\r\n"), Framing),
        text(&format!("{CHUNKED}1\na\r\n0\r\n\r\n"), Framing),
        text(&format!("{CHUNKED}1\r\nab\r\n0\r\n\r\n"), Framing),
        text(&format!("{CHUNKED}FFFFFFFFFFFFFFFFFFFFFF\r\n"), TooLarge),
        text(&head("Content-Length: 99999999999999999999999"), TooLarge),
        text(
            &head(&format!("Content-Length: {}", BODY_BYTES_MAX + 1)),
            TooLarge,
        ),
        text(&format!("HTTP/1.1 200 OK\r\n\r\n{too_large}"), TooLarge),
        text(
            &format!(
                "{CHUNKED}{BODY_BYTES_MAX:x}\r\n{}1\r\na",
                &too_large[1..].replace('x', "y")
            ),
            Framing,
        ),
        text(
            &format!("{CHUNKED}{}", "1\r\na\r\n".repeat(BODY_BYTES_MAX)),
            TooLarge,
        ),
        text(&format!("{CHUNKED}1;{too_large}"), TooLarge),
        text(
            &format!("{CHUNKED}0\r\n{}", "a: b\r\n".repeat(20_000)),
            TooLarge,
        ),
        text(&head(&"a: b\r\n".repeat(HEADERS_MAX + 1)), TooLarge),
        text(
            &head(&format!("a: {}", "b".repeat(HEAD_BYTES_MAX))),
            TooLarge,
        ),
        text(
            &"HTTP/1.1 100 Continue\r\n\r\n".repeat(HEAD_BYTES_MAX),
            TooLarge,
        ),
        text(&"x".repeat(HEAD_BYTES_MAX + 1), TooLarge),
    ]
}

#[test]
fn answers_are_read_to_their_ends() {
    for (answer, status, body) in good() {
        let read = whole(&answer);
        assert!(read == Ok((status, body)), "{:?}", start(&answer));
    }
}

#[test]
fn what_is_wrong_with_an_answer_is_told() {
    for (answer, error) in bad() {
        assert_eq!(whole(&answer), Err(error), "{:?}", start(&answer));
    }
}

fn start(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).chars().take(150).collect()
}

#[test]
fn the_time_is_the_servers() {
    let mut reader = AnswerReader::default();
    let answer =
        b"HTTP/1.1 200 X\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
    reader.receive(answer).unwrap();
    let time = reader.take().unwrap().time;
    assert_eq!(time, ServerTime::from_rfc3339("2026-11-22T12:00:00Z"));
}

#[test]
fn an_end_that_anybody_can_have_made_completes_only_what_says_its_length() {
    let end = |answer: &[u8]| {
        let mut reader = AnswerReader::default();
        reader.receive(answer).unwrap();
        reader.end(false)
    };
    assert_eq!(end(b"HTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\na"), Ok(()));
    assert_eq!(end(b"HTTP/1.1 200 X\r\n\r\na"), Err(AnswerError::CutShort));
}

#[test]
fn it_does_not_matter_where_an_answer_is_cut() {
    let all = good().into_iter().map(|(answer, ..)| answer);
    for answer in all.chain(bad().into_iter().map(|(answer, _)| answer)) {
        let expected = whole(&answer);
        let read = read(answer.chunks(1));
        assert!(read == expected, "byte by byte: {:?}", start(&answer));
    }
}

#[test]
fn damaged_answers_are_read_alike_wherever_they_are_cut() {
    const CASES: usize = 20_000;
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let small = |answer: &Vec<u8>| answer.len() < 500;
    let all: Vec<_> = good()
        .into_iter()
        .map(|(answer, ..)| answer)
        .filter(small)
        .collect();
    for _ in 0..CASES {
        let mut answer = all[random.usize(..all.len())].clone();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..answer.len().max(1));
            if answer.is_empty() {
                break;
            }
            match random.u8(..4) {
                0 => answer[at] = random.u8(..),
                1 => drop(answer.remove(at)),
                2 => answer.insert(at, *random.choice(b"\r\n0:; a-").unwrap()),
                _ => answer.truncate(at + 1),
            }
        }
        let expected = whole(&answer);
        let mut parts = Vec::new();
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let (part, others) = rest.split_at(random.usize(1..=rest.len().min(20)));
            parts.push(part);
            rest = others;
        }
        let read = read(parts.iter().copied());
        assert_eq!(read, expected, "{:?} in {parts:?}", start(&answer));
    }
}
