//! Answers that nobody should give.

use spotflow_emulator::RawAnswer;

fn ok(rest: &str) -> RawAnswer {
    RawAnswer::new(format!("HTTP/1.1 200 OK\r\n{rest}"))
}

fn body(body: &str) -> RawAnswer {
    let length = body.len();
    ok(&format!("Content-Length: {length}\r\n\r\n{body}"))
}

/// An answer in the Platform's place, as captive portals and intercepting proxies give.
pub fn page(status: u16) -> RawAnswer {
    RawAnswer::new(format!(
        "HTTP/1.1 {status} X\r\nContent-Type: text/html; charset=utf-8\r\nLocation: https://portal.example/\r\n\
         Content-Length: 19\r\n\r\n<html>log in</html>"
    ))
}

/// What is no answer, by what is wrong with it.
pub fn broken_http() -> Vec<(&'static str, RawAnswer)> {
    let chunked = |chunks: &str| ok(&format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"));
    let large = "x".repeat(70_000);
    vec![
        ("nothing", RawAnswer::new("")),
        ("nothing, and a reset", RawAnswer::new("").reset()),
        ("no HTTP", RawAnswer::new("SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        ("HTTP/2", RawAnswer::new("HTTP/2 200 OK\r\n\r\n{}")),
        ("another protocol", RawAnswer::new("HTTP/1.1 101 X\r\n\r\n")),
        (
            "informational only",
            RawAnswer::new("HTTP/1.1 100 X\r\n\r\n"),
        ),
        (
            "a redirection",
            RawAnswer::new("HTTP/1.1 307 X\r\nLocation: https://a/\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            "a cut head",
            RawAnswer::new("HTTP/1.1 200 OK\r\nContent-").cut(),
        ),
        (
            "a reset in the head",
            RawAnswer::new("HTTP/1.1 200 OK\r\nContent-").reset(),
        ),
        ("a head too large", ok(&format!("a: {large}\r\n\r\n{{}}"))),
        (
            "a head without end",
            ok(&format!("a: {large}")).then_silence(),
        ),
        (
            "too many headers",
            ok(&format!("{}\r\n{{}}", "a: b\r\n".repeat(200))),
        ),
        ("a cut body", ok("Content-Length: 99\r\n\r\n{\"a\"").cut()),
        ("a truncated body", ok("Content-Length: 99\r\n\r\n{\"a\"")),
        (
            "a reset in the body",
            ok("Content-Length: 99\r\n\r\n{\"a\"").reset(),
        ),
        ("a cut where the connection is the end", ok("\r\n{}").cut()),
        ("a body too large", body(&large)),
        (
            "a body without end",
            ok(&format!("\r\n{large}")).then_silence(),
        ),
        ("a negative length", ok("Content-Length: -1\r\n\r\n{}")),
        (
            "two lengths",
            ok("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        ),
        (
            "two framings",
            ok("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
        ),
        ("a bad size of a chunk", chunked("-2\r\n{}\r\n0\r\n\r\n")),
        ("a huge chunk", chunked("ffffffffffffffff\r\n{}")),
        ("a cut chunk", chunked("9\r\n{}").cut()),
    ]
}

/// Answers without the JSON that a call needs.
pub fn broken_json() -> Vec<(&'static str, RawAnswer)> {
    vec![
        ("no content", RawAnswer::new("HTTP/1.1 204 X\r\n\r\n")),
        ("an empty body", body("")),
        ("malformed JSON", body("{\"registrationToken\": \"")),
        (
            "bytes",
            RawAnswer::new(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\x80"),
        ),
        ("null", body("null")),
        ("a list", body("[]")),
        ("no fields", body("{}")),
        (
            "fields of other types",
            body(
                r#"{"registrationToken": 1, "connectionString": [], "provisioningOperationId": {}}"#,
            ),
        ),
        (
            "a page",
            ok("Content-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"),
        ),
    ]
}
