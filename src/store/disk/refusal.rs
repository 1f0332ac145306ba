//! What the system did not do when SQLite failed, in the system's own words: SQLite says "disk I/O error" of all of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::files::with_suffix;
use super::space::{allocate, length};

/// So much more is asked for.
const MORE_BYTES: u64 = 64 << 10;

/// What SQLite was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Opening,
    Writing,
    Syncing,
    Else,
}

/// Asks the system for what SQLite wanted, once more; `None` if it does it now, or if that is not known.
///
/// It is tried with a file of which closing a handle takes no lock away, as it would from the database: its write-ahead
/// log, or the side file of the lock.
pub(super) fn find(database: &Path, doing: Doing) -> Option<io::Error> {
    match doing {
        Doing::Opening => named("fstatat", look_up(database)).or_else(|| sync_refusal(database)),
        Doing::Writing => write_refusal(database),
        Doing::Syncing => sync_refusal(database),
        Doing::Else => named("fstatat", look_up(database)),
    }
}

fn write_refusal(database: &Path) -> Option<io::Error> {
    let file = file_beside(database)?;
    let end = length(&file).ok()?;
    let refused = named("write", allocate(&file, end, end + MORE_BYTES));
    // What was given is given back: that it could be had is all that was asked.
    let given_back = named("ftruncate", file.set_len(end));
    refused.or(given_back)
}

fn sync_refusal(database: &Path) -> Option<io::Error> {
    let file = file_beside(database)?;
    named("fsync", file.sync_all()).or_else(|| named("fdatasync", file.sync_data()))
}

fn file_beside(database: &Path) -> Option<File> {
    let open = |suffix| {
        OpenOptions::new()
            .write(true)
            .open(with_suffix(database, suffix))
    };
    open("-wal").or_else(|_| open("-lock")).ok()
}

/// As SQLite does it, and not as the standard library does.
#[cfg(target_os = "linux")]
fn look_up(database: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, statat};
    Ok(statat(CWD, database, AtFlags::empty()).map(drop)?)
}

#[cfg(not(target_os = "linux"))]
fn look_up(_database: &Path) -> io::Result<()> {
    Ok(())
}

fn named(call: &str, result: io::Result<()>) -> Option<io::Error> {
    let error = result.err()?;
    Some(io::Error::new(error.kind(), format!("{call}: {error}")))
}
