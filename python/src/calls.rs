//! Calls on their way to Python: a thread of the library's waits for each answer, a thread of Python's fetches them and
//! starts one for each call. The library bounds how many there are at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use pyo3::prelude::*;

use crate::gate::{self, outside_to_the_end};
use crate::own_threads::name_thread;
use crate::unpoisoned::unpoisoned;

/// What the program is asked, and who waits for its answer.
pub trait Asked: Send + Sync {
    /// What the function gets.
    fn argument(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;
    /// Answers with what it returned.
    fn answer(&self, returned: &Bound<'_, PyAny>) -> PyResult<()>;
    /// There will be no answer.
    fn fail(&self, why: &'static str);
}

/// Who waits for an answer; only the first one counts.
pub struct Waiting<T>(Mutex<Option<SyncSender<T>>>);

impl<T> Waiting<T> {
    pub fn reply(&self, answer: T) {
        // In a child that the function forked nobody waits, and the channel is the parent's.
        if gate::is_forked_thread() {
            return;
        }
        if let Some(sender) = unpoisoned(self.0.lock()).take() {
            // The thread that waits has room for it.
            drop(sender.send(answer));
        }
    }
}

/// Calls that wait for a thread.
#[derive(Default)]
pub struct CallQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    calls: VecDeque<Call>,
    is_over: bool,
}

/// A call that a thread runs, and of which queue it came.
struct Running {
    queue: Arc<CallQueue>,
    asked: Arc<dyn Asked>,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

impl CallQueue {
    /// By a thread of the library's: has Python answer, and waits for it; `None` if it does not.
    pub fn ask<T, A: Asked + 'static>(&self, asked: impl FnOnce(Waiting<T>) -> A) -> Option<T> {
        let (sender, receiver) = sync_channel(1);
        let mut state = self.state();
        if state.is_over {
            return None;
        }
        let asked = Arc::new(asked(Waiting(Mutex::new(Some(sender)))));
        state.calls.push_back(Call { asked });
        drop(state);
        self.changed.notify_all();
        // Whoever has the call answers, or drops it.
        receiver.recv().ok()
    }

    /// There will be no more; those that wait are not run. The library waits for the others, but must not for the one
    /// that closes the client itself.
    pub fn close(&self) {
        let dropped = {
            let mut state = self.state();
            state.is_over = true;
            std::mem::take(&mut state.calls)
        };
        drop(dropped);
        self.changed.notify_all();
        RUNNING.with_borrow(|running| {
            if let Some(running) = running
                && std::ptr::eq(&*running.queue, self)
            {
                running.asked.fail("it closed the client");
            }
        });
    }

    fn next(&self) -> Option<Call> {
        let is_idle = |state: &mut State| state.calls.is_empty() && !state.is_over;
        let mut state = unpoisoned(self.changed.wait_while(self.state(), is_idle));
        state.calls.pop_front()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }
}

/// The calls of one client, for its thread that starts those that run them.
#[pyclass(module = "spotflow_device._native", frozen, skip_from_py_object)]
pub struct Calls {
    queue: Arc<CallQueue>,
}

impl Calls {
    pub fn new(queue: Arc<CallQueue>) -> Calls {
        Calls { queue }
    }
}

#[pymethods]
impl Calls {
    /// Waits for the next call; `None` at the end.
    fn next(&self, py: Python<'_>) -> Option<Call> {
        if gate::is_forked_thread() {
            return None;
        }
        name_thread(c"spotflow_method");
        outside_to_the_end(py, || self.queue.next()).flatten()
    }

    /// Whether there will be no more, because the client is closing.
    #[getter]
    fn are_over(&self) -> bool {
        gate::is_forked_thread() || self.queue.state().is_over || gate::is_closed()
    }

    /// What the function gets. This thread is one of the package's own from here on.
    fn begin(&self, py: Python<'_>, call: &Call) -> PyResult<Py<PyAny>> {
        gate::enter_own_thread();
        RUNNING.set(Some(Running {
            queue: Arc::clone(&self.queue),
            asked: Arc::clone(&call.asked),
        }));
        call.asked.argument(py)
    }
}

/// One call, for the thread that runs it.
#[pyclass(module = "spotflow_device._native", frozen, skip_from_py_object)]
pub struct Call {
    asked: Arc<dyn Asked>,
}

#[pymethods]
impl Call {
    /// Answers with what the function returned.
    fn answer(&self, returned: &Bound<'_, PyAny>) -> PyResult<()> {
        self.asked.answer(returned)
    }

    /// The function has raised an exception, which is logged already.
    fn fail(&self) {
        self.asked.fail("it raised an exception");
    }
}
