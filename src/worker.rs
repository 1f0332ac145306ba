//! A thread that lives only while there is work for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

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
    /// There is news that ends a wait for it.
    hurried: bool,
    /// The system had no thread to give, the last time.
    is_refused: bool,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs `work` in a new thread named `name`, unless the worker is closed. If it is running, it
    /// runs once more: what it did not see the first time, it sees then. `over` is called when the
    /// thread counts as over.
    ///
    /// Returns whether the work is under way. That the system has no thread to give is logged once, and that it has
    /// again: who needs it comes back.
    pub fn start(
        self: &Arc<Self>,
        name: &'static str,
        work: impl Fn() + Send + 'static,
        over: impl FnOnce() + Send + 'static,
    ) -> bool {
        let mut state = self.state.lock();
        if state.running || state.closed {
            state.again = true;
            return true;
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
        });
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                if !std::mem::replace(&mut state.is_refused, true) {
                    log::error!("cannot start the thread {name}: {error}; will retry");
                }
                return false;
            }
        };
        if std::mem::take(&mut state.is_refused) {
            log::info!("the thread {name} is started again");
        }
        state.running = true;
        // The handle before is of a thread that is over, but for its last instructions: whoever starts
        // the next does not wait for them.
        state.thread = Some(thread);
        true
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

    /// The same, or until the work is [hurried](Self::hurry), or if it has been.
    pub fn sleep_unless_hurried(&self, until: Instant) -> bool {
        let state = self.state.lock();
        let goes_on_waiting = |state: &mut State| !state.closed && !state.hurried;
        let state = self.changed.wait_while_until(state, until, goes_on_waiting);
        !state.closed
    }

    /// There is news that ends a wait for it, now or next.
    pub fn hurry(&self) {
        self.state.lock().hurried = true;
        self.changed.notify_all();
    }

    /// The news before is known.
    pub fn forget_hurry(&self) {
        self.state.lock().hurried = false;
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

/// Says that the thread is over, also when the work panics. Else [`goes_on`](Worker::goes_on) has said so before: the
/// next may be running by now.
struct End(Arc<Worker>);

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().running = false;
        }
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::threads::refused;

    const NAME: &str = "test-refused";

    #[test]
    fn a_thread_that_is_not_to_be_had_is_asked_for_again_and_logged_once() {
        let worker = Arc::<Worker>::default();
        let (runs, run) = mpsc::channel();
        let start = || {
            let runs = runs.clone();
            worker.start(NAME, move || runs.send(()).unwrap(), || {})
        };
        refused::set(NAME, true);
        let lines = crate::log_lines::of(|| {
            assert!(!start());
            assert!(!start());
            assert!(!start());
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("cannot start the thread test-refused: "),
            "{lines:?}"
        );
        assert!(run.try_recv().is_err());
        refused::set(NAME, false);
        let lines = crate::log_lines::of(|| assert!(start()));
        assert_eq!(lines, ["the thread test-refused is started again"]);
        run.recv().unwrap();
        worker.join("test", Instant::now() + std::time::Duration::from_secs(30));
        assert_eq!(crate::log_lines::of(|| assert!(start())), [""; 0]);
        run.recv().unwrap();
    }

    #[test]
    fn the_last_instructions_of_a_thread_do_not_count_for_the_next_one() {
        let worker = Arc::<Worker>::default();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        // A thread before has found no more work, and has not come to its end.
        worker.state.lock().running = true;
        let end = End(Arc::clone(&worker));
        assert!(!worker.goes_on());
        let work = move || released.lock().recv().unwrap();
        assert!(worker.start("test-next", work, || {}));
        drop(end);
        assert!(worker.is_running());
        release.send(()).unwrap();
        worker.join("test", Instant::now() + std::time::Duration::from_secs(30));
        assert!(!worker.is_running());
    }

    #[test]
    fn a_thread_that_panics_counts_as_over() {
        let worker = Arc::<Worker>::default();
        assert!(worker.start("test-panic", || panic!("on purpose"), || {}));
        worker.join("test", Instant::now() + std::time::Duration::from_secs(30));
        assert!(!worker.is_running());
    }
}
