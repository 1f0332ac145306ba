//! Which thread runs Python's signal handlers.

use std::cell::Cell;

use pyo3::prelude::*;

thread_local! {
    /// What was found out about this thread, and in which process: to ask Python costs as much as to store a
    /// Message, but for its sync.
    static FOUND: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
}

/// Whether this is that thread. In a forked child it is the one that forked.
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let pid = std::process::id();
    if let Some((found_in, is_main)) = FOUND.get()
        && found_in == pid
    {
        return Ok(is_main);
    }
    let is_main = ask(py)?;
    FOUND.set(Some((pid, is_main)));
    Ok(is_main)
}

fn ask(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?;
    let own = threading.call_method0("get_ident")?;
    main.getattr("ident")?.eq(own)
}
