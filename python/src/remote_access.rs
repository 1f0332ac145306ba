//! What `DeviceClient.start` is told of remote access, and what the status shows of it.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::arguments::{count, seconds, wrong_type};
use crate::calls::{Asked, CallQueue, Waiting};
use crate::values::{Reduced, value};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// Which ports of this device a technician can reach through the Platform, for `DeviceClient.start`.
///
/// - `ports`: the ports of 127.0.0.1 that are allowed, or `None` for all of them.
/// - `max_tunnels`: how many connections may be open at once, 1 to 256, by default 8; each has a thread.
/// - `idle_limit`: seconds without a byte after which one is ended, by default never.
/// - `bytes_per_second`: how much each may bring and take together, 1,024 at least, by default without limit.
#[pyclass(module = "spotflow_device", frozen, eq, from_py_object)]
#[derive(Clone, PartialEq)]
pub struct RemoteAccess {
    ports: Option<Vec<u16>>,
    max_tunnels: Option<usize>,
    idle_limit: Option<Duration>,
    bytes_per_second: Option<u64>,
}

value! {
    RemoteAccess {
        ports,
        max_tunnels,
        idle_limit,
        bytes_per_second,
    }
}

#[pymethods]
impl RemoteAccess {
    #[new]
    #[pyo3(signature = (ports, *, max_tunnels=None, idle_limit=None, bytes_per_second=None))]
    #[pyo3(text_signature = "(ports, *, max_tunnels=8, idle_limit=None, bytes_per_second=None)")]
    fn new(
        ports: Argument<'_, '_>,
        max_tunnels: Argument<'_, '_>,
        idle_limit: Argument<'_, '_>,
        bytes_per_second: Argument<'_, '_>,
    ) -> PyResult<RemoteAccess> {
        let number = |argument, value: Argument<'_, '_>| {
            value.map(|value| count(argument, value)).transpose()
        };
        Ok(RemoteAccess {
            ports: ports.map(port_list).transpose()?,
            max_tunnels: number("max_tunnels", max_tunnels)?
                .map(|tunnels: u64| usize::try_from(tunnels).unwrap_or(usize::MAX)),
            idle_limit: seconds("idle_limit", idle_limit)?,
            bytes_per_second: number("bytes_per_second", bytes_per_second)?,
        })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __repr__(&self) -> String {
        let ports = match &self.ports {
            Some(ports) => format!("{ports:?}"),
            None => "None".to_owned(),
        };
        format!("<spotflow_device.RemoteAccess ports={ports}>")
    }
}

impl RemoteAccess {
    fn options(&self) -> spotflow_device::RemoteAccess {
        let mut options = spotflow_device::RemoteAccess::new();
        match &self.ports {
            Some(ports) => {
                for port in ports {
                    options = options.port(*port);
                }
            }
            None => options = options.any_port(),
        }
        if let Some(tunnels) = self.max_tunnels {
            options = options.max_tunnels(tunnels);
        }
        if let Some(limit) = self.idle_limit {
            options = options.idle_limit(limit);
        }
        if let Some(bytes) = self.bytes_per_second {
            options = options.bytes_per_second(bytes);
        }
        options
    }
}

fn port_list(ports: &Bound<'_, PyAny>) -> PyResult<Vec<u16>> {
    let items = ports
        .try_iter()
        .map_err(|_| wrong_type("ports", "an iterable of int, or None", ports))?;
    items.map(|port| count("ports", &port?)).collect()
}

/// `True` allows every port, as the published package does.
pub fn allowed(value: Argument<'_, '_>) -> PyResult<Option<spotflow_device::RemoteAccess>> {
    let Some(value) = value else {
        return Ok(None);
    };
    if let Ok(is_allowed) = value.cast::<PyBool>() {
        let any_port = || spotflow_device::RemoteAccess::new().any_port();
        return Ok(is_allowed.is_true().then(any_port));
    }
    match value.extract::<RemoteAccess>() {
        Ok(options) => Ok(Some(options.options())),
        Err(_) => Err(wrong_type(
            "allow_remote_access",
            "bool or RemoteAccess",
            value,
        )),
    }
}

/// The Platform asks for a tunnel: see `remote_access_callback` of `DeviceClient.start`.
#[pyclass(module = "spotflow_device", frozen, get_all, skip_from_py_object)]
#[derive(Clone)]
pub struct TunnelRequest {
    /// The Platform's name for the tunnel.
    tunnel_id: String,
    /// The port of this device that it is to lead to; it is one of those allowed.
    port: u16,
    /// Who asked, as far as the Platform tells: its `traceparent` (W3C Trace Context), by which it can say more, or
    /// `None`.
    traceparent: Option<String>,
}

value! {
    TunnelRequest {
        tunnel_id,
        port,
        traceparent,
    }
}

#[pymethods]
impl TunnelRequest {
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.TunnelRequest {} to port {}>",
            self.tunnel_id, self.port
        )
    }
}

/// Whether a tunnel may be opened.
struct AskedTunnel {
    request: TunnelRequest,
    waiting: Waiting<bool>,
}

/// By a tunnel's own thread: has Python decide, and waits for it. What is no answer is a refusal.
pub fn agrees(queue: &CallQueue, request: &spotflow_device::TunnelRequest) -> bool {
    let request = TunnelRequest {
        tunnel_id: request.tunnel_id.clone(),
        port: request.port,
        traceparent: request.traceparent.clone(),
    };
    let agrees = queue.ask(|waiting| AskedTunnel { request, waiting });
    agrees.unwrap_or(false)
}

impl Asked for AskedTunnel {
    fn argument(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let request = self.request.clone().into_pyobject(py)?;
        Ok(request.into_any().unbind())
    }

    fn answer(&self, returned: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(agrees) = returned.cast::<PyBool>() else {
            let what = "what remote_access_callback returns";
            return Err(wrong_type(what, "bool", returned));
        };
        self.waiting.reply(agrees.is_true());
        Ok(())
    }

    fn fail(&self, _why: &'static str) {
        self.waiting.reply(false);
    }
}

/// A connection of a technician's: see `Status.tunnels`.
#[pyclass(module = "spotflow_device", frozen, get_all, skip_from_py_object)]
pub struct TunnelStatus {
    /// The Platform's name for it.
    tunnel_id: String,
    /// The port of this device that it leads to.
    port: u16,
    /// How long ago the Platform asked for it, a `timedelta`.
    age: Duration,
    /// Bytes that came through it to the device.
    received_bytes: u64,
    /// Bytes that the device sent through it.
    sent_bytes: u64,
}

value! {
    TunnelStatus {
        tunnel_id,
        port,
        age,
        received_bytes,
        sent_bytes,
    }
}

impl TunnelStatus {
    pub fn new(tunnel: spotflow_device::TunnelStatus) -> TunnelStatus {
        TunnelStatus {
            tunnel_id: tunnel.tunnel_id,
            port: tunnel.port,
            age: tunnel.age,
            received_bytes: tunnel.received_bytes,
            sent_bytes: tunnel.sent_bytes,
        }
    }
}

#[pymethods]
impl TunnelStatus {
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.TunnelStatus to port {}, {} bytes received, {} bytes sent>",
            self.port, self.received_bytes, self.sent_bytes
        )
    }
}
