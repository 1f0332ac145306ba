//! The disk under the database file: what it is, how much is free, and how long it takes to get something onto it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::board::Found;
use super::cause::Cause;
use crate::store::{free_disk_bytes, private, with_suffix};
use crate::tool::units;

/// Less than a client keeps for its log.
const FREE_BYTES_MIN: u64 = 1 << 20;
const SYNCS: u32 = 3;
const SLOW: Duration = Duration::from_secs(1);
const PAGE: [u8; 4096] = [0; 4096];

/// The file system, its kind and its mount point.
pub(super) fn file_system(directory: &Path) -> Found {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some(mount) = mount_of(directory, &mounts) else {
        return Found::note("this system does not tell");
    };
    let summary = format!("{} on {}", mount.kind, mount.point.display());
    const REMOTE: [&str; 5] = ["nfs", "nfs4", "cifs", "smb3", "9p"];
    match mount.kind.as_str() {
        kind if REMOTE.contains(&kind) => Found::note(format!(
            "{summary}: files of other machines may lose locks and syncs"
        )),
        "tmpfs" | "ramfs" => Found::note(format!(
            "{summary}: what is stored there is lost with the power"
        )),
        "vfat" | "exfat" | "msdos" => Found::note(format!(
            "{summary}: it knows no rights, so that everybody can read the tokens"
        )),
        _ => Found::well(summary),
    }
}

struct Mount {
    kind: String,
    point: PathBuf,
}

/// In lines such as `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw` (proc_pid_mountinfo(5)).
fn mount_of(directory: &Path, mountinfo: &str) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        Some(Mount {
            kind: system.split(' ').next()?.to_owned(),
            point: PathBuf::from(unescaped(mount.split(' ').nth(4)?)),
        })
    });
    // Of several on one another, the last counts.
    mounts
        .filter(|mount| directory.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
}

/// Blanks are written in octal.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\134", "\\")
}

/// How much is free.
pub(super) fn free(directory: &Path) -> Found {
    match free_disk_bytes(directory) {
        Err(error) => Found::unknown(error.to_string()),
        Ok(u64::MAX) => Found::note("this system does not tell"),
        Ok(free) if free < FREE_BYTES_MIN => full(format!("{} free", units::bytes(free))),
        Ok(free) => Found::well(format!("{} free", units::bytes(free))),
    }
}

fn full(summary: String) -> Found {
    let advice = "make room: acknowledgements are recorded all the same, but nothing can be stored";
    Found::finding(Cause::DiskFull, summary, advice)
}

/// Whether something can be written beside the file, and how long a sync takes: with a small file that is removed again.
pub(super) fn sync(database: &Path) -> Found {
    let probe = with_suffix(database, &format!("-doctor-{}", std::process::id()));
    let begun = Instant::now();
    let written = write(&probe);
    let removed = fs::remove_file(&probe);
    if let Err(error) = written {
        return not_written(&error);
    }
    let took = begun.elapsed() / SYNCS;
    if let Err(error) = removed {
        return Found::note(format!("{} stays behind: {error}", probe.display()));
    }
    let summary = format!("a sync takes {:.1} ms", took.as_secs_f64() * 1000.0);
    if took > SLOW {
        let advice = "each stored Message waits for that: look for a worn disk, or for what else writes to it";
        return Found::finding(Cause::SlowDisk, summary, advice);
    }
    Found::well(summary)
}

fn write(probe: &Path) -> io::Result<()> {
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(probe)?;
    for _ in 0..SYNCS {
        file.write_all(&PAGE)?;
        file.sync_all()?;
    }
    Ok(())
}

fn not_written(error: &io::Error) -> Found {
    use io::ErrorKind as Kind;
    let summary = format!("nothing can be written beside the file: {error}");
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => full(summary),
        Kind::ReadOnlyFilesystem => Found::finding(
            Cause::ReadOnly,
            summary,
            "mount it writable; a disk that became read-only by itself is worn or was damaged",
        ),
        Kind::PermissionDenied => Found::finding(
            Cause::NotOwned,
            summary,
            "give the directory to the user that runs the client, and run the doctor as that one",
        ),
        Kind::NotFound => Found::finding(
            Cause::NoFile,
            summary,
            "name the file that the client has: its directory is not there",
        ),
        _ => Found::finding(Cause::Damaged, summary, "look at the disk"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_point_is_the_longest_that_leads_to_the_directory() {
        let mounts = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      2 1 8:2 / /data rw - xfs /dev/sda2 rw\n\
                      3 2 0:9 / /data/my\\040disk rw,noatime master:1 - vfat /dev/sdb1 rw\n";
        let of = |path: &str| {
            let mount = mount_of(Path::new(path), mounts).unwrap();
            (mount.kind, mount.point.display().to_string())
        };
        assert_eq!(of("/etc"), ("ext4".into(), "/".into()));
        assert_eq!(of("/database"), ("ext4".into(), "/".into()));
        assert_eq!(of("/data/a"), ("xfs".into(), "/data".into()));
        assert_eq!(
            of("/data/my disk/a"),
            ("vfat".into(), "/data/my disk".into())
        );
    }

    #[test]
    fn a_disk_that_takes_a_file_is_timed_and_nothing_stays() {
        let directory = tempfile::tempdir().unwrap();
        let found = sync(&directory.path().join("device.db"));
        assert!(found.summary.contains("a sync takes"), "{found:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let found = sync(&directory.path().join("none/device.db"));
        assert!(found.is_finding());
    }
}
