//! Waiting on a condition: by condvar, with a deadline, and open to interruption.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Ends long waits early, as on Ctrl+C. Asked on the thread that waits, without any lock of the client
/// held; a wait that it ends returns [`Error::Interrupted`].
///
/// Every `Fn() -> bool` that is `Send + Sync` is one, asked every 100 ms.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// # use spotflow_device::DeviceClient;
/// static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// let builder = DeviceClient::builder("token", "device.db")
///     .interrupt_check(|| INTERRUPTED.load(Ordering::Relaxed));
/// ```
pub trait InterruptCheck: Send + Sync {
    /// Whether the wait on this thread should end now.
    fn interrupted(&self) -> bool;

    /// How often a wait on this thread asks; `None` where nothing can interrupt this thread, which
    /// spares it the wake-ups. 100 ms unless overridden.
    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(100))
    }
}

impl<F: Fn() -> bool + Send + Sync> InterruptCheck for F {
    fn interrupted(&self) -> bool {
        self()
    }
}

/// Waits until `ready` returns a value, the deadline passes, or the check interrupts. `state` is what `mutex`
/// guards.
pub(crate) fn wait_for<'a, S, T>(
    mutex: &'a Mutex<S>,
    mut state: MutexGuard<'a, S>,
    changed: &Condvar,
    deadline: Option<Instant>,
    check: Option<&dyn InterruptCheck>,
    mut ready: impl FnMut(&mut S) -> Option<Result<T>>,
) -> (MutexGuard<'a, S>, Result<T>) {
    let check = check.and_then(|check| Some((check, check.interval()?)));
    loop {
        if let Some(result) = ready(&mut state) {
            return (state, result);
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return (state, Err(Error::TimedOut));
        }
        if let Some((check, _)) = check {
            drop(state);
            let is_interrupted = check.interrupted();
            state = mutex.lock();
            if is_interrupted {
                return (state, Err(Error::Interrupted));
            }
            // What happened meanwhile must not be slept over.
            if let Some(result) = ready(&mut state) {
                return (state, result);
            }
        }
        let next_check = check.and_then(|(_, interval)| now.checked_add(interval));
        state = match [deadline, next_check].into_iter().flatten().min() {
            Some(until) => changed.wait_until(state, until),
            None => changed.wait(state),
        };
    }
}

/// The deadline that lies `limit` ahead; none if that is beyond what the clock can say.
pub(crate) fn deadline_after(limit: Duration) -> Option<Instant> {
    Instant::now().checked_add(limit)
}
