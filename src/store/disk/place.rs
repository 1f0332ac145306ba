//! Where the database is: one absolute name for as long as the client lives, of a file that has no other.

#[cfg(unix)]
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use super::files::with_suffix;
use super::mount;
use crate::error::{Error, Result};

/// As many as Linux follows: path_resolution(7).
#[cfg(unix)]
const MOST_LINKS: usize = 40;

/// The file itself, whether it is there yet or not: absolute, and behind all symbolic links. So the lock and the other
/// files beside it are the same by whatever name it was given, and a later `chdir` changes nothing. SQLite, which takes
/// what begins with `file:` for a URI, cannot take an absolute path for one.
#[cfg(unix)]
pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
    let failed = |error| Error::file(path, "find its directory", error);
    let mut file = std::path::absolute(path).map_err(failed)?;
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&file) else {
            break;
        };
        file.pop();
        file.push(target);
    }
    match (file.parent(), file.file_name()) {
        (Some(directory), Some(name)) => Ok(directory.canonicalize().map_err(failed)?.join(name)),
        _ => Err(not_a_file(path)),
    }
}

#[cfg(not(unix))]
pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::file(path, "find its directory", error))
}

/// Refuses what is there if it is no regular file, or has several names: the log lies beside one of them, and who came
/// by another would not find it. For the same reason it must not be mounted without its directory, and that must take
/// new files.
pub(crate) fn check(file: &Path) -> Result<()> {
    check_file(file)?;
    check_directory(file)
}

/// Of this, what also counts for whoever only reads.
pub(crate) fn check_file(file: &Path) -> Result<()> {
    let metadata = match file.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| Error::file(file, "look at the file (statx)", error))?,
    };
    if !metadata.is_file() {
        return Err(not_a_file(file));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        return Err(Error::invalid(
            "database",
            format!(
                "{} must have one name, but has several (hard links): remove the others",
                file.display()
            ),
        ));
    }
    if mount::is_mount_point(file) {
        return Err(Error::invalid(
            "database",
            format!(
                "{} is mounted by itself: mount its directory instead, as the log beside it is a part of the database",
                file.display()
            ),
        ));
    }
    Ok(())
}

#[cfg(unix)]
fn check_directory(file: &Path) -> Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use rustix::io::Errno;
    let Some(directory) = file.parent() else {
        return Ok(());
    };
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    match accessat(CWD, directory, wanted, AtFlags::EACCESS) {
        Err(error @ (Errno::ACCESS | Errno::ROFS)) => Err(Error::file(
            file,
            "write to its directory, where its log and its lock have to be (in a container, mount a directory that is \
             writable)",
            error.into(),
        )),
        // Where this cannot be asked, the first file that is made there tells.
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn check_directory(_file: &Path) -> Result<()> {
    Ok(())
}

fn not_a_file(path: &Path) -> Error {
    Error::invalid(
        "database",
        format!("{} is not a regular file", path.display()),
    )
}

/// Takes the rights of everybody but the owner from what is there already: there are tokens in it.
///
/// Where they cannot be taken (vfat has none, or the file is somebody else's) the log says so.
#[cfg(unix)]
pub(crate) fn make_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o077;
    for suffix in ["", "-wal", "-sent", "-lock", "-journal"] {
        let file = with_suffix(file, suffix);
        let Ok(metadata) = file.symlink_metadata() else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if !metadata.is_file() || mode & OTHERS == 0 {
            continue;
        }
        let owners_only = fs::Permissions::from_mode(mode & !OTHERS);
        match fs::set_permissions(&file, owners_only) {
            Ok(()) => log::warn!(
                "{}: others had rights to it (mode {mode:03o}), though there are tokens in it; they have none now",
                file.display()
            ),
            Err(error) => log::warn!(
                "{}: others have rights to it (mode {mode:03o}), and these cannot be taken: {error}",
                file.display()
            ),
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn make_private(_file: &Path) {}
