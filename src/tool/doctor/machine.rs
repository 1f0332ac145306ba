//! What the system gives a program: memory, file handles, threads.

use std::fs;
use std::time::Instant;

use super::board::{Board, Found};
use super::cause::Cause;
use super::subject::Subject;
use crate::tool::units;

/// A client takes some 10 MB, and as much again for a large Message.
const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// A client has some 20 open, and one for each tunnel and upload.
const HANDLES_MIN: u64 = 64;
const THREADS_MIN: u64 = 32;

pub(super) fn check(_: &Subject, board: &Board, _: Instant) {
    board.check("memory", || {
        let available = fs::read_to_string("/proc/meminfo").ok();
        let Some(bytes) = available.and_then(|text| memory_available(&text)) else {
            return Found::note("this system does not tell");
        };
        let summary = format!("{} available", units::bytes(bytes));
        if bytes < MEMORY_BYTES_MIN {
            let advice = "look for the program that takes the memory";
            return Found::finding(Cause::NoMemory, summary, advice);
        }
        Found::well(summary)
    });
    board.check("limits", || {
        let Some(limits) = fs::read_to_string("/proc/self/limits").ok() else {
            return Found::note("this system does not tell");
        };
        let (handles, threads) = (
            limit(&limits, "Max open files"),
            limit(&limits, "Max processes"),
        );
        let shown = |limit: Option<u64>| limit.map_or("any number of".to_owned(), units::count);
        let summary = format!(
            "{} file handles, {} threads and processes, for this shell",
            shown(handles),
            shown(threads)
        );
        let is_few = |limit: Option<u64>, least| limit.is_some_and(|limit| limit < least);
        if is_few(handles, HANDLES_MIN) || is_few(threads, THREADS_MIN) {
            let advice = "raise the limits (ulimit -n, LimitNOFILE=, TasksMax=)";
            return Found::finding(Cause::FewHandles, summary, advice);
        }
        Found::well(summary)
    });
}

/// In lines such as `MemAvailable:    1234 kB`.
fn memory_available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The soft limit in a line such as `Max open files    1024    4096    files`; nothing if there is none.
fn limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find(|line| line.starts_with(name))?;
    line.get(name.len()..)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_read() {
        let meminfo = "MemTotal:  2 kB\nMemAvailable:    1234 kB\n";
        assert_eq!(memory_available(meminfo), Some(1234 * 1024));
        let limits = "Max processes             unlimited    unlimited   processes\n\
                      Max open files            1024         4096        files\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024));
        assert_eq!(limit(limits, "Max processes"), None);
    }
}
