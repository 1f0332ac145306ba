//! News of the connection.

use pyo3::prelude::*;

use crate::errors::to_python;

/// The connection to the Platform came or went.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct ConnectionChange {
    change: spotflow_device::ConnectionChange,
}

impl ConnectionChange {
    pub fn new(change: spotflow_device::ConnectionChange) -> ConnectionChange {
        ConnectionChange { change }
    }
}

#[pymethods]
impl ConnectionChange {
    /// Whether the client is connected now.
    #[getter]
    fn is_connected(&self) -> bool {
        self.change.is_connected
    }

    /// Why the connection ended or could not be made: a `SpotflowError`, or `None`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = self.change.error.as_ref()?;
        Some(to_python(py, error).into_value(py).into_any())
    }

    fn __repr__(&self) -> String {
        let state = if self.change.is_connected {
            "connected"
        } else {
            "not connected"
        };
        format!("<spotflow_device.ConnectionChange: {state}>")
    }
}
