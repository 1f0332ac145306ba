//! A thread that lives only while there is work for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::sync::{Condvar, Mutex};

/// The place of at most one such thread.
#[derive(Default)]
pub(crate) struct Worker {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: bool,
    /// More work came while the thread was running.
    again: bool,
    closed: bool,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs `work` in a new thread named `name`, unless the worker is closed. If it is running, it
    /// runs once more: what it did not see the first time, it sees then. `over` is called when the
    /// thread counts as over.
    pub fn start(
        self: &Arc<Self>,
        name: &'static str,
        work: impl Fn() + Send + 'static,
        over: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let mut state = self.state.lock();
        if state.running || state.closed {
            state.again = true;
            return Ok(());
        }
        let worker = Arc::clone(self);
        let thread = crate::threads::spawn(name, move || {
            let end = End(worker);
            work();
            while end.0.goes_on() {
                work();
            }
            drop(end);
            over();
        })
        .map_err(|error| Error::system("start a thread", error))?;
        state.running = true;
        // The handle before is of a thread that is over, but for its last instructions: who starts
        // the next does not wait for them.
        state.thread = Some(thread);
        Ok(())
    }

    /// Whether there is more work; if not, the thread counts as over from here on.
    fn goes_on(&self) -> bool {
        let mut state = self.state.lock();
        state.running = std::mem::take(&mut state.again) && !state.closed;
        state.running
    }

    /// Whether the thread is running.
    pub fn is_running(&self) -> bool {
        self.state.lock().running
    }

    /// Sleeps until `until`, or less long if the worker is closed; returns whether it may go on.
    pub fn sleep(&self, until: Instant) -> bool {
        let state = self.state.lock();
        let is_open = |state: &mut State| !state.closed;
        !self.changed.wait_while_until(state, until, is_open).closed
    }

    /// Whether the work should end.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Whether the work is asking.
    pub fn is_own_thread(&self) -> bool {
        let own = std::thread::current().id();
        let state = self.state.lock();
        let thread = state.thread.as_ref();
        thread.is_some_and(|thread| thread.thread().id() == own)
    }

    /// Asks the work to end, and starts none any more.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for the thread's end until the deadline, then leaves it behind; its own call of this
    /// returns at once.
    pub fn join(&self, name: &str, deadline: Instant) {
        if self.is_own_thread() {
            return;
        }
        let state = self.state.lock();
        let is_running = |state: &mut State| state.running;
        let mut state = self.changed.wait_while_until(state, deadline, is_running);
        if state.running {
            log::warn!("the {name} thread waits for the operating system; it is left behind");
            return;
        }
        if let Some(thread) = state.thread.take() {
            drop(state);
            // A panic in it was reported when it happened.
            drop(thread.join());
        }
    }
}

/// Says that the thread is over, also when the work panics.
struct End(Arc<Worker>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.state.lock().running = false;
        self.0.changed.notify_all();
    }
}
