//! How the interpreter ends: nothing may want its lock when it is gone.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::signal_mask::Blocked;
use crate::{clients, events, gate, logs};

/// How long the exit waits for callbacks and log handlers that are running.
const GRACE: Duration = Duration::from_secs(1);
/// Of it, what is left for log handlers at the least.
const LOGGING_GRACE: Duration = Duration::from_millis(100);

/// Whether the interpreter is going down.
#[pyfunction]
pub fn is_exiting() -> bool {
    gate::is_closed()
}

/// At exit: closes all clients and ends the package's threads. It is one function of Rust, so that Ctrl+C cannot
/// end it half-way: Python raises the exception when it has returned.
#[pyfunction]
pub fn at_exit(py: Python<'_>) {
    gate::close();
    let clients = clients::all();
    py.detach(|| {
        let deadline = Instant::now() + GRACE;
        std::thread::scope(|scope| {
            let _blocked = Blocked::new();
            for client in &clients {
                let closing = std::thread::Builder::new().spawn_scoped(scope, || client.close());
                if closing.is_err() {
                    // Without a thread to be had, one after the other.
                    client.close();
                }
            }
        });
        events::wait_until_over(deadline);
        let left = deadline.saturating_duration_since(Instant::now());
        logs::finish(left.max(LOGGING_GRACE));
        gate::wait_until_empty();
    });
}
