//! Something to be written.

use std::sync::Arc;

use super::durability::Durability;
use crate::error::{Error, Result};
use crate::store::rows::Transaction;
use crate::sync::Mutex;

type Run = Box<dyn FnMut(&mut Transaction) -> rusqlite::Result<()> + Send>;
type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// Something to be written, and who is told.
pub(in crate::store) struct Job {
    pub durability: Durability,
    pub run: Run,
    pub done: Done,
}

impl Job {
    /// `run` may run twice: when another job of the same commit fails, the commit is rolled back and each job
    /// gets one of its own. `done` is told what the last run gave, or why nothing was committed, by whoever commits.
    pub fn new<T: Send + 'static>(
        durability: Durability,
        mut run: impl FnMut(&mut Transaction) -> rusqlite::Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Job {
        let value = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&value);
        Job {
            durability,
            run: Box::new(move |transaction| {
                *slot.lock() = Some(run(transaction)?);
                Ok(())
            }),
            done: Box::new(move |result| {
                done(result.and_then(|()| value.lock().take().ok_or(Error::Closed)));
            }),
        }
    }
}
