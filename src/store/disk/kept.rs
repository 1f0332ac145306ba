//! The names under which damaged files are kept, and for how long.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::files::with_suffix;

/// So many damaged databases are kept, each with its WAL: there are tokens in them.
const KEPT_MOST: usize = 2;

/// A name that says what the file is and when it became that: `NAME.db-damaged-2026-11-25T02-40-00Z`.
pub(crate) struct KeptFile(PathBuf);

impl KeptFile {
    /// A name that nothing has. The clock may be wrong, and say the same twice.
    pub fn choose(file: &Path, what: &str, now_ms: i64) -> KeptFile {
        let stamp = format!("-{what}-{}", stamp(now_ms));
        let numbered = (2..).map(|number| format!("{stamp}-{number}"));
        let is_free = |name: &PathBuf| {
            let is_there = |path: &Path| path.symlink_metadata().is_ok();
            !is_there(name) && !is_there(&with_suffix(name, "-wal"))
        };
        let mut names = std::iter::once(stamp.clone())
            .chain(numbered)
            .map(|suffix| with_suffix(file, &suffix));
        KeptFile(
            names
                .find(is_free)
                .unwrap_or_else(|| with_suffix(file, &stamp)),
        )
    }

    /// The name for the database (``), or its WAL (`-wal`).
    pub fn with(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.0, suffix)
    }
}

fn stamp(now_ms: i64) -> String {
    let now = OffsetDateTime::from_unix_timestamp(now_ms.div_euclid(1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}-{:02}-{:02}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

/// Removes all damaged files but the newest.
pub(crate) fn forget_old(file: &Path) {
    if let Err(error) = try_forget_old(file) {
        log::warn!(
            "{}: cannot remove old damaged files: {error}",
            file.display()
        );
    }
}

fn try_forget_old(file: &Path) -> io::Result<()> {
    let (Some(directory), Some(name)) =
        (file.parent(), file.file_name().and_then(|it| it.to_str()))
    else {
        return Ok(());
    };
    let prefix = format!("{name}-damaged-");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| name.starts_with(&prefix))
        {
            // By when it got that name, which the file system knows; that clock may be wrong, too.
            let metadata = entry.metadata()?;
            found.push((
                changed(&metadata),
                name.trim_end_matches("-wal").to_owned(),
                entry.path(),
            ));
        }
    }
    found.sort();
    let mut kept: Vec<String> = Vec::new();
    for (_, name, path) in found.into_iter().rev() {
        if !kept.contains(&name) {
            if kept.len() == KEPT_MOST {
                fs::remove_file(path)?;
                continue;
            }
            kept.push(name);
        }
    }
    Ok(())
}

/// A rename changes the inode.
#[cfg(unix)]
fn changed(metadata: &fs::Metadata) -> (i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(metadata: &fs::Metadata) -> Option<std::time::SystemTime> {
    metadata.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_when_and_is_never_taken_twice() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("device.db");
        let name = |now_ms| {
            let kept = KeptFile::choose(&file, "damaged", now_ms).with("");
            fs::write(&kept, "").unwrap();
            kept.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(
            name(1_795_574_400_000),
            "device.db-damaged-2026-11-25T02-40-00Z"
        );
        assert_eq!(
            name(1_795_574_400_000),
            "device.db-damaged-2026-11-25T02-40-00Z-2"
        );
        assert_eq!(name(-1000), "device.db-damaged-1969-12-31T23-59-59Z");
        assert_eq!(name(i64::MAX), "device.db-damaged-1970-01-01T00-00-00Z");
    }

    #[test]
    fn only_the_newest_two_are_kept_each_with_its_wal() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("device.db");
        for hour in [5, 1, 3, 2] {
            let kept = KeptFile::choose(&file, "damaged", hour * 3_600_000);
            for suffix in ["-wal", ""] {
                fs::write(kept.with(suffix), "").unwrap();
            }
            forget_old(&file);
        }
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let stamps = [
            "T02-00-00Z",
            "T02-00-00Z-wal",
            "T03-00-00Z",
            "T03-00-00Z-wal",
        ];
        assert_eq!(
            names,
            stamps.map(|stamp| format!("device.db-damaged-1970-01-01{stamp}"))
        );
    }
}
