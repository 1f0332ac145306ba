//! What a process has to do that forks without `exec`, as Python's `multiprocessing` may.
//!
//! The child has copies of everything but the threads. It can use none of it; but it may start a client of
//! its own.

use super::DeviceClient;
use crate::store::Hold;

/// Made by [`DeviceClient::hold_for_fork`].
#[must_use = "threads are kept out of the database only while it lives"]
pub struct ForkGuard {
    _hold: Hold,
}

impl std::fmt::Debug for ForkGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForkGuard").finish_non_exhaustive()
    }
}

impl DeviceClient {
    /// Keeps the client's threads out of the database code until the guard is dropped. A process that
    /// forks without it can catch SQLite's locks, which are shared by all databases of a process, in a
    /// state in which no client can start in the child.
    ///
    /// Drop it in the parent, and [forget](std::mem::forget) it in the child. Blocks for a commit that
    /// is under way; whoever wants something stored waits meanwhile.
    ///
    /// ```no_run
    /// # fn fork() -> i32 { 0 }
    /// # fn f(client: spotflow_device::DeviceClient) {
    /// let guard = client.hold_for_fork();
    /// if fork() == 0 {
    ///     std::mem::forget(guard);
    ///     client.forget_after_fork();
    /// }
    /// # }
    /// ```
    pub fn hold_for_fork(&self) -> ForkGuard {
        ForkGuard {
            _hold: self.core().store.hold(),
        }
    }

    /// For a child process made by `fork` that does not `exec`: forgets the parent's client, of which
    /// the child has only a copy without its threads. Any other use of that copy, dropping it
    /// included, may hang; so all of its clones and senders must be [forgotten](std::mem::forget).
    ///
    /// The child's handle of the file lock is closed, so that the lock goes with the parent. Sockets
    /// and the database stay open in the child until it ends. Does not block.
    ///
    /// ```no_run
    /// # fn in_the_child(client: spotflow_device::DeviceClient) {
    /// client.forget_after_fork();
    /// # }
    /// ```
    pub fn forget_after_fork(self) {
        self.core.store.leave_to_parent();
        std::mem::forget(self);
    }
}
