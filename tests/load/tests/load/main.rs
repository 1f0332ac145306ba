//! What takes minutes: the client shared by many threads while the hub comes and goes, and links of a few KB per
//! second.

#[allow(dead_code, reason = "shared with the contract's tests")]
#[path = "../../../contract/support.rs"]
mod support;

#[allow(dead_code, reason = "shared with the tests of faults")]
#[path = "../../../faults/proxy.rs"]
mod proxy;

mod ledger;
mod slow_link;
mod storm;
mod watchdog;
mod weather;
