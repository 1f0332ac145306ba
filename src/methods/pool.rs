//! A few threads that live only while there is work, and a queue with an end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

type Work = Box<dyn FnOnce() + Send>;

/// Why work was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// All threads are busy, and the queue is full; or no thread is to be had.
    Busy,
    Closed,
}

/// The threads and their queue.
pub(super) struct Pool {
    threads_max: usize,
    queue_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    /// Those that run. A thread that is not here is over, but for its last instructions.
    threads: Vec<ThreadId>,
    /// Started, and not yet in the list.
    starting: usize,
    closed: bool,
}

impl State {
    fn count(&self) -> usize {
        self.threads.len() + self.starting
    }
}

impl Pool {
    pub fn new(threads_max: usize, queue_max: usize) -> Arc<Pool> {
        Arc::new(Pool {
            threads_max,
            queue_max,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Has a thread do it, or queues it. Never blocks. The work must not panic.
    pub fn submit(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.queue.len() >= self.queue_max {
            return Err(Refused::Busy);
        }
        state.queue.push_back(Box::new(work));
        if state.count() < self.threads_max {
            let pool = Arc::clone(self);
            let thread = crate::threads::spawn("spotflow-method", move || pool.run());
            match thread {
                Ok(_detached) => state.starting += 1,
                Err(_) if state.count() > 0 => {}
                Err(error) => {
                    state.queue.pop_back();
                    log::error!("cannot start a thread for a method: {error}");
                    return Err(Refused::Busy);
                }
            }
        }
        Ok(())
    }

    fn run(&self) {
        let own = std::thread::current().id();
        let mut state = self.state.lock();
        state.starting -= 1;
        state.threads.push(own);
        while let Some(work) = state.queue.pop_front() {
            drop(state);
            work();
            state = self.state.lock();
        }
        state.threads.retain(|thread| *thread != own);
        self.changed.notify_all();
    }

    /// Whether one of the threads is asking.
    pub fn is_own_thread(&self) -> bool {
        self.state
            .lock()
            .threads
            .contains(&std::thread::current().id())
    }

    /// Drops what is queued, and waits for the threads, but not for the one that asks; returns how much was dropped, and
    /// whether all others have ended by the deadline.
    pub fn close(&self, deadline: Instant) -> (usize, bool) {
        let own = std::thread::current().id();
        let others = |state: &State| state.count() - usize::from(state.threads.contains(&own));
        let mut state = self.state.lock();
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        let dropped = queue.len();
        drop(queue);
        let goes_on = |state: &mut State| others(state) > 0;
        let state = self
            .changed
            .wait_while_until(self.state.lock(), deadline, goes_on);
        (dropped, others(&state) == 0)
    }
}
