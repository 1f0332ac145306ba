//! Desired Properties.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::json;

/// The configuration that the Platform wants of the device, in one version.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct DesiredProperties {
    properties: spotflow_device::DesiredProperties,
    /// Made when first asked for; changes that the program makes to it stay, as with any attribute.
    values: PyOnceLock<Py<PyDict>>,
}

impl DesiredProperties {
    pub fn new(properties: spotflow_device::DesiredProperties) -> DesiredProperties {
        DesiredProperties {
            properties,
            values: PyOnceLock::new(),
        }
    }
}

#[pymethods]
impl DesiredProperties {
    /// The version: it grows with every change.
    #[getter]
    fn version(&self) -> u64 {
        self.properties.version()
    }

    /// The properties, in a `dict` of this object's own.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyDict>> {
        let made = self.values.get_or_try_init(py, || {
            json::to_dict(py, self.properties.values()).map(Bound::unbind)
        });
        made.map(|values| values.bind(py))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let values = self.values(py)?.repr()?;
        Ok(format!(
            "<spotflow_device.DesiredProperties version {}: {values}>",
            self.version()
        ))
    }
}
