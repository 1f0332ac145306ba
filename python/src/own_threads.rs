//! The threads in which the package runs Python code: callbacks and log handlers.
//!
//! They are started by CPython, so that no Rust code is at their bottom: the interpreter's end unwinds a thread
//! that is in Python code then, which no Rust code survives.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors::SpotflowError;
use crate::signal_mask::Blocked;

/// Starts a thread that calls a function, and that no signal reaches. `start` is what starts threads.
#[pyfunction]
pub fn start_thread(
    start: &Bound<'_, PyAny>,
    function: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
) -> PyResult<()> {
    // A thread has the mask of the one that starts it, from its first instruction on.
    let blocked = Blocked::new();
    let started = start.call1((function, arguments));
    drop(blocked);
    started
        .map(drop)
        .map_err(|error| no_thread(start.py(), error))
}

fn no_thread(py: Python<'_>, cause: PyErr) -> PyErr {
    let error = SpotflowError::new_err(format!("cannot start a thread: {}", cause.value(py)));
    error.set_cause(py, Some(cause));
    match error.value(py).setattr("retryable", true) {
        Ok(()) => error,
        Err(error) => error,
    }
}

/// Gives this thread a name for the system's tools, of 15 bytes at most.
pub fn name_thread(name: &std::ffi::CStr) {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_name(name) {
        log::debug!("cannot name a thread: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}
