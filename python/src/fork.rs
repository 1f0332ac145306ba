//! `os.fork()`: the parent goes on unharmed, and the child leaves its clients alone.

use std::cell::RefCell;

use pyo3::prelude::*;
use spotflow_device::ForkGuard;

use crate::{clients, gate, signal_mask};

thread_local! {
    /// Of the thread that forks.
    static HELD: RefCell<Vec<ForkGuard>> = const { RefCell::new(Vec::new()) };
}

/// Before `os.fork()`: keeps all threads out of SQLite, whose locks the child would inherit.
#[pyfunction]
pub fn before_fork() {
    let guards = clients::all()
        .iter()
        .filter_map(|client| client.hold_for_fork())
        .collect();
    HELD.set(guards);
}

/// After it, in the parent.
#[pyfunction]
pub fn after_fork_in_parent() {
    HELD.take().clear();
}

/// After it, in the child: leaves the parent's clients to the parent.
#[pyfunction]
pub fn after_fork_in_child() {
    for guard in HELD.take() {
        std::mem::forget(guard);
    }
    for client in clients::of_ancestors() {
        client.leave_to_parent();
        std::mem::forget(client);
    }
    if gate::is_own_thread() {
        signal_mask::unblock_all();
    }
}
