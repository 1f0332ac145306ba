//! Why `parking_lot`'s locks are not the library's: see `locks.rs`.
//!
//! The only test of its program: the child's thread gets the stack of the thread that was started last, which has to be
//! one of those that wait.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::time::Duration;

use support::{Meeting, Turn, child_gets_on};

mod support;

#[derive(Default)]
struct ParkingLots(parking_lot::Mutex<Turn>, parking_lot::Condvar);

impl Meeting for ParkingLots {
    fn wait(&self) {
        let mut turn = self.0.lock();
        *turn = Turn::Waiting;
        self.1.wait_while(&mut turn, |turn| *turn != Turn::Free);
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

/// The day this fails, `parking_lot` can replace `src/sync.rs`.
#[test]
fn those_of_parking_lot_do_not() {
    assert!(!child_gets_on::<ParkingLots>(Duration::from_secs(5)));
}
