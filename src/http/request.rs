//! A request over HTTPS: no other is ever made.

use std::borrow::Cow;
use std::fmt;

use ureq::http;
use ureq::http::header::{CONNECTION, HeaderValue};

pub(crate) use crate::net::host::HTTPS_PORT;
use crate::net::host::Host;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Post,
    Put,
}

/// What is asked of a host.
pub(crate) struct Request<'a> {
    pub method: Method,
    pub host: &'a Host,
    /// Path and query, percent-encoded.
    pub target: Cow<'a, str>,
    /// Beside those that every request has.
    pub headers: &'a [(&'static str, &'a str)],
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// For ureq; nothing if a part of it would be read as something else.
    pub fn build(&self) -> Option<http::Request<&'a [u8]>> {
        let method = match self.method {
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
        };
        let uri = format!("https://{}{}", self.host.authority(HTTPS_PORT), self.target);
        // A connection for each request: idle ones would cost a gateway's mobile link more than a
        // handshake.
        let mut request = http::Request::builder()
            .method(method)
            .uri(uri)
            .header(CONNECTION, "close");
        for (name, value) in self.headers {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(*name == "authorization");
            request = request.header(*name, value);
        }
        let request = request.body(self.body).ok()?;
        self.is_safe().then_some(request)
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

    fn build(target: &str, value: &str) -> Option<http::Request<()>> {
        let host = Host::parse("hub.example:8443", HTTPS_PORT).unwrap();
        let request = Request {
            method: Method::Put,
            host: &host,
            target: target.into(),
            headers: &[("authorization", value)],
            body: b"{}",
        };
        assert!(!format!("{request:?}").contains("hunter2"));
        request.build().map(|request| request.map(drop))
    }

    #[test]
    fn a_request_is_for_its_host_and_ends_its_connection() {
        let request = build("/a?sig=hunter2", "DeviceToken hunter2").unwrap();
        assert_eq!(request.method(), "PUT");
        assert_eq!(request.uri(), "https://hub.example:8443/a?sig=hunter2");
        assert_eq!(request.headers()["authorization"], "DeviceToken hunter2");
        assert_eq!(request.headers()["connection"], "close");
        assert!(!format!("{:?}", request.headers()).contains("hunter2"));
    }

    #[test]
    fn what_would_split_the_request_is_not_sent() {
        for target in ["", "a", "/a b", "/a\r\nx: y", "/\u{e4}", "/a\n"] {
            assert!(build(target, "value").is_none(), "{target:?}");
        }
        for value in ["a\r\nx: y", "a\n", "\0", "\u{e4}", "a\tb"] {
            assert!(build("/", value).is_none(), "{value:?}");
        }
    }
}
