//! What a technician approves.

use pyo3::prelude::*;

/// What a technician needs to approve the device.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct ProvisioningOperation {
    operation: spotflow_device::ProvisioningOperation,
}

impl ProvisioningOperation {
    pub fn new(operation: spotflow_device::ProvisioningOperation) -> ProvisioningOperation {
        ProvisioningOperation { operation }
    }
}

#[pymethods]
impl ProvisioningOperation {
    /// The operation's id.
    #[getter]
    fn id(&self) -> &str {
        &self.operation.id
    }

    /// The code to compare with the one in the portal.
    #[getter]
    fn verification_code(&self) -> &str {
        &self.operation.verification_code
    }

    /// Until when it can be approved (RFC 3339, UTC written as `+00:00`). Then a new one is started.
    #[getter]
    fn expiration_time(&self) -> String {
        // `datetime.fromisoformat` reads no `Z` before Python 3.11.
        let time = &self.operation.expiration_time;
        match time.strip_suffix(['Z', 'z']) {
            Some(utc) => format!("{utc}+00:00"),
            None => time.clone(),
        }
    }

    fn __str__(&self) -> String {
        self.operation.to_string()
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.ProvisioningOperation {}>",
            self.operation.id
        )
    }
}
