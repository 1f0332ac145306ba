//! Which file a name stands for, or a handle has open.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// The device and the number of a file on it; nothing where the system does not tell.
pub(crate) type FileId = Option<(u64, u64)>;

/// What the name stands for.
///
/// Asked of Linux without the times of the file: whoever looks at those makes the kernel note them exactly with the
/// next write (multigrain timestamps, Linux 6.13), and each sync of the log then writes its inode as well: durable
/// commits took a third longer.
pub(crate) fn of_name(path: &Path) -> FileId {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
        if let Ok(it) = statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
            return Some((makedev(it.stx_dev_major, it.stx_dev_minor), it.stx_ino));
        }
        // Before Linux 4.11 there is no such call, and some sandboxes forbid it.
    }
    fs::metadata(path).ok().and_then(|it| of_metadata(&it))
}

/// What the handle has open.
pub(crate) fn of_handle(file: &File) -> io::Result<FileId> {
    Ok(of_metadata(&file.metadata()?))
}

/// What this is the metadata of.
#[cfg(unix)]
pub(crate) fn of_metadata(metadata: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

/// An open file cannot be deleted or replaced there.
#[cfg(not(unix))]
pub(crate) fn of_metadata(_metadata: &Metadata) -> FileId {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_handle_of_the_same_file_agree_until_the_name_is_another_s() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (
            directory.path().join("file"),
            directory.path().join("other"),
        );
        assert_eq!(of_name(&path), None);
        let file = File::create(&path).unwrap();
        let id = of_name(&path);
        assert!(id.is_some());
        assert_eq!(of_handle(&file).unwrap(), id);
        assert_eq!(of_metadata(&fs::metadata(&path).unwrap()), id);
        File::create(&other).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(of_name(&path), id);
    }
}
