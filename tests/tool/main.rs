//! The program `spotflow-device`: what it reads, beside a client and without one, what it changes, and what it says.

#[allow(dead_code, reason = "shared with the contract's tests")]
#[path = "../contract/support.rs"]
mod support;

mod beside;
// Makes disks and clocks by Linux's means.
#[cfg(target_os = "linux")]
mod doctor;
mod outbox;
mod program;
mod send;
