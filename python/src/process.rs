//! What there is once per process, and how it ends.
//!
//! A forked child has copies of its parent's locks, perhaps held by threads that it does not have. So it
//! gets a new set of everything, found by its process id, before any lock is looked at.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock, Weak};

use pyo3::prelude::*;
use spotflow_device::ForkGuard;
use spotflow_device::sync::Mutex;

use crate::gate::Gate;
use crate::handle::Handle;
use crate::logs::LogQueue;

/// The state of one process.
pub struct Process {
    pid: u32,
    /// Who waits without the interpreter's lock.
    pub gate: Gate,
    /// What the library logs.
    pub logs: LogQueue,
    /// Locked only with the interpreter's lock held, under which a fork happens, too: so a child never
    /// inherits it locked.
    clients: Mutex<Vec<Weak<Handle>>>,
    child: OnceLock<Box<Process>>,
}

static FIRST: OnceLock<Process> = OnceLock::new();

/// The state of the process that asks.
pub fn process() -> &'static Process {
    let pid = std::process::id();
    let mut process = FIRST.get_or_init(|| Process::new(pid));
    while process.pid != pid {
        process = process.child.get_or_init(|| Box::new(Process::new(pid)));
    }
    process
}

impl Process {
    fn new(pid: u32) -> Process {
        Process {
            pid,
            gate: Gate::default(),
            logs: LogQueue::default(),
            clients: Mutex::new(Vec::new()),
            child: OnceLock::new(),
        }
    }

    /// Remembers a client, to close it at exit.
    pub fn register(&self, handle: &Arc<Handle>) {
        let mut clients = self.clients.lock();
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(handle));
    }

    fn clients(&self) -> Vec<Arc<Handle>> {
        self.clients
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

/// At exit, first: closes all clients, and lets no thread in any more that could wait.
#[pyfunction]
pub fn close_all(py: Python<'_>) {
    let process = process();
    process.gate.close();
    let clients = process.clients();
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
    let gate = &process().gate;
    py.detach(|| gate.wait_until_empty());
}

thread_local! {
    /// Of the thread that forks.
    static HELD: RefCell<Vec<ForkGuard>> = const { RefCell::new(Vec::new()) };
}

/// Before `os.fork()`: keeps all threads out of SQLite, whose locks the child would inherit.
#[pyfunction]
pub fn before_fork() {
    let guards = process()
        .clients()
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
    let own = process();
    let mut ancestor = FIRST.get();
    while let Some(process) = ancestor.filter(|process| process.pid != own.pid) {
        for client in process.clients() {
            client.leave_to_parent();
            std::mem::forget(client);
        }
        ancestor = process.child.get().map(Box::as_ref);
    }
}
