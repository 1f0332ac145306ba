//! Which thread runs Python's signal handlers.

use pyo3::prelude::*;

/// Whether this is that thread. In a forked child it is the one that forked.
///
/// The system is asked, as gevent and eventlet change what Python says.
#[cfg(target_os = "linux")]
#[pyfunction]
pub fn is_main_thread(_py: Python<'_>) -> PyResult<bool> {
    Ok(nix::unistd::gettid() == nix::unistd::getpid())
}

/// Whether this is that thread. In a forked child it is the one that forked.
#[cfg(not(target_os = "linux"))]
#[pyfunction]
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?;
    let own = threading.call_method0("get_ident")?;
    main.getattr("ident")?.eq(own)
}
