//! Stored means stored, also when the power fails: every change that a device makes to its files is
//! recorded, the power is cut at every sync and between, and the library starts on whatever a disk may
//! have kept. README.md beside this crate has the model.
//!
//! `SEED` repeats the survivals; `SURVIVALS` sets how many there are of each cut (3 unless set).
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![deny(unsafe_code)]

mod content;
mod device;
mod disk;
mod judge;
mod lifetimes;
mod newest;
mod recorder;
mod reopening;
mod shim;
mod survey;

mod careless;
mod earlier_version;
mod io_errors;
mod messages;
mod quota;
mod refresh;
mod set_aside;
mod upgrade;
