//! News of the connection.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::errors::to_python;
use crate::values::{Reduced, value};

/// The connection to the Platform came or went.
#[pyclass(module = "spotflow_device", frozen, get_all, skip_from_py_object)]
pub struct ConnectionChange {
    /// Whether the client is connected now.
    is_connected: bool,
    /// Why the connection ended or could not be made: a `SpotflowError`, or `None`.
    error: Option<Py<PyAny>>,
}

value! {
    ConnectionChange {
        is_connected,
        error,
    }
}

impl ConnectionChange {
    pub fn new(py: Python<'_>, change: spotflow_device::ConnectionChange) -> ConnectionChange {
        let error = change
            .error
            .map(|error| to_python(py, &error).into_value(py).into_any());
        ConnectionChange {
            is_connected: change.is_connected,
            error,
        }
    }
}

#[pymethods]
impl ConnectionChange {
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.error)
    }

    fn __repr__(&self) -> String {
        let state = if self.is_connected {
            "connected"
        } else {
            "not connected"
        };
        format!("<spotflow_device.ConnectionChange: {state}>")
    }
}
