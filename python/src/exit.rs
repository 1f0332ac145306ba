//! How the interpreter ends: nothing may want its lock when it is gone.

use pyo3::prelude::*;

use crate::{clients, gate};

/// At exit, first: closes all clients, and lets no thread in any more that could wait.
#[pyfunction]
pub fn close_all(py: Python<'_>) {
    gate::close();
    let clients = clients::all();
    py.detach(|| {
        std::thread::scope(|scope| {
            for client in &clients {
                // Without a thread to be had, it is closed when the process is.
                std::thread::Builder::new()
                    .spawn_scoped(scope, || client.close())
                    .map_err(|error| log::warn!("cannot close a client: {error}"))
                    .ok();
            }
        });
    });
}

/// At exit, last: returns when no thread can want the interpreter's lock any more.
#[pyfunction]
pub fn end_waits(py: Python<'_>) {
    py.detach(gate::wait_until_empty);
}
