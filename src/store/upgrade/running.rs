//! Whether the published SDK still runs on its file. It holds no lock while it is idle, so locks
//! alone do not tell.

use std::path::Path;

/// A process, other than this one, that has the file open, as far as the system lets us see.
#[cfg(target_os = "linux")]
pub(super) fn other_process(file: &Path) -> Option<u32> {
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
