//! Cloud-to-device messages.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pyo3::{PyTraverseError, PyVisit};

use crate::handle::Client;
use crate::owned::Owned;
use crate::signals::waiting;

/// A message that the cloud sent to this device. Made by `DeviceClient.receive_cloud_message`.
///
/// It stays stored, and is handed out again after a restart, until `complete` says that it was processed.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct CloudMessage {
    message: Owned<spotflow_device::CloudMessage>,
    client: Client,
}

impl CloudMessage {
    pub fn new(message: spotflow_device::CloudMessage, client: Client) -> CloudMessage {
        CloudMessage {
            message: Owned::new(message),
            client,
        }
    }
}

#[pymethods]
impl CloudMessage {
    /// The content.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.message.get()?.payload()))
    }

    /// The properties by name; IoT Hub's own start with `$.`.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let properties = PyDict::new(py);
        for (name, value) in self.message.get()?.properties() {
            properties.set_item(name, value)?;
        }
        Ok(properties)
    }

    /// Say that the message is processed: it is deleted, and not handed out again. A second call does
    /// nothing. Blocks for a commit that is not synced: after the loss of power it may come once more.
    fn complete(&self, py: Python<'_>) -> PyResult<()> {
        self.client.open(py)?;
        let message = self.message.get()?;
        waiting(py, || message.complete())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a CloudMessage cannot be copied or pickled: take its payload and properties",
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.client.traverse(&visit)
    }
}
