//! The client under load: many threads share it while the hub comes and goes.

#[allow(dead_code, reason = "shared with the contract's tests")]
#[path = "../contract/support.rs"]
mod support;

mod ledger;
mod storm;
mod watchdog;
mod weather;
