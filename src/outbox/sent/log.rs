//! The file: its entries, and the *generation* under which they count. An entry of another generation means nothing,
//! be it of rows that are deleted, of a database that had the name before, or of the time behind a backup that was
//! put back. Entries count up to the first that does not: so what a power cut takes of them are the last.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::failure_log::FailureLog;
use crate::store::file_id::{self, FileId};
use crate::store::{behind_links, private, sync_directory, with_suffix};

/// So many Messages at most are noted: one page of most systems' memory, and disks.
pub(in crate::outbox) const CAPACITY: usize = 256;
const ENTRY_BYTES: usize = 16;
const FILE_BYTES: usize = CAPACITY * ENTRY_BYTES;

/// A write of a few bytes that takes longer comes from a disk that is busy or worn: for a while nothing is noted, so
/// that the link does not wait for it.
const QUICK: Duration = Duration::from_millis(10);
const SLOW_FOR: Duration = Duration::from_secs(60);

/// The file.
pub(in crate::outbox) struct SentLog {
    path: PathBuf,
    file: Option<(File, FileId)>,
    generation: i64,
    entries: usize,
    slow_until: Option<Instant>,
    /// That the file is there under its name survives the loss of power.
    is_name_synced: bool,
    failures: FailureLog,
}

/// What an earlier run left.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::outbox) struct Found {
    /// These Messages the Platform has.
    pub sent: Vec<i64>,
    /// There is no entry of this generation.
    pub is_clean: bool,
}

impl SentLog {
    /// Of the database at this path, which is there. What fails is only logged: see above.
    pub fn open(database: &Path) -> SentLog {
        let database = behind_links(database).unwrap_or_else(|_| database.to_owned());
        let mut log = SentLog {
            path: with_suffix(&database, "-sent"),
            file: None,
            generation: 0,
            entries: 0,
            slow_until: None,
            is_name_synced: false,
            failures: FailureLog::new(module_path!()),
        };
        log.open_file();
        log
    }

    fn open_file(&mut self) {
        match open_file(&self.path) {
            Ok(file) => {
                self.file = Some(file);
                self.is_name_synced = false;
            }
            Err(error) => {
                self.file = None;
                self.failed(&error);
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        let what = format!("{}: cannot be written", self.path.display());
        let how = "; acknowledged Messages are deleted one by one";
        self.failures.failed(&what, error.to_string(), how);
    }

    /// What counts under this generation.
    pub fn read(&mut self, generation: i64) -> Found {
        let mut bytes = Vec::new();
        if let Some((file, _)) = &mut self.file
            && let Err(error) = file
                .rewind()
                .and_then(|()| file.take(FILE_BYTES as u64).read_to_end(&mut bytes))
        {
            log::warn!("{}: {error}", self.path.display());
        }
        decode(&bytes, generation)
    }

    /// What is noted from now on belongs to this generation. Whoever has taken the file away has a new one.
    pub fn begin(&mut self, generation: i64) {
        let is_there = |(_, id): &(File, FileId)| *id == file_id::of_name(&self.path);
        if !self.file.as_ref().is_some_and(is_there) {
            self.open_file();
        }
        self.generation = generation;
        self.entries = 0;
    }

    /// Under which generation entries are noted.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Closes the file: nothing is noted any more.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Syncs what is noted: then it survives the loss of power, too. Whether it is done; if not, the rows must be deleted.
    /// Not for the link, which never waits for a sync.
    pub fn sync(&mut self) -> bool {
        let Some((file, _)) = &self.file else {
            return false;
        };
        let synced = if self.is_name_synced {
            file.sync_data()
        } else {
            sync(file, &self.path)
        };
        match synced {
            Ok(()) => {
                self.is_name_synced = true;
                true
            }
            Err(error) => {
                self.failed(&error);
                self.file = None;
                false
            }
        }
    }

    /// Notes that the Platform has these Messages: this survives a kill. Whether it is done; if not, their rows
    /// must be deleted.
    pub fn note(&mut self, ids: &[i64], now: Instant) -> bool {
        let is_slow = self.slow_until.is_some_and(|until| now < until);
        let Some((file, _)) = self.file.as_ref().filter(|_| !is_slow) else {
            return false;
        };
        if self.entries + ids.len() > CAPACITY {
            return false;
        }
        let bytes = encode(ids, self.generation);
        let written = write_at(file, &bytes, (self.entries * ENTRY_BYTES) as u64);
        let took = now.elapsed();
        if took > QUICK {
            self.slow_until = Some(now + took + SLOW_FOR);
            let path = self.path.display();
            log::debug!("{path}: a write took {took:?}; rows are deleted instead for a while");
        }
        match written {
            Ok(()) => {
                self.entries += ids.len();
                self.failures.succeeded();
                true
            }
            Err(error) => {
                self.failed(&error);
                self.file = None;
                false
            }
        }
    }
}

/// Also that there is a file of this name.
fn sync(file: &File, path: &Path) -> io::Result<()> {
    file.sync_data()?;
    sync_directory(path).map_err(io::Error::other)
}

fn open_file(path: &Path) -> io::Result<(File, FileId)> {
    let mut file = private(OpenOptions::new().read(true).write(true).create(true)).open(path)?;
    // All blocks of the disk that it will need, which a full one would not have later.
    let missing = FILE_BYTES.saturating_sub(file.seek(io::SeekFrom::End(0))? as usize);
    file.write_all(&vec![0; missing])?;
    let id = file_id::of_handle(&file)?;
    Ok((file, id))
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.seek(io::SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// What the file of a database notes as sent under this generation: for whoever only looks, beside its
/// client.
#[cfg(feature = "tool")]
pub(crate) fn noted(database: &Path, generation: i64) -> Vec<i64> {
    // Without the file nothing is noted.
    let bytes = std::fs::read(with_suffix(database, "-sent")).unwrap_or_default();
    decode(&bytes, generation).sent
}

/// Another id, or another generation, has another seal: the factor is odd.
fn seal(id: i64, generation: i64) -> u64 {
    (id ^ generation)
        .cast_unsigned()
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn encode(ids: &[i64], generation: i64) -> Vec<u8> {
    let entry = |id: &i64| [id.to_le_bytes(), seal(*id, generation).to_le_bytes()];
    ids.iter().flat_map(entry).flatten().collect()
}

fn decode(bytes: &[u8], generation: i64) -> Found {
    let (words, _) = bytes.as_chunks::<8>();
    let mut entries = words.chunks_exact(2).map(|entry| match entry {
        [id, sealed] => {
            let id = i64::from_le_bytes(*id);
            (id > 0 && u64::from_le_bytes(*sealed) == seal(id, generation)).then_some(id)
        }
        _ => None,
    });
    let sent: Vec<i64> = entries.by_ref().map_while(|id| id).collect();
    let is_clean = sent.is_empty() && entries.all(|id| id.is_none());
    Found { sent, is_clean }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATION: i64 = 0x1234_5678_9abc_def0;

    fn log(directory: &tempfile::TempDir) -> SentLog {
        let path = directory.path().join("device.db");
        File::create(&path).unwrap();
        let mut log = SentLog::open(&path);
        log.begin(GENERATION);
        log
    }

    fn note(log: &mut SentLog, ids: &[i64]) -> bool {
        log.note(ids, Instant::now())
    }

    fn sent(log: &mut SentLog, generation: i64) -> Vec<i64> {
        log.read(generation).sent
    }

    #[test]
    fn what_is_noted_is_found_under_its_generation_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(&directory);
        assert!(log.read(GENERATION).is_clean);
        assert!(note(&mut log, &[7]));
        assert!(note(&mut log, &[9, 8]));
        let mut again = SentLog::open(&directory.path().join("device.db"));
        assert_eq!(sent(&mut again, GENERATION), [7, 9, 8]);
        let other = again.read(GENERATION + 1);
        assert_eq!((other.sent, other.is_clean), (vec![], true));
    }

    #[test]
    fn what_was_noted_before_a_new_generation_counts_no_more_and_its_place_is_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(&directory);
        let ids: Vec<i64> = (1..=CAPACITY as i64).collect();
        assert!(note(&mut log, &ids));
        assert!(!note(&mut log, &[1000]), "it is full");
        log.begin(5);
        assert_eq!(sent(&mut log, 5), [0_i64; 0]);
        assert!(note(&mut log, &[1000]));
        assert_eq!(sent(&mut log, 5), [1000]);
        let before = log.read(GENERATION);
        assert!(before.sent.is_empty() && !before.is_clean);
        let bytes = std::fs::metadata(&log.path).unwrap().len();
        assert_eq!(bytes, FILE_BYTES as u64);
    }

    #[test]
    fn a_changed_byte_hides_its_entry_and_those_behind_it_and_makes_no_other() {
        let ids = [1, 2, 3, 4, 5];
        let bytes = encode(&ids, GENERATION);
        for place in 0..bytes.len() {
            for change in 1..=u8::MAX {
                let mut changed = bytes.clone();
                changed[place] ^= change;
                let found = decode(&changed, GENERATION);
                assert_eq!(found.sent, ids[..place / ENTRY_BYTES], "byte {place}");
                assert!(!found.is_clean);
            }
        }
        for length in 0..bytes.len() {
            let found = decode(&bytes[..length], GENERATION);
            assert_eq!(found.sent, ids[..length / ENTRY_BYTES]);
        }
        assert!(decode(&[0; FILE_BYTES], GENERATION).is_clean);
    }

    #[test]
    fn behind_a_slow_write_nothing_is_noted_for_a_minute() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(&directory);
        let begun = Instant::now() - Duration::from_millis(11);
        assert!(log.note(&[1], begun), "it is there all the same");
        assert!(!note(&mut log, &[2]));
        assert!(!log.note(&[2], Instant::now() + SLOW_FOR - Duration::from_secs(1)));
        assert!(log.note(&[2], Instant::now() + SLOW_FOR + Duration::from_secs(1)));
        assert_eq!(sent(&mut log, GENERATION), [1, 2]);
    }

    #[test]
    fn a_file_that_was_taken_away_is_there_again_with_the_next_generation() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(&directory);
        std::fs::remove_file(&log.path).unwrap();
        log.begin(2);
        assert!(note(&mut log, &[1]));
        let mut again = SentLog::open(&directory.path().join("device.db"));
        assert_eq!(sent(&mut again, 2), [1]);
    }

    #[test]
    fn what_is_noted_can_be_synced_while_there_is_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(&directory);
        assert!(note(&mut log, &[1]));
        assert!(log.sync() && log.sync());
        log.close();
        assert!(!log.sync(), "the rows have to be deleted");
    }

    #[test]
    fn without_a_file_nothing_is_noted_and_nothing_fails() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("device.db-sent")).unwrap();
        let mut log = log(&directory);
        assert!(!note(&mut log, &[1]));
        assert!(log.read(GENERATION).is_clean);
    }
}
