//! What a technician approves.

use pyo3::prelude::*;

use crate::values::{Reduced, value};

/// What a technician needs to approve the device.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct ProvisioningOperation {
    /// The operation's id.
    #[pyo3(get)]
    id: String,
    /// The code to compare with the one in the portal.
    #[pyo3(get)]
    verification_code: String,
    /// Until when it can be approved (RFC 3339, UTC written as `+00:00`). Then a new one is started.
    #[pyo3(get)]
    expiration_time: String,
    text: String,
}

value! {
    ProvisioningOperation {
        id,
        verification_code,
        expiration_time,
        text,
    }
}

impl ProvisioningOperation {
    pub fn new(operation: &spotflow_device::ProvisioningOperation) -> ProvisioningOperation {
        // `datetime.fromisoformat` reads no `Z` before Python 3.11.
        let time = &operation.expiration_time;
        let expiration_time = match time.strip_suffix(['Z', 'z']) {
            Some(utc) => format!("{utc}+00:00"),
            None => time.clone(),
        };
        ProvisioningOperation {
            id: operation.id.clone(),
            verification_code: operation.verification_code.clone(),
            expiration_time,
            text: operation.to_string(),
        }
    }
}

#[pymethods]
impl ProvisioningOperation {
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<spotflow_device.ProvisioningOperation {}>", self.id)
    }
}
