//! The files that the trusted roots are read from, and whether they have changed.

use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Sixty times what a distribution trusts.
const PEM_BYTES_MAX: u64 = 16 << 20;

/// The content of a file of certificates. One that is larger is none: it may be a device that has no end.
pub(crate) fn read_pem(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(path)?
        .take(PEM_BYTES_MAX + 1)
        .read_to_end(&mut pem)?;
    if pem.len() as u64 > PEM_BYTES_MAX {
        let rule = format!("has more than the {PEM_BYTES_MAX} bytes that are read of certificates");
        return Err(io::Error::other(rule));
    }
    Ok(pem)
}

/// Stands for the state of all these files: another one means that they have changed.
pub(super) fn fingerprint(ca_file: Option<&Path>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in system_paths().iter().map(PathBuf::as_path).chain(ca_file) {
        hash(path, &mut hasher);
    }
    hasher.finish()
}

/// A file, or a directory with its files.
fn hash(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    stamp(&metadata, hasher);
    if !metadata.is_dir() {
        return;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        file.hash(hasher);
        // Most are links: what they lead to counts.
        if let Ok(metadata) = fs::metadata(&file) {
            stamp(&metadata, hasher);
        }
    }
}

#[cfg(unix)]
fn stamp(metadata: &Metadata, hasher: &mut DefaultHasher) {
    use std::os::unix::fs::MetadataExt;
    let file = (metadata.dev(), metadata.ino(), metadata.size());
    let written = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    (file, written, changed).hash(hasher);
}

#[cfg(not(unix))]
fn stamp(metadata: &Metadata, hasher: &mut DefaultHasher) {
    (metadata.len(), metadata.modified().ok()).hash(hasher);
}

/// What `rustls_native_certs` reads: the environment's, else the system's, where that is files.
fn system_paths() -> Vec<PathBuf> {
    let file = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let directories = std::env::var_os("SSL_CERT_DIR");
    let directories = directories.iter().flat_map(std::env::split_paths);
    let named: Vec<PathBuf> = file.into_iter().chain(directories).collect();
    if named.is_empty() {
        return usual_paths();
    }
    named
}

#[cfg(all(unix, not(target_os = "macos")))]
fn usual_paths() -> Vec<PathBuf> {
    let found = openssl_probe::probe();
    found.cert_file.into_iter().chain(found.cert_dir).collect()
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn usual_paths() -> Vec<PathBuf> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &Path) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash(path, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn a_directory_changes_with_each_of_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let empty = of(path);
        assert_eq!(of(path), empty);
        fs::write(path.join("a.pem"), "a").unwrap();
        let one = of(path);
        assert_ne!(one, empty);
        assert_eq!(of(path), one);
        fs::write(path.join("a.pem"), "ab").unwrap();
        let longer = of(path);
        assert_ne!(longer, one);
        fs::rename(path.join("a.pem"), path.join("b.pem")).unwrap();
        assert_ne!(of(path), longer);
    }

    #[cfg(unix)]
    #[test]
    fn of_what_has_no_end_only_a_part_is_read() {
        assert!(read_pem(Path::new("/dev/zero")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_leads_to_counts() {
        let directory = tempfile::tempdir().unwrap();
        let target = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(target.path(), directory.path().join("a.pem")).unwrap();
        let before = of(directory.path());
        fs::write(target.path(), "changed").unwrap();
        assert_ne!(of(directory.path()), before);
    }
}
