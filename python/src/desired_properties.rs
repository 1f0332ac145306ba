//! Desired Properties.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use serde_json::{Map, Value};

use crate::json;
use crate::values::{Reduced, field, reduced};

/// The configuration that the Platform wants of the device, in one version.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct DesiredProperties {
    /// The version: it grows with every change.
    #[pyo3(get)]
    version: u64,
    document: Map<String, Value>,
    /// Made when first asked for; changes that the program makes to it stay, as with any attribute.
    values: PyOnceLock<Py<PyDict>>,
}

impl DesiredProperties {
    pub fn new(properties: &spotflow_device::DesiredProperties) -> DesiredProperties {
        DesiredProperties {
            version: properties.version(),
            document: properties.values().clone(),
            values: PyOnceLock::new(),
        }
    }

    /// From its fields by name.
    pub fn restored(fields: &Bound<'_, PyDict>) -> PyResult<DesiredProperties> {
        let values = PyOnceLock::new();
        values.get_or_try_init(fields.py(), || field(fields, "values"))?;
        Ok(DesiredProperties {
            version: field(fields, "version")?,
            document: Map::new(),
            values,
        })
    }
}

#[pymethods]
impl DesiredProperties {
    /// The properties, in a `dict` of this object's own.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyDict>> {
        let made = self
            .values
            .get_or_try_init(py, || json::to_dict(py, &self.document).map(Bound::unbind));
        made.map(|values| values.bind(py))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let fields = PyDict::new(py);
        fields.set_item("version", self.version)?;
        fields.set_item("values", self.values(py)?)?;
        reduced("DesiredProperties", fields)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let values = self.values(py)?.repr()?;
        Ok(format!(
            "<spotflow_device.DesiredProperties version {}: {values}>",
            self.version
        ))
    }
}
