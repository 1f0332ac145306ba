//! How the library starts its threads: named, and with signals blocked.
//!
//! The system gives a signal that was sent to the process to any thread that does not block it. A program that
//! blocks SIGTERM in its own threads, to wait for it in `sigwait`, would be killed through one of these.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread that no signal reaches, but for those that are its own faults.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    // A thread has the mask of the one that starts it, from its first instruction on.
    #[cfg(unix)]
    let _blocked = mask::Blocked::new();
    #[cfg(test)]
    refused::check(name)?;
    Builder::new().name(name.to_owned()).spawn(run)
}

/// Threads that a test's system does not give.
#[cfg(test)]
pub(crate) mod refused {
    use std::io;

    use crate::sync::Mutex;

    static REFUSED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

    /// From now on threads of this name are refused, or given again.
    pub fn set(name: &'static str, is_refused: bool) {
        let mut refused = REFUSED.lock();
        refused.retain(|refused| *refused != name);
        if is_refused {
            refused.push(name);
        }
    }

    pub(super) fn check(name: &str) -> io::Result<()> {
        if REFUSED.lock().contains(&name) {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        Ok(())
    }
}

#[cfg(unix)]
mod mask {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};

    /// What a thread does wrong itself: its handlers, such as the one that tells of a stack overflow, are kept.
    const FAULTS: [Signal; 6] = [
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSEGV,
        Signal::SIGSYS,
        Signal::SIGTRAP,
    ];

    /// Blocks signals in this thread until it is dropped.
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
}

#[cfg(all(test, unix))]
mod tests {
    use nix::sys::signal::{SigSet, Signal};

    use super::*;

    #[test]
    fn a_thread_blocks_signals_but_its_faults_and_who_starts_it_does_not() {
        let before = SigSet::thread_get_mask().unwrap();
        let inside = spawn("test", || SigSet::thread_get_mask().unwrap())
            .unwrap()
            .join()
            .unwrap();
        for signal in Signal::iterator() {
            let is_fault = matches!(
                signal,
                Signal::SIGBUS
                    | Signal::SIGFPE
                    | Signal::SIGILL
                    | Signal::SIGSEGV
                    | Signal::SIGSYS
                    | Signal::SIGTRAP
            );
            let can_be_blocked = !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP);
            let is_blocked = inside.contains(signal);
            assert_eq!(is_blocked, can_be_blocked && !is_fault, "{signal}");
        }
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
