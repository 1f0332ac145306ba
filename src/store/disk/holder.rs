//! Who holds the lock of a database: asked without taking it, as a client that starts at that moment would find it taken.

use std::fs;
use std::path::Path;

use super::files::with_suffix;

/// Who has the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only Linux tells")
    )]
    Process(u32),
    /// The system does not tell.
    Unknown,
}

impl Holder {
    /// Of a database behind all links.
    #[cfg(target_os = "linux")]
    pub fn of(database: &Path) -> Holder {
        use std::os::unix::fs::MetadataExt;
        let lock_file = with_suffix(database, "-lock");
        let Ok(metadata) = fs::metadata(&lock_file) else {
            return Holder::Nobody;
        };
        let Ok(locks) = fs::read_to_string("/proc/locks") else {
            return Holder::Unknown;
        };
        let named = fs::read_to_string(&lock_file).ok();
        let named = named.and_then(|text| text.lines().next()?.trim().parse().ok());
        let device = (
            rustix::fs::major(metadata.dev()),
            rustix::fs::minor(metadata.dev()),
        );
        find(&locks, device, metadata.ino(), named).map_or(Holder::Nobody, Holder::Process)
    }

    #[cfg(not(target_os = "linux"))]
    pub fn of(database: &Path) -> Holder {
        match fs::metadata(with_suffix(database, "-lock")) {
            Ok(_) => Holder::Unknown,
            Err(_) => Holder::Nobody,
        }
    }
}

/// In lines such as `3: FLOCK  ADVISORY  WRITE 1234 08:01:131 0 EOF` (proc_locks(5); the device in hexadecimal). Some
/// file systems have another device there than in what they tell of a file: then the process that the file names counts.
#[cfg(target_os = "linux")]
fn find(locks: &str, device: (u32, u32), inode: u64, named: Option<u32>) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "FLOCK");
        let process = words.nth(3)?.parse().ok()?;
        let mut place = words.next()?.split(':');
        let major = u32::from_str_radix(place.next()?, 16).ok()?;
        let minor = u32::from_str_radix(place.next()?, 16).ok()?;
        let is_file = place.next()?.parse() == Ok(inode);
        let is_it = is_file && ((major, minor) == device || named == Some(process));
        is_it.then_some(process)
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::store::disk::lock::FileLock;

    #[test]
    fn the_holder_is_found_by_file_and_device_or_by_the_process_that_the_file_names() {
        let locks = "1: POSIX  ADVISORY  WRITE 10 08:01:131 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 11 08:02:131 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 12 08:01:131 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 fe:10:132 0 EOF\n";
        assert_eq!(find(locks, (8, 2), 131, None), Some(11));
        assert_eq!(find(locks, (0xfe, 0x10), 132, None), Some(13));
        assert_eq!(find(locks, (8, 3), 131, None), None);
        assert_eq!(find(locks, (8, 3), 131, Some(11)), Some(11));
        assert_eq!(find("", (8, 3), 131, Some(11)), None);
    }

    #[test]
    fn this_process_is_found_while_it_holds_the_lock_and_no_longer() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("device.db");
        assert_eq!(Holder::of(&database), Holder::Nobody);
        let lock = FileLock::acquire(&database).unwrap();
        assert_eq!(Holder::of(&database), Holder::Process(std::process::id()));
        lock.release();
        assert_eq!(Holder::of(&database), Holder::Nobody);
    }
}
