//! The names of a new file on its way to take the place of the database, and what a crash leaves of that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::store::disk::files::{behind_links, remove, rename, sync_directory, with_suffix};
use crate::store::disk::kept::{self, KeptFile};

/// A file that is thrown away by the next start.
pub(super) fn building(file: &Path) -> PathBuf {
    with_suffix(file, "-salvage")
}

/// One that has everything: the next start puts it in the place of the database.
pub(super) fn complete(file: &Path) -> PathBuf {
    with_suffix(file, "-salvaged")
}

/// Says of the new file, which is on the disk, that it has everything.
pub(super) fn mark_complete(file: &Path) -> Result<()> {
    rename(&building(file), &complete(file), "rename a file")?;
    sync_directory(file)
}

/// Goes on with a switch that a crash has interrupted, and removes what it left before.
pub(in crate::store) fn finish(path: &Path, now_ms: i64) -> Result<()> {
    let file = behind_links(path).unwrap_or_else(|_| path.to_owned());
    remove(&building(&file))?;
    if complete(&file).exists() {
        log::warn!(
            "{}: goes on with what was saved before a crash",
            path.display()
        );
        switch(&file, now_ms)?;
    }
    Ok(())
}

/// Puts the complete file in the place of the damaged database; returns where that is kept.
pub(super) fn switch(file: &Path, now_ms: i64) -> Result<PathBuf> {
    let kept = KeptFile::choose(file, "damaged", now_ms);
    // The WAL last: a crash between leaves the new database without one, and never with this one.
    for suffix in ["-wal", ""] {
        let from = with_suffix(file, suffix);
        match fs::rename(&from, kept.with(suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file(file, "keep the damaged database", error));
            }
            _ => {}
        }
    }
    sync_directory(file)?;
    rename(&complete(file), file, "rename a file")?;
    sync_directory(file)?;
    kept::forget_old(file);
    Ok(kept.with(""))
}
