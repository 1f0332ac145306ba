//! Which signals reach a thread: none that runs the package's own Python code.
//!
//! The system gives a signal that was sent to the process to any thread that does not block it. A program that
//! blocks SIGTERM in its own threads, to wait for it in `sigwait`, would be killed through one of these.

#[cfg(unix)]
mod unix {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};

    /// What a thread does wrong itself: handlers for these, such as those of `faulthandler`, are kept.
    const FAULTS: [Signal; 6] = [
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSEGV,
        Signal::SIGSYS,
        Signal::SIGTRAP,
    ];

    /// Blocks signals in this thread, and in those that it starts, until it is dropped.
    pub struct Blocked {
        before: Option<SigSet>,
    }

    impl Blocked {
        pub fn new() -> Blocked {
            let mut signals = SigSet::all();
            for fault in FAULTS {
                signals.remove(fault);
            }
            Blocked {
                before: signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok(),
            }
        }
    }

    impl Drop for Blocked {
        fn drop(&mut self) {
            if let Some(before) = &self.before
                && let Err(error) = before.thread_set_mask()
            {
                log::error!("cannot unblock signals: {error}");
            }
        }
    }

    /// In a child that such a thread forked: it is the only thread there.
    pub fn unblock_all() {
        if let Err(error) = SigSet::empty().thread_set_mask() {
            log::error!("cannot unblock signals: {error}");
        }
    }
}

#[cfg(unix)]
pub use unix::{Blocked, unblock_all};

#[cfg(not(unix))]
mod other {
    /// Signals are of Unix.
    pub struct Blocked;

    impl Blocked {
        pub fn new() -> Blocked {
            Blocked
        }
    }

    pub fn unblock_all() {}
}

#[cfg(not(unix))]
pub use other::{Blocked, unblock_all};
