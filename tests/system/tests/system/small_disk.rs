//! A disk of a few KB or MB, which a test can really fill: a tmpfs in a mount namespace of its own.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Stage, run_alone, start_alone};

/// Set in the process that has the disk: where it is. Who sets it by hand runs a test on a disk of another kind, such
/// as btrfs, or one with a quota.
const DISK: &str = "SPOTFLOW_TEST_DISK";

/// Runs the body of the test of this name (as the test harness calls it) in a process that has a disk of
/// so many KiB to itself. Any user may do that where user namespaces are allowed.
pub fn on_a_disk_of(kib: u32, test: &str, body: impl FnOnce(SmallDisk)) {
    if let Some(directory) = std::env::var_os(DISK) {
        return run_alone(|| body(SmallDisk(directory.into())));
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Root in there has to respect the rights of files; and who writes behind a limit gets an error, not a signal.
    let mount = r#"
        mount -t tmpfs -o "size=$1" none "$2" && trap '' XFSZ &&
        exec setpriv --bounding-set -dac_override -- "$3" --exact "$4" --nocapture
    "#;
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", mount, "sh", &format!("{kib}k")])
        .arg(directory.path())
        .arg(std::env::current_exe().expect("this program"))
        .arg(test)
        .env(DISK, directory.path());
    let given = "a disk (`unshare --user --map-root-user --mount`, `setpriv`, and a tmpfs)";
    start_alone(&mut command, given);
}

/// Changes a mount of this process's own.
pub fn mount(arguments: &[&str], place: &Path) {
    let status = Command::new("mount").args(arguments).arg(place).status();
    assert!(status.expect("`mount`").success(), "mount {arguments:?}");
}

/// The disk of this process.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A Platform, and a device whose database is on this disk.
    pub fn stage(&self) -> Stage {
        Stage {
            directory: tempfile::tempdir_in(self.path()).expect("a directory on the disk"),
            ..Stage::new()
        }
    }

    /// Uses up what is left, to the last block.
    pub fn fill(&self) {
        let filler = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.filler());
        let Ok(mut filler) = filler else {
            return;
        };
        for bytes in [1 << 20, 64 << 10, 4096, 1] {
            loop {
                match filler.write_all(&vec![0xaa; bytes]) {
                    Ok(()) => {}
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                        ) =>
                    {
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Gives up what [`fill`](Self::fill) took.
    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// Gives so many bytes of it up.
    pub fn free_some(&self, bytes: u64) {
        let filler = OpenOptions::new().write(true).open(self.filler()).unwrap();
        let filled = filler.metadata().unwrap().len();
        filler.set_len(filled - bytes).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}
