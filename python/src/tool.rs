//! The tool for whoever stands before a device, as `python -m spotflow_device`.

use std::ffi::OsString;

use pyo3::prelude::*;

use crate::gate;

/// Runs the tool with these arguments, of which the first is the program's name; returns its exit code.
#[pyfunction]
pub fn run_tool(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    gate::outside(py, || spotflow_device::tool::run(arguments))
}
