//! How a client is doing, and what it has set aside.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::to_python;
use crate::remote_access::TunnelStatus;

/// How the client is doing, at one moment. Made by `DeviceClient.status`.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct Status {
    status: spotflow_device::Status,
}

impl Status {
    pub fn new(status: spotflow_device::Status) -> Status {
        Status { status }
    }
}

#[pymethods]
impl Status {
    /// Whether the Platform has accepted the current connection.
    #[getter]
    fn is_connected(&self) -> bool {
        self.status.is_connected
    }

    /// How long `is_connected` has been as it is, a `timedelta`.
    #[getter]
    fn connection_age(&self) -> Duration {
        self.status.connection_age
    }

    /// How often the connection was made again after the first time.
    #[getter]
    fn reconnects(&self) -> u64 {
        self.status.reconnects
    }

    /// The last failure of the connection, the registration or an upload since the start, or `None`.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = self.status.last_error.as_ref()?;
        Some(to_python(py, error).into_value(py).into_any())
    }

    /// How long ago that was, a `timedelta`, or `None`.
    #[getter]
    fn last_error_age(&self) -> Option<Duration> {
        self.status.last_error_age
    }

    /// Why no Messages are sent, although there may be a connection, or `None` when they are. The Platform has
    /// closed the connection on the same Message several times: it is tried alone, each time after a minute at most.
    #[getter]
    fn held_back(&self) -> Option<String> {
        self.status.held_back.clone()
    }

    /// For how long that has been so, a `timedelta`, or `None`.
    #[getter]
    fn held_back_age(&self) -> Option<Duration> {
        self.status.held_back_age
    }

    /// Messages stored and not yet acknowledged by the Platform.
    #[getter]
    fn pending_messages(&self) -> u64 {
        self.status.pending_messages
    }

    /// The bytes of their stored payloads.
    #[getter]
    fn pending_bytes(&self) -> u64 {
        self.status.pending_bytes
    }

    /// How long ago the oldest of them was stored, a `timedelta`, or `None`.
    #[getter]
    fn oldest_pending_age(&self) -> Option<Duration> {
        self.status.oldest_pending_age
    }

    /// Messages dropped since the start, as the outbox was full: see `WhenFull`.
    #[getter]
    fn dropped_messages(&self) -> u64 {
        self.status.dropped_messages
    }

    /// The bytes of their stored payloads.
    #[getter]
    fn dropped_bytes(&self) -> u64 {
        self.status.dropped_bytes
    }

    /// Messages that will not be sent as things stand: see `DeviceClient.set_aside_messages`.
    #[getter]
    fn set_aside_messages(&self) -> u64 {
        self.status.set_aside_messages
    }

    /// The remote access that is open, or being opened.
    #[getter]
    fn tunnels(&self) -> Vec<TunnelStatus> {
        let tunnels = self.status.tunnels.iter().cloned();
        tunnels.map(TunnelStatus::new).collect()
    }

    /// What was saved of a damaged database file, the last time that it was damaged since, or at, the
    /// start, or `None`.
    #[getter]
    fn recovery(&self) -> Option<Recovery> {
        let recovery = self.status.recovery.clone()?;
        Some(Recovery { recovery })
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.Status {}, {} pending, {} set aside>",
            if self.status.is_connected {
                "connected"
            } else {
                "not connected"
            },
            self.status.pending_messages,
            self.status.set_aside_messages
        )
    }
}

/// What was saved of a damaged database file: see `Status.recovery`.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct Recovery {
    recovery: spotflow_device::Recovery,
}

#[pymethods]
impl Recovery {
    /// Where the damaged file is kept, a `Path`. There are tokens in it.
    #[getter]
    fn set_aside(&self) -> PathBuf {
        self.recovery.set_aside.clone()
    }

    /// Whether the device's registration was saved. If not, and there was one, it needs a new approval.
    #[getter]
    fn has_registration(&self) -> bool {
        self.recovery.has_registration
    }

    /// Unsent Messages that were saved.
    #[getter]
    fn messages(&self) -> u64 {
        self.recovery.messages
    }

    /// Unsent Messages that were lost, or `None` if that is not known: then the log names the range of what
    /// could not be read, some of which had been sent.
    #[getter]
    fn lost_messages(&self) -> Option<u64> {
        self.recovery.lost_messages
    }

    /// Messages set aside that were saved.
    #[getter]
    fn set_aside_messages(&self) -> u64 {
        self.recovery.set_aside_messages
    }

    /// Unprocessed cloud-to-device messages that were saved.
    #[getter]
    fn cloud_messages(&self) -> u64 {
        self.recovery.cloud_messages
    }

    /// Whether everything could be read.
    #[getter]
    fn is_complete(&self) -> bool {
        self.recovery.is_complete
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.Recovery of {} Messages from {}>",
            self.recovery.messages,
            self.recovery.set_aside.display()
        )
    }
}

/// A Message that will not be sent as things stand: see `DeviceClient.set_aside_messages`.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct SetAsideMessage {
    message: spotflow_device::SetAsideMessage,
}

impl SetAsideMessage {
    pub fn new(message: spotflow_device::SetAsideMessage) -> SetAsideMessage {
        SetAsideMessage { message }
    }
}

#[pymethods]
impl SetAsideMessage {
    /// Identifies it, to retry or drop it.
    #[getter]
    fn id(&self) -> i64 {
        self.message.id
    }

    /// Why it was set aside.
    #[getter]
    fn reason(&self) -> &str {
        &self.message.reason
    }

    /// The Workspace that it was stored under.
    #[getter]
    fn workspace_id(&self) -> &str {
        &self.message.workspace_id
    }

    /// The Device ID that it was stored under.
    #[getter]
    fn device_id(&self) -> &str {
        &self.message.device_id
    }

    /// Its properties as they would be sent, such as `stream-name` and `batch-id`.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let properties = PyDict::new(py);
        for (name, value) in &self.message.properties {
            properties.set_item(name, value)?;
        }
        Ok(properties)
    }

    /// The bytes of its stored payload.
    #[getter]
    fn payload_bytes(&self) -> u64 {
        self.message.payload_bytes
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.SetAsideMessage {}: {}>",
            self.message.id, self.message.reason
        )
    }
}
