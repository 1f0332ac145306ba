//! Whether a file is still as it was when a look at it began, beside a client that goes on writing: told by its write-ahead
//! log (<https://sqlite.org/fileformat2.html#walformat>).
//!
//! What was in the log at the beginning is read from there, until the log begins anew, with another header. Any other page
//! is read from the file, and changes there only by being moved out of the log, into which it came since. So all is as it
//! was while the header is the same and no page that came into the log since is in the file as it is in the log. Times of
//! files are not looked at: see [`file_id`].

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::store::disk::file_id::{self, FileId};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The last bit says in which order its checksums are computed.
const MAGIC: u32 = 0x377f_0682;

/// A log as it lies there.
struct Log {
    bytes: Vec<u8>,
}

/// A page that is logged.
#[derive(Clone, Copy)]
struct Frame<'a> {
    page: u32,
    ends_a_commit: bool,
    content: &'a [u8],
}

impl Log {
    /// None: an empty one.
    fn read(path: &Path) -> io::Result<Log> {
        match fs::read(path) {
            Ok(bytes) => Ok(Log { bytes }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Log { bytes: Vec::new() }),
            Err(error) => Err(error),
        }
    }

    fn header(&self) -> &[u8] {
        self.bytes.get(..HEADER_BYTES).unwrap_or(&self.bytes)
    }

    /// Those of this log; behind them may be what is left of one before, which has other salts.
    fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let (header, frames) = self.bytes.split_at(self.header().len());
        let is_log = word(header, 0).is_some_and(|magic| magic & !1 == MAGIC);
        let page_bytes = word(header, 8).filter(|_| is_log).unwrap_or(0) as usize;
        let frames = frames.chunks_exact(FRAME_HEADER_BYTES.saturating_add(page_bytes));
        let frames =
            frames.take_while(move |frame| is_log && frame.get(8..16) == header.get(16..24));
        frames.filter_map(|frame| {
            Some(Frame {
                page: word(frame, 0)?,
                ends_a_commit: word(frame, 4)? != 0,
                content: frame.get(FRAME_HEADER_BYTES..)?,
            })
        })
    }

    /// How many frames are of transactions that are committed.
    fn committed(&self) -> usize {
        let frames = self.frames().enumerate();
        let last = frames.filter(|(_, frame)| frame.ends_a_commit).last();
        last.map_or(0, |(at, _)| at + 1)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

/// A database file as a look at it began.
pub(super) struct Began {
    file: FileId,
    file_bytes: u64,
    log_header: Vec<u8>,
    committed: usize,
}

impl Began {
    /// Before the file is opened to be read.
    pub fn now(database: &Path, log: &Path) -> io::Result<Began> {
        let log = Log::read(log)?;
        Ok(Began {
            file: file_id::of_name(database),
            file_bytes: length(database)?,
            log_header: log.header().to_vec(),
            committed: log.committed(),
        })
    }

    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Whether everything that was read until now is as it was at the beginning.
    pub fn is_as_it_was(&self, database: &Path, log: &Path) -> io::Result<bool> {
        let log_file = log;
        let log = Log::read(log_file)?;
        if file_id::of_name(database) != self.file
            || length(database)? < self.file_bytes
            || log.header() != self.log_header
        {
            return Ok(false);
        }
        let before = log.frames().take(self.committed).map(|frame| frame.page);
        let before: HashSet<u32> = before.collect();
        let since = log.frames().skip(self.committed);
        let since = since.filter(|frame| !before.contains(&frame.page));
        // Of several of one page, the last is what is moved.
        let since: HashMap<u32, &[u8]> = since.map(|frame| (frame.page, frame.content)).collect();
        let mut file = File::open(database)?;
        for (page, content) in since {
            if is_in_file(&mut file, page, content)? {
                return Ok(false);
            }
        }
        // It may have begun anew while it was read: then the frames are not of this header.
        Ok(read_header(log_file)? == self.log_header)
    }
}

fn read_header(log: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    match File::open(log) {
        Ok(log) => {
            log.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(header)
}

/// Opened for that: to ask for a file's metadata by its name would ask for its times, too.
fn length(path: &Path) -> io::Result<u64> {
    File::open(path)?.seek(SeekFrom::End(0))
}

fn is_in_file(file: &mut File, page: u32, content: &[u8]) -> io::Result<bool> {
    let offset = u64::from(page.saturating_sub(1)) * content.len() as u64;
    file.seek(SeekFrom::Start(offset))?;
    let mut found = vec![0; content.len()];
    match file.read_exact(&mut found) {
        Ok(()) => Ok(found == content),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// A database in WAL mode whose log is moved only when that is asked for.
    fn database(directory: &Path) -> (Connection, std::path::PathBuf, std::path::PathBuf) {
        let path = directory.join("device.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
                 CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO a VALUES (1);
                 PRAGMA wal_checkpoint(PASSIVE);",
            )
            .unwrap();
        (connection, path.clone(), directory.join("device.db-wal"))
    }

    #[test]
    fn a_log_that_grows_changes_nothing_until_it_is_moved() {
        let directory = tempfile::tempdir().unwrap();
        let (connection, path, wal) = database(directory.path());
        connection
            .execute_batch("INSERT INTO a VALUES (2)")
            .unwrap();
        let began = Began::now(&path, &wal).unwrap();
        assert!(began.committed > 0);
        assert!(began.is_as_it_was(&path, &wal).unwrap());
        // Of a page that is in the log already, and then of another.
        for sql in ["INSERT INTO a VALUES (3)", "INSERT INTO b VALUES (4)"] {
            connection.execute_batch(sql).unwrap();
            assert!(began.is_as_it_was(&path, &wal).unwrap(), "{sql}");
        }
        connection
            .execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
            .unwrap();
        assert!(!began.is_as_it_was(&path, &wal).unwrap(), "it was moved");
        let again = Began::now(&path, &wal).unwrap();
        assert!(again.is_as_it_was(&path, &wal).unwrap());
        connection
            .execute_batch("INSERT INTO b VALUES (5)")
            .unwrap();
        assert!(!again.is_as_it_was(&path, &wal).unwrap(), "it began anew");
    }

    #[test]
    fn what_is_moved_out_of_the_log_and_was_in_it_before_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (connection, path, wal) = database(directory.path());
        connection
            .execute_batch("INSERT INTO a VALUES (2)")
            .unwrap();
        let began = Began::now(&path, &wal).unwrap();
        connection
            .execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
            .unwrap();
        assert!(began.is_as_it_was(&path, &wal).unwrap());
    }

    /// On a machine of 32 bits, the first two and a frame's header together are no number, or 0.
    #[test]
    fn a_log_whose_pages_are_as_large_as_no_page_is_has_no_frames() {
        for page_bytes in [u32::MAX, u32::MAX - 23, 1 << 31] {
            let mut bytes = vec![0; 4096];
            bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
            bytes[8..12].copy_from_slice(&page_bytes.to_be_bytes());
            let log = Log { bytes };
            assert_eq!(log.frames().count(), 0, "{page_bytes}");
        }
    }

    #[test]
    fn another_file_a_shorter_one_and_a_log_that_is_none_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let (connection, path, wal) = database(directory.path());
        drop(connection);
        std::fs::write(&wal, [7; 100]).unwrap();
        let began = Began::now(&path, &wal).unwrap();
        assert_eq!(began.committed, 0);
        assert!(began.is_as_it_was(&path, &wal).unwrap());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..1024]).unwrap();
        assert!(!began.is_as_it_was(&path, &wal).unwrap());
        std::fs::write(directory.path().join("other"), bytes).unwrap();
        std::fs::rename(directory.path().join("other"), &path).unwrap();
        #[cfg(unix)]
        assert!(!began.is_as_it_was(&path, &wal).unwrap());
    }
}
