//! A request, and its head as it goes over the wire.

use std::borrow::Cow;
use std::fmt;

pub(crate) use crate::net::host::HTTPS_PORT;
use crate::net::host::Host;

const USER_AGENT: &str = concat!("spotflow-device-rust/", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Post,
    Put,
}

/// A request over HTTPS: no other is ever made.
pub(crate) struct Request<'a> {
    pub method: Method,
    pub host: &'a Host,
    /// Path and query, percent-encoded.
    pub target: Cow<'a, str>,
    /// Beside those that every request has.
    pub headers: &'a [(&'static str, &'a str)],
    pub body: &'a [u8],
}

impl Request<'_> {
    /// What goes before the body; nothing if a part of it would be read as something else.
    pub fn head(&self) -> Option<Vec<u8>> {
        let method = match self.method {
            Method::Post => "POST",
            Method::Put => "PUT",
        };
        let (target, host) = (&self.target, self.host.authority(HTTPS_PORT));
        let length = self.body.len();
        // A connection for each request: idle ones would cost a gateway's mobile link more than a
        // handshake.
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {USER_AGENT}\r\n\
             connection: close\r\ncontent-length: {length}\r\n"
        );
        for (name, value) in self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        self.is_safe().then(|| head.into_bytes())
    }

    fn is_safe(&self) -> bool {
        let is_value = |value: &str| value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        self.target.starts_with('/')
            && self.target.bytes().all(|b| b.is_ascii_graphic())
            && self.headers.iter().all(|(_, value)| is_value(value))
    }
}

/// The target of an upload and most headers are secrets.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", self.host)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, value: &str) -> Option<String> {
        let host = Host::parse("hub.example:8443", HTTPS_PORT).unwrap();
        let request = Request {
            method: Method::Put,
            host: &host,
            target: target.into(),
            headers: &[("authorization", value)],
            body: b"{}",
        };
        assert!(!format!("{request:?}").contains("hunter2"));
        request.head().map(|head| String::from_utf8(head).unwrap())
    }

    #[test]
    fn a_head_names_the_host_the_length_and_the_end_of_the_connection() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            head("/a?sig=hunter2", "DeviceToken hunter2").unwrap(),
            format!(
                "PUT /a?sig=hunter2 HTTP/1.1\r\nhost: hub.example:8443\r\n\
                 user-agent: spotflow-device-rust/{version}\r\nconnection: close\r\n\
                 content-length: 2\r\nauthorization: DeviceToken hunter2\r\n\r\n"
            )
        );
    }

    #[test]
    fn what_would_split_the_request_is_not_sent() {
        for target in ["", "a", "/a b", "/a\r\nx: y", "/\u{e4}", "/a\n"] {
            assert_eq!(head(target, "value"), None, "{target:?}");
        }
        for value in ["a\r\nx: y", "a\n", "\0", "\u{e4}", "a\tb"] {
            assert_eq!(head("/", value), None, "{value:?}");
        }
    }
}
