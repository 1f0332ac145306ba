//! A file whose content is to be sent: it is read once, from its start to its end, and must not change meanwhile.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::message::MAX_FILE_BYTES;
use crate::store::file_id::{self, FileId};
use crate::store::with_suffix;

const ARGUMENT: &str = "path";

/// The file, open.
pub(super) struct SourceFile {
    path: PathBuf,
    file: File,
    began_as: Shape,
    /// Of the pass that is under way.
    bytes_read: u64,
}

/// What a change of a file shows in.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    id: FileId,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Shape {
    fn of(metadata: &Metadata) -> Shape {
        Shape {
            id: file_id::of_metadata(metadata),
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

impl SourceFile {
    /// Refuses what is no regular file, what is too large, and the database itself.
    pub fn open(path: &Path, database: &Path) -> Result<SourceFile> {
        if path.as_os_str().is_empty() {
            return Err(Error::invalid(ARGUMENT, "must not be empty"));
        }
        let failed = |error| Error::unreadable(path, error);
        let metadata = fs::metadata(path).map_err(failed)?;
        check(path, &metadata)?;
        check_other_than(database, path, &metadata)?;
        let file = open(path).map_err(failed)?;
        // The name may have become another's.
        let metadata = file.metadata().map_err(failed)?;
        check(path, &metadata)?;
        Ok(SourceFile {
            path: path.to_owned(),
            file,
            began_as: Shape::of(&metadata),
            bytes_read: 0,
        })
    }

    /// How large it is.
    pub fn bytes(&self) -> u64 {
        self.began_as.bytes
    }

    /// The next part: `part` is filled, but at the end of the file. Returns how much it is.
    pub fn read(&mut self, part: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = part.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::unreadable(&self.path, error)),
            }
        }
        self.bytes_read += filled as u64;
        if self.bytes_read > self.bytes() {
            return Err(self.has_changed());
        }
        Ok(filled)
    }

    /// Whether all of it was read.
    pub fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.bytes_read == self.bytes() && self.read(&mut [0])? == 0)
    }

    /// The next part is the first again.
    pub fn rewind(&mut self) -> Result<()> {
        self.bytes_read = 0;
        let rewound = io::Seek::rewind(&mut self.file);
        rewound.map_err(|error| Error::unreadable(&self.path, error))
    }

    /// At the end: fails unless all was read, and the file under the name is the one that it was, as far as its size and
    /// its time tell.
    pub fn check_unchanged(&self) -> Result<()> {
        let failed = |error| Error::unreadable(&self.path, error);
        let open = Shape::of(&self.file.metadata().map_err(failed)?);
        let named = Shape::of(&fs::metadata(&self.path).map_err(failed)?);
        if open != self.began_as || named != self.began_as || self.bytes_read != self.bytes() {
            return Err(self.has_changed());
        }
        Ok(())
    }

    fn has_changed(&self) -> Error {
        let changed = io::Error::other("it changed while it was copied");
        Error::unreadable(&self.path, changed)
    }
}

fn check(path: &Path, metadata: &Metadata) -> Result<()> {
    let kind = metadata.file_type();
    let (name, bytes) = (path.display(), metadata.len());
    let rule = if kind.is_dir() {
        format!("{name} is a directory: only a regular file can be sent")
    } else if !kind.is_file() {
        format!("{name} is a device, a pipe or a socket: only a regular file can be sent")
    } else if bytes > MAX_FILE_BYTES {
        format!("{name} has {bytes} bytes, at most {MAX_FILE_BYTES} are allowed")
    } else {
        return Ok(());
    };
    Err(Error::invalid(ARGUMENT, rule))
}

/// There are tokens in the database. And before it is opened: whoever closes a second handle of it takes away the locks
/// that SQLite has on it (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
fn check_other_than(database: &Path, path: &Path, metadata: &Metadata) -> Result<()> {
    let id = file_id::of_metadata(metadata);
    let own = [database.to_owned(), with_suffix(database, "-wal")];
    if id.is_some() && own.iter().any(|own| file_id::of_name(own) == id) {
        let rule = "is of this client's own database, in which tokens are";
        return Err(Error::invalid(
            ARGUMENT,
            format!("{} {rule}", path.display()),
        ));
    }
    Ok(())
}

/// Without waiting for the other end, should the name have become that of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    options.open(path)
}
