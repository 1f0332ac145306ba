//! What belongs to the process that made it.

use pyo3::prelude::*;

use crate::errors::SpotflowError;
use crate::gate::outside;

/// A part of the library, usable only in the process that made it: in a forked child it has no threads,
/// and its locks may be held for ever.
pub struct Owned<T: Send> {
    value: Option<T>,
    pid: u32,
}

impl<T: Send> Owned<T> {
    pub fn new(value: T) -> Owned<T> {
        Owned {
            value: Some(value),
            pid: std::process::id(),
        }
    }

    /// The value, in its own process.
    pub fn get(&self) -> PyResult<&T> {
        match &self.value {
            Some(value) if self.pid == std::process::id() => Ok(value),
            _ => Err(SpotflowError::new_err(
                "made before os.fork(), and only its parent can use it; start another client, on another file",
            )),
        }
    }

    /// The value, whatever the process; it must be treated accordingly.
    pub fn get_anywhere(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T: Send> Drop for Owned<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else {
            return;
        };
        if self.pid != std::process::id() {
            std::mem::forget(value);
            return;
        }
        // The last one closes the client, which waits for its threads. At exit, when nobody can go
        // outside any more, all clients are closed, and nothing waits.
        Python::try_attach(|py| outside(py, move || drop(value)).ok());
    }
}
