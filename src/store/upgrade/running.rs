//! Whether the published SDK still runs on its file. It holds no lock while it is idle, so locks
//! alone do not tell.

use std::path::Path;

/// For how long a process may hold what it will not keep: a child of this one that has not yet become
/// another program, or somebody who copies the file.
#[cfg(target_os = "linux")]
const IN_PASSING_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// A process, other than this one, that has the file open and keeps it, as far as the system lets us see.
/// Blocks for a second if there is one.
#[cfg(target_os = "linux")]
pub(super) fn other_process(file: &Path) -> Option<u32> {
    let deadline = std::time::Instant::now() + IN_PASSING_MAX;
    loop {
        let found = has_it_open_now(file)?;
        if std::time::Instant::now() > deadline {
            return Some(found);
        }
        std::thread::sleep(IN_PASSING_MAX / 50);
    }
}

#[cfg(target_os = "linux")]
fn has_it_open_now(file: &Path) -> Option<u32> {
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt;

    let number = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let wanted = fs::metadata(file).map(number).ok()?;
    let has_open = |process: &u32| {
        // Others' processes cannot be looked into, and any can end meanwhile.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
            return false;
        };
        descriptors
            .flatten()
            .any(|descriptor| fs::metadata(descriptor.path()).map(number).ok() == Some(wanted))
    };
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| *process != std::process::id())
        .find(has_open)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn other_process(_file: &Path) -> Option<u32> {
    None
}
