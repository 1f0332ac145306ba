//! What the device does when something fails, by the place of the failure. The table of all faults is
//! `tests/FAULTS.md`.

#[allow(dead_code, reason = "shared with the contract's tests")]
#[path = "../contract/support.rs"]
mod support;

mod acknowledgements;
mod answers;
mod api;
mod cases;
mod certificates;
mod corruption;
mod cuts;
mod disk;
mod limits;
mod network;
#[allow(dead_code, reason = "shared with tests/load")]
mod proxy;
mod random_files;
mod secrets;
mod twin;
mod uploads;
mod ways_out;
