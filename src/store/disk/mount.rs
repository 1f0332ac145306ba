//! Whether a file was mounted by itself, as `docker run -v device.db:/data/device.db` does: what is beside it is then of
//! another file system, which ends with the container.

use std::path::Path;

/// Whether the file is a mount point.
#[cfg(target_os = "linux")]
pub(super) fn is_mount_point(file: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    if let Ok(it) = statx(CWD, file, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        && it.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
    {
        return it.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    }
    // Before Linux 5.8, and in some sandboxes, nobody says so.
    std::fs::read("/proc/self/mountinfo").is_ok_and(|mounts| is_listed(&mounts, file))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_mount_point(_file: &Path) -> bool {
    false
}

/// Whether a mount point of this list, which proc_pid_mountinfo(5) describes, is the file.
#[cfg(target_os = "linux")]
fn is_listed(mounts: &[u8], file: &Path) -> bool {
    const MOUNT_POINT: usize = 4;
    let mut lines = mounts.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let place = fields.nth(MOUNT_POINT);
        place.is_some_and(|place| unescaped(place) == file.as_os_str().as_encoded_bytes())
    })
}

/// Space, tab, line feed and backslash are written as three octal digits.
#[cfg(target_os = "linux")]
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        text = rest;
        let octal = rest.get(..3).filter(|_| *first == b'\\');
        let digits = octal.and_then(|it| std::str::from_utf8(it).ok());
        match digits.and_then(|it| u8::from_str_radix(it, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                text = rest.get(3..).unwrap_or_default();
            }
            None => bytes.push(*first),
        }
    }
    bytes
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_found_in_the_list_whatever_its_name() {
        let list = b"24 1 254:1 / / rw - ext4 /dev/vda rw\n\
            36 24 254:1 /srv/a /data/my\\040device\\134.db rw,noatime shared:1 - ext4 /dev/vda rw\n";
        assert!(is_listed(list, Path::new("/")));
        assert!(is_listed(list, Path::new("/data/my device\\.db")));
        for other in ["/srv/a", "/data", "/data/my", "/data/my device.db", ""] {
            assert!(!is_listed(list, Path::new(other)), "{other}");
        }
        assert!(!is_listed(b"", Path::new("/")));
    }

    #[test]
    fn the_kernel_and_its_list_say_the_same() {
        let list = std::fs::read("/proc/self/mountinfo").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [Path::new("/proc"), Path::new("/proc/self"), file.path()] {
            assert_eq!(is_mount_point(path), is_listed(&list, path));
        }
        assert!(is_mount_point(Path::new("/proc")));
    }
}
