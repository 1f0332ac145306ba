//! The HTTP side's faults, and the requests that it saw.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Older requests are forgotten.
const REQUESTS_KEPT_MAX: usize = 100_000;

/// An HTTP call of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// `POST /provisioning-operations/init`
    Init,
    /// `PUT /provisioning-operations/complete`
    Complete,
    /// `PUT /devices/register`
    Register,
    /// `PUT /devices/registration-tokens/refresh`
    Refresh,
    /// `POST /devices/{id}/files`: asks for a place to upload to.
    FileUpload,
    /// `PUT /{container}/{blob}`: the upload, as a whole.
    BlobPut,
    /// `PUT /{container}/{blob}?...&comp=block`: a block of it.
    BlockPut,
    /// `PUT /{container}/{blob}?...&comp=blocklist`: the list that makes blocks a blob.
    BlockListPut,
    /// `POST /devices/{id}/files/notifications`: tells how the upload went.
    FileNotification,
    /// `GET /$iothub/websocket`: MQTT over WebSocket.
    HubWebSocket,
    /// `GET /remote-access/tunnels/{id}`: a device's connection to the relay.
    Tunnel,
    /// For faults and questions: all of them, and what is none of them.
    Any,
}

impl Route {
    /// Of a request; [`Route::Any`] if it is none of the others.
    pub(crate) fn of(method: &str, path: &str, query: Option<&str>) -> Self {
        match (method, path) {
            ("POST", "/provisioning-operations/init") => Self::Init,
            ("PUT", "/provisioning-operations/complete") => Self::Complete,
            ("PUT", "/devices/register") => Self::Register,
            ("PUT", "/devices/registration-tokens/refresh") => Self::Refresh,
            ("POST", path) if path.ends_with("/files/notifications") => Self::FileNotification,
            ("POST", path) if path.ends_with("/files") => Self::FileUpload,
            ("PUT", path) if path.starts_with(crate::storage::CONTAINER_PATH) => Self::write(query),
            ("GET", crate::hub::websocket::PATH) => Self::HubWebSocket,
            ("GET", path) if path.starts_with(crate::relay::PATH) => Self::Tunnel,
            _ => Self::Any,
        }
    }

    /// A write to the storage.
    fn write(query: Option<&str>) -> Self {
        let mut pairs = query.unwrap_or("").split('&');
        match pairs.find_map(|pair| pair.strip_prefix("comp=")) {
            Some("block") => Self::BlockPut,
            Some("blocklist") => Self::BlockListPut,
            _ => Self::BlobPut,
        }
    }

    fn covers(self, other: Self) -> bool {
        self == Self::Any || self == other
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpRequest {
    /// Which call it is.
    pub route: Route,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// Its query, which may hold secrets.
    pub query: Option<String>,
    /// What was answered; nothing yet if the answer is still to come, or will never.
    pub status: Option<u16>,
    /// When it arrived.
    pub at: Instant,
}

/// An answer in place of the right one.
#[derive(Debug, Clone)]
pub(crate) enum Replacement {
    Problem {
        status: u16,
        problem_type: Option<String>,
    },
    Answer(HttpAnswer),
}

/// An answer over HTTP that need not be one of the Platform's: see
/// [`Platform::http_answer`](crate::Platform::http_answer).
#[derive(Debug, Clone)]
#[must_use = "it has to be given to `Platform::http_answer`"]
pub struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpAnswer {
    /// Without headers of its own and without a body. The HTTP server adds `Content-Length`, and a `Date` unless
    /// there is one.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A page for people, as captive portals and intercepting proxies give it to programs, too.
    pub fn html(status: u16, text: &str) -> Self {
        let page = format!(
            "<!DOCTYPE html><html><head><title>{text}</title></head><body>{text}</body></html>"
        );
        Self::new(status)
            .header("content-type", "text/html; charset=utf-8")
            .body(page)
    }

    /// With that header; several of one name are possible. What HTTP does not allow is left out.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With that body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }
}

/// Bytes in place of an answer, whatever they mean: see
/// [`Platform::http_raw`](crate::Platform::http_raw).
#[derive(Debug, Clone)]
#[must_use = "it has to be given to `Platform::http_raw`"]
pub struct RawAnswer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) early: bool,
    pub(crate) pause: Duration,
    pub(crate) end: RawEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawEnd {
    Declared,
    Cut,
    Reset,
    Silence,
}

impl RawAnswer {
    /// These bytes, once the request is there; then the connection is closed as it should be.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            early: false,
            pause: Duration::ZERO,
            end: RawEnd::Declared,
        }
    }

    /// Comes as soon as the request's head is there; the body is not read.
    pub fn early(self) -> Self {
        Self {
            early: true,
            ..self
        }
    }

    /// Comes a byte at a time, with this pause after each.
    pub fn trickling(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Ends the connection without TLS's goodbye.
    pub fn cut(self) -> Self {
        Self {
            end: RawEnd::Cut,
            ..self
        }
    }

    /// Resets the connection.
    pub fn reset(self) -> Self {
        Self {
            end: RawEnd::Reset,
            ..self
        }
    }

    /// Leaves the connection open, and says nothing more.
    pub fn then_silence(self) -> Self {
        Self {
            end: RawEnd::Silence,
            ..self
        }
    }
}

struct Rule<T> {
    route: Route,
    replacement: T,
    /// Nothing: until further notice.
    remaining: Option<u64>,
}

/// What the first rule that covers the route says, counted.
fn take_first<T: Clone>(rules: &mut Vec<Rule<T>>, route: Route) -> Option<T> {
    let index = rules.iter().position(|rule| rule.route.covers(route))?;
    let rule = &mut rules[index];
    let replacement = rule.replacement.clone();
    if let Some(remaining) = &mut rule.remaining {
        *remaining -= 1;
        if *remaining == 0 {
            rules.remove(index);
        }
    }
    Some(replacement)
}

#[derive(Default)]
pub(crate) struct HttpState {
    rules: Vec<Rule<Replacement>>,
    raw_rules: Vec<Rule<RawAnswer>>,
    hanging: Vec<Route>,
    delays: HashMap<Route, Duration>,
    requests: Vec<HttpRequest>,
    forgotten: usize,
}

impl HttpState {
    pub fn replace(&mut self, route: Route, replacement: Replacement, count: Option<u64>) {
        if count != Some(0) {
            self.rules.push(Rule {
                route,
                replacement,
                remaining: count,
            });
        }
    }

    pub fn replace_raw(&mut self, route: Route, replacement: RawAnswer, count: u64) {
        if count > 0 {
            self.raw_rules.push(Rule {
                route,
                replacement,
                remaining: Some(count),
            });
        }
    }

    pub fn clear_faults(&mut self) {
        self.rules.clear();
        self.raw_rules.clear();
        self.hanging.clear();
        self.delays.clear();
    }

    pub fn hang(&mut self, route: Route, hang: bool) {
        self.hanging.retain(|hanging| *hanging != route);
        if hang {
            self.hanging.push(route);
        }
    }

    pub fn hangs(&self, route: Route) -> bool {
        self.hanging.iter().any(|hanging| hanging.covers(route))
    }

    pub fn set_delay(&mut self, route: Route, delay: Duration) {
        self.delays.insert(route, delay);
    }

    pub fn delay(&self, route: Route) -> Duration {
        let delay = self
            .delays
            .get(&route)
            .or_else(|| self.delays.get(&Route::Any));
        delay.copied().unwrap_or_default()
    }

    /// The answer to give instead, counted.
    pub fn take_replacement(&mut self, route: Route) -> Option<Replacement> {
        take_first(&mut self.rules, route)
    }

    /// The bytes to give instead, counted.
    pub fn take_raw(&mut self, route: Route) -> Option<RawAnswer> {
        take_first(&mut self.raw_rules, route)
    }

    /// Notes a request; the number is for `answered`.
    pub fn arrived(&mut self, method: &str, path: &str, query: Option<&str>) -> usize {
        if self.requests.len() >= REQUESTS_KEPT_MAX {
            self.requests.drain(..REQUESTS_KEPT_MAX / 2);
            self.forgotten += REQUESTS_KEPT_MAX / 2;
        }
        self.requests.push(HttpRequest {
            route: Route::of(method, path, query),
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            status: None,
            at: Instant::now(),
        });
        self.forgotten + self.requests.len() - 1
    }

    pub fn answered(&mut self, number: usize, status: u16) {
        let index = number.checked_sub(self.forgotten);
        if let Some(request) = index.and_then(|index| self.requests.get_mut(index)) {
            request.status = Some(status);
        }
    }

    pub fn requests(&self) -> &[HttpRequest] {
        &self.requests
    }

    pub fn count(&self, route: Route) -> usize {
        self.requests
            .iter()
            .filter(|request| route.covers(request.route))
            .count()
    }
}
