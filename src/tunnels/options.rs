//! What the application allows.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};

const TUNNELS_MAX: usize = 8;
const TUNNELS_LIMIT: usize = 256;
const BYTES_PER_SECOND_MIN: u64 = 1 << 10;

/// Which ports of this device a technician can reach through the Platform, and how much of it at once. For
/// [`DeviceClientBuilder::remote_access`](crate::DeviceClientBuilder::remote_access).
///
/// Tunnels lead to 127.0.0.1 only, and to no port unless it is allowed here.
///
/// ```
/// use std::time::Duration;
/// use spotflow_device::{DeviceClient, RemoteAccess};
///
/// let ssh = RemoteAccess::new().port(22).idle_limit(Duration::from_secs(900));
/// let builder = DeviceClient::builder("CAEaBA...", "spotflow.db").remote_access(ssh);
/// ```
#[derive(Clone)]
#[must_use = "it does nothing by itself"]
pub struct RemoteAccess {
    ports: BTreeSet<u16>,
    is_any_port: bool,
    pub(super) tunnels_max: usize,
    pub(super) idle_limit: Option<Duration>,
    pub(super) bytes_per_second: Option<u64>,
    on_request: Option<Arc<OnRequest>>,
}

type OnRequest = dyn Fn(&TunnelRequest) -> bool + Send + Sync;

/// The Platform asks for a tunnel, for [`RemoteAccess::on_request`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunnelRequest {
    /// The Platform's name for the tunnel.
    pub tunnel_id: String,
    /// The port of this device that it is to lead to; it is one of those allowed.
    pub port: u16,
    /// Who asked, as far as the Platform tells: its
    /// [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header), by which it can say more.
    pub traceparent: Option<String>,
}

impl RemoteAccess {
    /// No port is allowed.
    pub fn new() -> RemoteAccess {
        RemoteAccess {
            ports: BTreeSet::new(),
            is_any_port: false,
            tunnels_max: TUNNELS_MAX,
            idle_limit: None,
            bytes_per_second: None,
            on_request: None,
        }
    }

    /// Allows this port, too.
    pub fn port(mut self, port: u16) -> Self {
        self.ports.insert(port);
        self
    }

    /// Allows every port. Mind what listens on 127.0.0.1 because only this device can reach it.
    pub fn any_port(mut self) -> Self {
        self.is_any_port = true;
        self
    }

    /// How many tunnels may be open at once, each with a thread: 1 to 256, 8 unless changed.
    pub fn max_tunnels(mut self, tunnels: usize) -> Self {
        self.tunnels_max = tunnels;
        self
    }

    /// Ends a tunnel through which nothing came either way for so long. Without it, a tunnel lasts until one of its
    /// ends closes it, or the relay, before it has closed its side, neither takes anything nor gives another sign of
    /// life for a minute and a half.
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = Some(limit);
        self
    }

    /// How many bytes of payload a second each tunnel may bring and take, together: 1,024 at least; no limit unless
    /// set. A second's worth may come at once.
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// Asked before each tunnel to an allowed port; `false` refuses it. Called in the tunnel's own thread, while the
    /// Platform waits for its answer (30 s unless set there). A panic in it is logged, and refuses.
    pub fn on_request(
        mut self,
        callback: impl Fn(&TunnelRequest) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.on_request = Some(Arc::new(callback));
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |rule: String| Err(Error::invalid("remote_access", rule));
        if !(1..=TUNNELS_LIMIT).contains(&self.tunnels_max) {
            return refuse(format!(
                "max_tunnels must be 1 to {TUNNELS_LIMIT}, but is {}",
                self.tunnels_max
            ));
        }
        if self.ports.contains(&0) {
            return refuse("there is no port 0".to_owned());
        }
        if self.idle_limit.is_some_and(|limit| limit.is_zero()) {
            return refuse("idle_limit must be longer than nothing".to_owned());
        }
        if self
            .bytes_per_second
            .is_some_and(|bytes| bytes < BYTES_PER_SECOND_MIN)
        {
            return refuse(format!(
                "bytes_per_second must be {BYTES_PER_SECOND_MIN} at least"
            ));
        }
        Ok(())
    }

    pub(super) fn allows(&self, port: u16) -> bool {
        port != 0 && (self.is_any_port || self.ports.contains(&port))
    }

    /// What the application says; user code runs here.
    pub(super) fn agrees(&self, request: &TunnelRequest, name: &str) -> bool {
        let Some(callback) = &self.on_request else {
            return true;
        };
        catch_unwind(AssertUnwindSafe(|| callback(request))).unwrap_or_else(|_| {
            log::error!("{name}: the callback for remote access panicked");
            false
        })
    }
}

impl Default for RemoteAccess {
    fn default() -> RemoteAccess {
        RemoteAccess::new()
    }
}

impl fmt::Debug for RemoteAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteAccess")
            .field("ports", &self.ports)
            .field("is_any_port", &self.is_any_port)
            .field("tunnels_max", &self.tunnels_max)
            .field("idle_limit", &self.idle_limit)
            .field("bytes_per_second", &self.bytes_per_second)
            .finish_non_exhaustive()
    }
}
