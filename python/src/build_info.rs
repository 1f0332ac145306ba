//! What is in this build.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Facts about this build, by name: version, codecs, TLS, SQLite, platform.
#[pyfunction]
pub fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("spotflow_device", env!("CARGO_PKG_VERSION"))?;
    facts.set_item("codecs", "Brotli, gzip, Zstandard")?;
    facts.set_item("TLS", "rustls with ring: TLS 1.2, TLS 1.3")?;
    facts.set_item("SQLite", rusqlite::version())?;
    let platform = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    facts.set_item("platform", platform)?;
    facts.set_item("Python ABI", "abi3, CPython 3.7 and newer")?;
    Ok(facts)
}
