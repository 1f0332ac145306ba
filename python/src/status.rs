//! How a client is doing, and what it has set aside.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};
use spotflow_device::Transport;

use crate::choices::{Choice, member};
use crate::errors;
use crate::remote_access::TunnelStatus;
use crate::values::{Reduced, value};

/// How the client is doing, at one moment. Made by `DeviceClient.status`.
#[pyclass(module = "spotflow_device", frozen, get_all, skip_from_py_object)]
pub struct Status {
    /// Whether the Platform has accepted the current connection.
    is_connected: bool,
    /// How long `is_connected` has been as it is, a `timedelta`.
    connection_age: Duration,
    /// What the connection uses, or the last one used: `Transport.MQTT` or `Transport.WEB_SOCKET`; `None` before the
    /// first.
    transport: Option<Py<PyAny>>,
    /// How often the connection was made again after the first time.
    reconnects: u64,
    /// The last failure of the connection, the registration, an upload or the disk since the start, or `None`.
    last_error: Option<Py<PyAny>>,
    /// How long ago that was, a `timedelta`, or `None`.
    last_error_age: Option<Duration>,
    /// Why no Messages are sent, although there may be a connection, or `None` when they are. The Platform has
    /// closed the connection on the same Message several times: it is tried alone, each time after a minute at most.
    held_back: Option<String>,
    /// For how long that has been so, a `timedelta`, or `None`.
    held_back_age: Option<Duration>,
    /// Messages stored and not yet acknowledged by the Platform.
    pending_messages: u64,
    /// The bytes of their stored payloads.
    pending_bytes: u64,
    /// How long ago the oldest of them was stored, a `timedelta`, or `None`.
    oldest_pending_age: Option<Duration>,
    /// Messages dropped since the start, as the outbox was full: see `WhenFull`.
    dropped_messages: u64,
    /// The bytes of their stored payloads.
    dropped_bytes: u64,
    /// Messages that were not sent, since the start, as they were older than their `time_to_live`.
    expired_messages: u64,
    /// Messages that were not sent, since the start, as a newer one took their place: see `keep_latest`.
    replaced_messages: u64,
    /// Messages that will not be sent as things stand: see `DeviceClient.set_aside_messages`.
    set_aside_messages: u64,
    /// What was saved of a damaged database file, the last time that it was damaged since, or at, the
    /// start, or `None`.
    recovery: Option<Py<Recovery>>,
    /// The remote access that is open, or being opened.
    tunnels: Vec<Py<TunnelStatus>>,
    /// The large content that is being uploaded, or was last and waits for its next attempt, or `None`.
    upload: Option<Py<UploadStatus>>,
    /// How fast Messages and uploads may go.
    pacing: Py<PacingStatus>,
}

value! {
    Status {
        is_connected,
        connection_age,
        transport,
        reconnects,
        last_error,
        last_error_age,
        held_back,
        held_back_age,
        pending_messages,
        pending_bytes,
        oldest_pending_age,
        dropped_messages,
        dropped_bytes,
        expired_messages,
        replaced_messages,
        set_aside_messages,
        recovery,
        tunnels,
        upload,
        pacing,
    }
}

impl Status {
    pub fn new(py: Python<'_>, status: spotflow_device::Status) -> PyResult<Status> {
        let recovery = status.recovery.map(Recovery::new);
        let upload = status.upload.map(UploadStatus::new);
        let tunnels = status.tunnels.into_iter();
        let tunnels = tunnels.map(|tunnel| Py::new(py, TunnelStatus::new(tunnel)));
        Ok(Status {
            is_connected: status.is_connected,
            connection_age: status.connection_age,
            transport: transport(py, status.transport)?,
            reconnects: status.reconnects,
            last_error: status
                .last_error
                .map(|error| errors::to_python(py, &error).into_value(py).into_any()),
            last_error_age: status.last_error_age,
            held_back: status.held_back,
            held_back_age: status.held_back_age,
            pending_messages: status.pending_messages,
            pending_bytes: status.pending_bytes,
            oldest_pending_age: status.oldest_pending_age,
            dropped_messages: status.dropped_messages,
            dropped_bytes: status.dropped_bytes,
            expired_messages: status.expired_messages,
            replaced_messages: status.replaced_messages,
            set_aside_messages: status.set_aside_messages,
            recovery: recovery.map(|recovery| Py::new(py, recovery)).transpose()?,
            tunnels: tunnels.collect::<PyResult<_>>()?,
            upload: upload.map(|upload| Py::new(py, upload)).transpose()?,
            pacing: Py::new(py, PacingStatus::new(status.pacing))?,
        })
    }
}

fn transport(py: Python<'_>, of_status: Option<Transport>) -> PyResult<Option<Py<PyAny>>> {
    let name = match of_status {
        Some(Transport::Mqtt) => "MQTT",
        Some(Transport::WebSocket) => "WEB_SOCKET",
        _ => return Ok(None),
    };
    member(py, Transport::CLASS, name).map(Some)
}

#[pymethods]
impl Status {
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.last_error)
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.Status {}, {} pending, {} set aside>",
            if self.is_connected {
                "connected"
            } else {
                "not connected"
            },
            self.pending_messages,
            self.set_aside_messages
        )
    }
}

/// The limits of all Messages and uploads together, each a second: see `Status.pacing`. Those of a priority come on
/// top.
#[pyclass(module = "spotflow_device", frozen, get_all, skip_from_py_object)]
pub struct PacingStatus {
    /// Messages, as the program has set it; `None` without a limit.
    messages_per_second: Option<f64>,
    /// Bytes, as the program has set it; `None` without a limit.
    bytes_per_second: Option<u64>,
    /// Messages, while the client goes slowly by itself, as the Platform throttles; otherwise `None`.
    throttled_messages_per_second: Option<f64>,
}

value! {
    PacingStatus {
        messages_per_second,
        bytes_per_second,
        throttled_messages_per_second,
    }
}

impl PacingStatus {
    fn new(pacing: spotflow_device::PacingStatus) -> PacingStatus {
        PacingStatus {
            messages_per_second: pacing.messages_per_second,
            bytes_per_second: pacing.bytes_per_second,
            throttled_messages_per_second: pacing.throttled_messages_per_second,
        }
    }
}

#[pymethods]
impl PacingStatus {
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __repr__(&self) -> String {
        let [messages, throttled] = [self.messages_per_second, self.throttled_messages_per_second]
            .map(|limit| limit.map_or("any".to_owned(), |limit| limit.to_string()));
        let bytes = self.bytes_per_second.map(|limit| limit.to_string());
        format!(
            "<spotflow_device.PacingStatus {messages} Messages, {} bytes, throttled to {throttled}>",
            bytes.unwrap_or("any".to_owned())
        )
    }
}

/// How far the upload of large content is: see `Status.upload`, and `upload_progress_callback` of the start.
#[pyclass(module = "spotflow_device", frozen, get_all, skip_from_py_object)]
pub struct UploadStatus {
    /// The bytes that the Platform's storage has, and that are not sent again: counted by blocks of 1 MiB. Content
    /// of one block, or that the storage takes only as a whole, is there when all of it is.
    uploaded_bytes: u64,
    /// The bytes of the stored content.
    total_bytes: u64,
}

value! {
    UploadStatus {
        uploaded_bytes,
        total_bytes,
    }
}

impl UploadStatus {
    pub fn new(upload: spotflow_device::UploadStatus) -> UploadStatus {
        UploadStatus {
            uploaded_bytes: upload.uploaded_bytes,
            total_bytes: upload.total_bytes,
        }
    }
}

#[pymethods]
impl UploadStatus {
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.UploadStatus {} of {} bytes>",
            self.uploaded_bytes, self.total_bytes
        )
    }
}

/// What was saved of a damaged database file: see `Status.recovery`.
#[pyclass(module = "spotflow_device", frozen, get_all, skip_from_py_object)]
pub struct Recovery {
    /// Where the damaged file is kept, a `Path`. There are tokens in it.
    set_aside: PathBuf,
    /// Whether the device's registration was saved. If not, and there was one, it needs a new approval.
    has_registration: bool,
    /// Unsent Messages that were saved.
    messages: u64,
    /// Unsent Messages that were lost, or `None` if that is not known: then the log names the range of what
    /// could not be read, some of which had been sent.
    lost_messages: Option<u64>,
    /// Messages set aside that were saved.
    set_aside_messages: u64,
    /// Unprocessed cloud-to-device messages that were saved.
    cloud_messages: u64,
    /// Whether everything could be read.
    is_complete: bool,
}

value! {
    Recovery {
        set_aside,
        has_registration,
        messages,
        lost_messages,
        set_aside_messages,
        cloud_messages,
        is_complete,
    }
}

impl Recovery {
    fn new(recovery: spotflow_device::Recovery) -> Recovery {
        Recovery {
            set_aside: recovery.set_aside,
            has_registration: recovery.has_registration,
            messages: recovery.messages,
            lost_messages: recovery.lost_messages,
            set_aside_messages: recovery.set_aside_messages,
            cloud_messages: recovery.cloud_messages,
            is_complete: recovery.is_complete,
        }
    }
}

#[pymethods]
impl Recovery {
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.Recovery of {} Messages from {}>",
            self.messages,
            self.set_aside.display()
        )
    }
}

/// A Message that will not be sent as things stand: see `DeviceClient.set_aside_messages`.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct SetAsideMessage {
    /// Identifies it, to retry or drop it.
    #[pyo3(get)]
    id: i64,
    /// Why it was set aside.
    #[pyo3(get)]
    reason: String,
    /// The Workspace that it was stored under.
    #[pyo3(get)]
    workspace_id: String,
    /// The Device ID that it was stored under.
    #[pyo3(get)]
    device_id: String,
    properties: Vec<(String, String)>,
    /// The bytes of its stored payload.
    #[pyo3(get)]
    payload_bytes: u64,
}

value! {
    SetAsideMessage {
        id,
        reason,
        workspace_id,
        device_id,
        properties,
        payload_bytes,
    }
}

impl SetAsideMessage {
    pub fn new(message: spotflow_device::SetAsideMessage) -> SetAsideMessage {
        SetAsideMessage {
            id: message.id,
            reason: message.reason,
            workspace_id: message.workspace_id,
            device_id: message.device_id,
            properties: message.properties,
            payload_bytes: message.payload_bytes,
        }
    }
}

#[pymethods]
impl SetAsideMessage {
    /// Its properties as they would be sent, such as `stream-name` and `batch-id`.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let properties = PyDict::new(py);
        for (name, value) in &self.properties {
            properties.set_item(name, value)?;
        }
        Ok(properties)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.SetAsideMessage {}: {}>",
            self.id, self.reason
        )
    }
}
