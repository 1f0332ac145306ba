//! Signals such as Ctrl+C during a wait: only Python's main thread runs their handlers.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use spotflow_device::{Error, InterruptCheck};

use crate::errors::to_python;
use crate::gate::{self, closed, outside};
use crate::main_thread::is_main_thread;

const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);
const EXIT_INTERVAL: Duration = Duration::from_millis(250);

thread_local! {
    /// Whether the wait of this thread is one of Python's main thread.
    static IS_MAIN: Cell<bool> = const { Cell::new(false) };
    /// What a signal handler raised during the wait of this thread.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// The check of one client; its clones are the same.
#[derive(Clone, Default)]
pub struct Signals {
    /// A client that is starting is not known to be closed at exit, so its wait has to look.
    has_started: Arc<AtomicBool>,
}

impl Signals {
    /// The client is known from here on.
    pub fn started(&self) {
        self.has_started.store(true, Ordering::Release);
    }
}

impl InterruptCheck for Signals {
    fn interrupted(&self) -> bool {
        if !IS_MAIN.get() {
            return gate::is_closed();
        }
        match Python::try_attach(|py| py.check_signals()) {
            Some(Ok(())) => false,
            Some(Err(raised)) => {
                RAISED.set(Some(raised));
                true
            }
            // The interpreter is going down.
            None => true,
        }
    }

    fn interval(&self) -> Option<Duration> {
        if IS_MAIN.get() {
            Some(SIGNAL_INTERVAL)
        } else if self.has_started.load(Ordering::Acquire) {
            None
        } else {
            Some(EXIT_INTERVAL)
        }
    }
}

/// Runs a call of the library that waits, without the interpreter's lock; a signal handler's exception
/// ends it and is what it raises.
pub fn waiting<T: Send>(
    py: Python<'_>,
    f: impl FnOnce() -> spotflow_device::Result<T> + Send,
) -> PyResult<T> {
    IS_MAIN.set(is_main_thread(py)?);
    match outside(py, f)? {
        Ok(value) => Ok(value),
        Err(Error::Interrupted) => Err(RAISED.take().unwrap_or_else(|| closed(py))),
        Err(Error::Closed) => Err(closed(py)),
        Err(error) => Err(to_python(py, &error)),
    }
}
