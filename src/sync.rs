//! Locks that a forked child can leave behind.
//!
//! Those of `std` are on Linux a word each, and nothing else in the process knows of them. `parking_lot` keeps the
//! threads that wait in one table for the whole process: a child inherits the entries of threads that it does not
//! have, and its own locks walk over their freed memory.
//!
//! Without poisoning: a panic under a lock is logged where it happens, and the client goes on.

use std::sync::{self, LockResult, PoisonError, TryLockError};
use std::time::Instant;

pub use std::sync::MutexGuard;

/// A mutex without poisoning.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An open one.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// Waits until it is this thread's.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        unpoisoned(self.0.lock())
    }

    /// Takes it if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A condition variable for it. A wait can end without a notification.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar(sync::Condvar::new())
    }

    /// Wakes one thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits for a notification.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        unpoisoned(self.0.wait(guard))
    }

    /// Waits for a notification, or the deadline.
    pub fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> MutexGuard<'a, T> {
        let limit = deadline.saturating_duration_since(Instant::now());
        unpoisoned(self.0.wait_timeout(guard, limit)).0
    }

    /// Waits while `condition` holds.
    pub fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        unpoisoned(self.0.wait_while(guard, condition))
    }

    /// Waits while `condition` holds, until the deadline at most.
    pub fn wait_while_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        let limit = deadline.saturating_duration_since(Instant::now());
        unpoisoned(self.0.wait_timeout_while(guard, limit, condition)).0
    }
}

fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_panic_under_a_lock_leaves_it_usable() {
        let (mutex, changed) = (Mutex::new(1), Condvar::new());
        let panicked = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _guard = mutex.lock();
                panic!("on purpose");
            });
            thread.join()
        });
        assert!(panicked.is_err());
        *mutex.try_lock().unwrap() += 1;
        let guard = changed.wait_while(mutex.lock(), |number| *number != 2);
        let soon = Instant::now() + Duration::from_millis(1);
        let guard = changed.wait_while_until(guard, soon, |number| *number == 2);
        assert!(Instant::now() >= soon);
        assert!(mutex.try_lock().is_none());
        assert_eq!(*changed.wait_until(guard, soon), 2);
    }
}
