//! Why the library's locks are `std`'s: Python programs fork (`multiprocessing`, `os.fork`) while its threads wait,
//! and the child may start a client of its own.
//!
//! glibc gives the stack of a thread that the child does not have, thread-local variables included, to the next
//! thread that the child starts. `parking_lot` has its list of waiting threads go through just those variables.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::time::Duration;

use support::{Meeting, Turn, child_gets_on};

mod support;

#[path = "../../../src/sync.rs"]
#[allow(dead_code, reason = "the library uses all of it")]
mod sync;

/// With the library's locks.
#[derive(Default)]
struct Ours(sync::Mutex<Turn>, sync::Condvar);

impl Meeting for Ours {
    fn wait(&self) {
        let mut turn = self.0.lock();
        *turn = Turn::Waiting;
        drop(self.1.wait_while(turn, |turn| *turn != Turn::Free));
    }

    fn let_go(&self) -> bool {
        let mut turn = self.0.lock();
        let is_waiting = *turn == Turn::Waiting;
        if is_waiting {
            *turn = Turn::Free;
            self.1.notify_one();
        }
        is_waiting
    }

    fn is_waiting(&self) -> bool {
        *self.0.lock() == Turn::Waiting
    }
}

#[test]
fn the_librarys_locks_work_in_a_child_that_is_forked_while_threads_wait() {
    assert!(child_gets_on::<Ours>(Duration::from_secs(60)));
}
