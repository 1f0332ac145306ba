//! Signals such as Ctrl+C during a wait: only Python's main thread runs their handlers.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use spotflow_device::{Error, InterruptCheck};

use crate::errors::to_python;
use crate::gate::{closed, outside};
use crate::process::process;

const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);
const EXIT_INTERVAL: Duration = Duration::from_millis(250);

thread_local! {
    static IS_MAIN: Cell<bool> = const { Cell::new(false) };
    /// What was found out about this thread, and in which process: to ask Python costs as much as to store a
    /// Message, but for its sync.
    static FOUND: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
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
    pub fn has_started(&self) {
        self.has_started.store(true, Ordering::Release);
    }
}

impl InterruptCheck for Signals {
    fn interrupted(&self) -> bool {
        if !IS_MAIN.get() {
            return process().gate.is_closed();
        }
        match Python::attach(|py| py.check_signals()) {
            Ok(()) => false,
            Err(raised) => {
                RAISED.set(Some(raised));
                true
            }
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

/// Whether this is the thread that runs Python's signal handlers. In a forked child that is the one that forked.
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let pid = std::process::id();
    if let Some((found_in, is_main)) = FOUND.get()
        && found_in == pid
    {
        return Ok(is_main);
    }
    let is_main = ask_for_main_thread(py)?;
    FOUND.set(Some((pid, is_main)));
    Ok(is_main)
}

fn ask_for_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?;
    let own = threading.call_method0("get_ident")?;
    main.getattr("ident")?.eq(own)
}
