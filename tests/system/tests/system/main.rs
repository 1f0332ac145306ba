//! What the library does on a system that a test has to be given: a broker of another make, a wall clock that is
//! wrong, a disk that is full or read-only, a container, a sandbox, servers that technicians reach, a network that
//! goes and comes.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "shared with the contract's tests")]
#[path = "../../../contract/support.rs"]
mod support;

#[allow(dead_code, reason = "shared with the contract's tests")]
#[path = "../../../contract/published_file.rs"]
mod published_file;

mod clocks;
mod containers;
mod full_disk;
mod links;
mod mosquitto;
mod open_ways;
mod read_only;
mod refused_calls;
mod remote_access;
mod service;
mod small_disk;
mod wire;
