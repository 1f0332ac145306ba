//! The way out of the interpreter's lock and back.
//!
//! CPython ends a thread that wants the lock while the interpreter is going down by unwinding it, which
//! no Rust code survives. So threads are counted on their way: at exit, the last step waits until those
//! that can come back are back, and the rest never come back.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use spotflow_device::sync::{Condvar, Mutex};

use crate::errors::ClosedError;
use crate::process::process;
use crate::signals::is_main_thread;

/// How long the exit waits for threads that are still outside, for instance in a compression.
const GRACE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this thread runs callbacks or handles log records.
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Counts the threads that have let go of the interpreter's lock.
#[derive(Default)]
pub struct Gate {
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
    let gate = &process().gate;
    if gate.state.lock().closed {
        return Err(closed(py));
    }
    Ok(gate.pass(py, f))
}

/// What to raise when the client is closed.
///
/// At the interpreter's exit that is nothing that a program's daemon thread could have expected or could
/// mend: the thread ends as by `sys.exit()`, without a word, and lets go of what it holds.
pub fn closed(py: Python<'_>) -> PyErr {
    if !process().gate.is_closed() {
        return ClosedError::new_err("the client is closed");
    }
    match is_main_thread(py) {
        Ok(is_main) if is_main || IS_OWN.get() => {
            ClosedError::new_err("the client is closed: the interpreter is shutting down")
        }
        Ok(_) => PySystemExit::new_err(()),
        Err(error) => error,
    }
}

/// [`outside`] for the package's own threads, which may still deliver while the rest is closing; `None` when
/// that is over.
pub fn outside_to_the_end<T: Send>(py: Python<'_>, f: impl FnOnce() -> T + Send) -> Option<T> {
    IS_OWN.set(true);
    let gate = &process().gate;
    if gate.state.lock().over {
        return None;
    }
    Some(gate.pass(py, f))
}

impl Gate {
    /// Called with the interpreter's lock held, so that no exit can come between check and count.
    fn pass<T: Send>(&self, py: Python<'_>, f: impl FnOnce() -> T + Send) -> T {
        self.state.lock().outside += 1;
        let result = py.detach(|| {
            let result = f();
            self.come_back();
            result
        });
        let mut state = self.state.lock();
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
        let is_over = |state: &mut State| state.over;
        self.changed
            .wait_while(self.state.lock(), is_over)
            .returning += 1;
    }

    /// Lets only the package's own threads out from here on.
    pub fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Whether the interpreter is going down.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Waits for the threads outside, for the ones that are busy only [`GRACE`].
    pub fn wait_until_empty(&self) {
        let deadline = Instant::now() + GRACE;
        let are_outside = |state: &mut State| state.outside > 0;
        let mut state = self
            .changed
            .wait_while_until(self.state.lock(), deadline, are_outside);
        state.over = true;
        drop(self.changed.wait_while(state, |state| state.returning > 0));
    }
}
