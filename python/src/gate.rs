//! The way out of the interpreter's lock and back.
//!
//! CPython ends a thread that wants the lock while the interpreter is going down by unwinding it, which
//! no Rust code survives. So threads are counted on their way: at exit, the last step waits until those
//! that can come back are back, and the rest never come back.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

use crate::errors::ClosedError;
use crate::main_thread::is_main_thread;
use crate::per_process::PerProcess;
use crate::unpoisoned::unpoisoned;

static GATE: PerProcess<Gate> = PerProcess::new();

/// How long the exit waits for threads that are still outside, for instance in a compression.
const GRACE: Duration = Duration::from_secs(1);

thread_local! {
    /// The process in which this thread runs callbacks or handles log records, if it does.
    static OWN_IN: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Counts the threads that have let go of the interpreter's lock.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outside: usize,
    /// Of those outside: done, and waiting for nothing but the interpreter's lock.
    returning: usize,
    /// Only the package's own threads may still go out.
    closed: bool,
    /// Nobody goes out, and nobody comes back.
    over: bool,
}

/// Runs `f` without the interpreter's lock. Fails once the interpreter is going down.
pub fn outside<T: Send>(py: Python<'_>, f: impl FnOnce() -> T + Send) -> PyResult<T> {
    check_open(py)?;
    Ok(GATE.own().pass(py, f))
}

/// Fails once the interpreter is going down.
pub fn check_open(py: Python<'_>) -> PyResult<()> {
    if is_closed() {
        return Err(closed(py));
    }
    Ok(())
}

/// What to raise when the client is closed.
///
/// At the interpreter's exit that is nothing that a program's daemon thread could have expected or could
/// mend: the thread ends as by `sys.exit()`, without a word, and lets go of what it holds.
pub fn closed(py: Python<'_>) -> PyErr {
    if !is_closed() {
        return ClosedError::new_err("the client is closed");
    }
    if is_own_thread() || is_main_thread(py).unwrap_or(true) {
        return ClosedError::new_err("the client is closed: the interpreter is shutting down");
    }
    PySystemExit::new_err(())
}

/// Whether this thread runs callbacks or handles log records.
pub fn is_own_thread() -> bool {
    OWN_IN.get().is_some()
}

/// Whether this thread does so in another process: what it runs has forked, and this is the child, which has the
/// thread but nothing of what it serves.
pub fn is_forked_thread() -> bool {
    OWN_IN.get().is_some_and(|pid| pid != std::process::id())
}

/// This thread runs what the program wants to be called for.
pub fn enter_own_thread() {
    OWN_IN.set(Some(std::process::id()));
}

/// [`outside`] for the package's own threads, which may still deliver while the rest is closing; `None` when
/// that is over.
pub fn outside_to_the_end<T: Send>(py: Python<'_>, f: impl FnOnce() -> T + Send) -> Option<T> {
    if is_forked_thread() {
        return None;
    }
    enter_own_thread();
    let gate = GATE.own();
    if gate.state().over {
        return None;
    }
    Some(gate.pass(py, f))
}

/// Lets only the package's own threads out from here on.
pub fn close() {
    GATE.own().state().closed = true;
}

/// Whether the interpreter is going down.
pub fn is_closed() -> bool {
    GATE.own().state().closed
}

/// Waits for the threads outside, for the ones that are busy only [`GRACE`], and lets nobody come back from
/// then on.
pub fn wait_until_empty() {
    GATE.own().wait_until_empty();
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }

    /// Called with the interpreter's lock held, so that no exit can come between check and count.
    fn pass<T: Send>(&self, py: Python<'_>, f: impl FnOnce() -> T + Send) -> T {
        self.state().outside += 1;
        let result = py.detach(|| {
            let result = f();
            self.come_back();
            result
        });
        let mut state = self.state();
        state.returning -= 1;
        state.outside -= 1;
        let is_awaited = state.closed;
        drop(state);
        if is_awaited {
            self.changed.notify_all();
        }
        result
    }

    fn come_back(&self) {
        // For ever, once it is over: there is no interpreter to come back to, and the process is ending.
        let waited = self.changed.wait_while(self.state(), |state| state.over);
        unpoisoned(waited).returning += 1;
    }

    fn wait_until_empty(&self) {
        let are_outside = |state: &mut State| state.outside > 0;
        let waited = self
            .changed
            .wait_timeout_while(self.state(), GRACE, are_outside);
        let (mut state, _) = unpoisoned(waited);
        state.over = true;
        let waited = self.changed.wait_while(state, |state| state.returning > 0);
        drop(unpoisoned(waited));
    }
}
