//! The embedded Platform as the server that an HTTP test talks to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use spotflow_emulator::{Platform, RawAnswer, Route};

use super::agent::Agent;
use super::instance::Instance;
use super::request::HTTPS_PORT;
use crate::clock::SystemClock;
use crate::net::dial::Dialer;
use crate::net::host::Host;
use crate::net::proxy::Proxies;
use crate::net::trust::Trust;

/// What `Peer::json` says that the time is.
pub(super) const DATE: &str = "Sun, 22 Nov 2026 12:00:00 GMT";
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it went over the wire, without TLS.
pub(super) struct Sent {
    pub head: String,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(super) struct Peer {
    pub platform: Platform,
}

impl Peer {
    pub fn start() -> Peer {
        let platform = Platform::builder().record_traffic(true).start().unwrap();
        Peer { platform }
    }

    /// One that answers every request with these bytes, then ends the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Peer {
        Peer::answering(RawAnswer::new(bytes))
    }

    /// One that answers every request so.
    pub fn answering(answer: RawAnswer) -> Peer {
        let peer = Peer::start();
        peer.platform.http_raw(Route::Any, answer, u64::MAX);
        peer
    }

    /// One that answers every request with this status and JSON.
    pub fn json(status: u16, body: &str) -> Peer {
        Peer::answering(json(status, body))
    }

    /// One that answers none.
    pub fn silent() -> Peer {
        let peer = Peer::start();
        peer.platform.http_hang(Route::Any, true);
        peer
    }

    /// A client that trusts it.
    pub fn agent(&self) -> Agent {
        let trust = Trust::load(Some(self.platform.ca_file()), Arc::new(SystemClock));
        Agent::new(Dialer::new(Proxies::none()), trust.unwrap())
    }

    pub fn instance(&self) -> Instance {
        Instance::parse(&self.platform.instance()).unwrap()
    }

    pub fn host(&self) -> Host {
        Host::parse(&self.platform.instance(), HTTPS_PORT).unwrap()
    }

    /// What arrived, a connection each.
    pub fn requests(&self) -> Vec<Sent> {
        let split = |bytes: Vec<u8>| {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
            Some(Sent {
                head: String::from_utf8(bytes[..end + 4].to_vec()).unwrap(),
                body: bytes[end + 4..].to_vec(),
            })
        };
        let connections = self.platform.traffic().into_iter();
        connections
            .filter_map(|connection| split(connection.from_device))
            .collect()
    }

    /// The last that arrived.
    pub fn request(&self) -> Sent {
        self.requests().pop().expect("a request")
    }
}

/// An answer of the Platform's kind.
pub(super) fn json(status: u16, body: &str) -> RawAnswer {
    let kind = match status {
        400.. => "problem+json",
        _ => "json",
    };
    let length = body.len();
    RawAnswer::new(format!(
        "HTTP/1.1 {status} X\r\nDate: {DATE}\r\nContent-Type: application/{kind}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ))
}
