//! Paths and files: which names, rights and links they have, and how a change of them gets to the disk.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The database path ends in `.db` and names a file, not a directory.
pub(crate) fn validate_path(path: &Path) -> Result<()> {
    if path.extension().is_none_or(|extension| extension != "db") {
        return Err(Error::invalid(
            "database",
            format!("must be a path that ends in .db, but is {}", path.display()),
        ));
    }
    if path.is_dir() {
        return Err(Error::invalid(
            "database",
            format!("{} is a directory, not a file", path.display()),
        ));
    }
    Ok(())
}

/// Creates the file before SQLite does, so that it never exists with wider permissions. SQLite gives
/// the WAL the permissions of the database.
pub(crate) fn create_private(path: &Path) -> Result<bool> {
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(file) => {
            write_in_place(&file);
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::file(path, "create the file", error)),
    }
}

/// Lets an empty file be written in place where the file system would write each block anew (btrfs): on a full disk
/// there is no block to write anew to, and nothing could be deleted any more.
#[cfg(target_os = "linux")]
pub(crate) fn write_in_place(file: &fs::File) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let set = ioctl_getflags(file).and_then(|flags| ioctl_setflags(file, flags | IFlags::NOCOW));
    // Others write in place anyway, and know of no such flag.
    if let Err(error) = set {
        log::trace!("a file is not marked to be written in place: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn write_in_place(_file: &fs::File) {}

/// A file that is created with these is readable by its owner only.
#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Gets what is in the file to the disk.
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::file(path, "sync the file", error))
}

/// Gives the file another name, instead of what had it; `action` is what that is for.
pub(crate) fn rename(from: &Path, to: &Path, action: &'static str) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::file(to, action, error))
}

/// Removes a file that may be there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file(path, "remove the file", error))
        }
        _ => Ok(()),
    }
}

/// Makes the new file's name durable, too.
#[cfg(unix)]
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match fs::File::open(parent).and_then(|directory| directory.sync_all()) {
        Err(error) if cannot_be_had(error.kind()) => {
            log::warn!(
                "{}: its directory cannot be synced ({error}): a power cut may take the names of new files away",
                path.display()
            );
            Ok(())
        }
        synced => synced.map_err(|error| Error::file(path, "sync its directory (fsync)", error)),
    }
}

/// Whether the file system, or a sandbox, never does it; else the disk failed.
#[cfg(unix)]
fn cannot_be_had(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(kind, InvalidInput | PermissionDenied | Unsupported)
}

#[cfg(not(unix))]
pub(crate) fn sync_directory(_path: &Path) -> Result<()> {
    Ok(())
}

/// How much is free on the disk of this file, for those without privileges.
#[cfg(unix)]
pub(crate) fn free_disk_bytes(path: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
pub(crate) fn free_disk_bytes(_path: &Path) -> std::io::Result<u64> {
    Ok(u64::MAX)
}

/// The file itself, if the path is a link to it.
pub(crate) fn behind_links(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| Error::file(path, "find the file", error))
}

/// The file beside it that belongs to it, such as its WAL.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
