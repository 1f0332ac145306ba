//! The pages of a damaged database: its file, and over it the frames of its WAL.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::record::{PAGE, Page, Pages};
use super::wal_frames::{self, Frames, ONE_FRAME_BYTES};
use crate::store::disk::files::with_suffix;
use crate::store::disk::reserve::WAL_BYTES_MIN;

/// A database that is only read, by its bytes. No SQLite connection may be open: closing a file takes
/// the process's locks away from it.
pub(super) struct Damaged {
    database: File,
    wal: Option<File>,
    /// Where in the WAL the newest version of a page is.
    in_wal: HashMap<u32, u64>,
    count: u32,
    pub frames: Frames,
}

impl Damaged {
    pub fn open(file: &Path) -> io::Result<Damaged> {
        let database = File::open(file)?;
        let wal = match File::open(with_suffix(file, "-wal")) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => Some(other?),
        };
        let frames = match &wal {
            Some(wal) => wal_frames::scan(BufReader::new(wal))?,
            None => Frames::default(),
        };
        let all = || frames.used.iter().chain(&frames.behind);
        let in_wal: HashMap<u32, u64> = all().map(|frame| (frame.page, frame.offset)).collect();
        let in_file = database.metadata()?.len().div_ceil(PAGE as u64);
        let in_file = u32::try_from(in_file).unwrap_or(u32::MAX);
        let count = in_wal.keys().copied().fold(in_file, u32::max);
        Ok(Damaged {
            database,
            wal,
            in_wal,
            count,
            frames,
        })
    }

    /// Whether the WAL is shorter than one in use ever is, unless it was begun on a full disk.
    pub fn wal_is_cut_off(&self) -> bool {
        let wal_bytes = self.wal.as_ref().and_then(|wal| wal.metadata().ok());
        let has_frames = !self.in_wal.is_empty() || self.frames.uncommitted > 0;
        wal_bytes.is_some_and(|it| match it.len() {
            0 => false,
            1..ONE_FRAME_BYTES => true,
            bytes => bytes < WAL_BYTES_MIN && has_frames,
        })
    }

    /// The pages that were written behind the first bad frame of the WAL.
    pub fn pages_behind(&self) -> impl Iterator<Item = u32> {
        let mut pages: Vec<u32> = self.frames.behind.iter().map(|frame| frame.page).collect();
        pages.sort_unstable();
        pages.dedup();
        pages.into_iter()
    }

    /// Whether a page, or what is left of the WAL, has these bytes.
    pub fn contains(&self, text: &[u8]) -> io::Result<bool> {
        let files = std::iter::once(&self.database).chain(&self.wal);
        for mut file in files {
            file.rewind()?;
            let mut file = BufReader::new(file);
            let mut chunk = Vec::new();
            loop {
                let kept = chunk.len().min(text.len());
                chunk.drain(..chunk.len() - kept);
                let read = (&mut file).take(64 << 10).read_to_end(&mut chunk)?;
                if chunk.windows(text.len()).any(|window| window == text) {
                    return Ok(true);
                }
                if read == 0 {
                    break;
                }
            }
        }
        Ok(false)
    }

    /// Whether there is nothing but zeros, as a power cut can leave of a file.
    pub fn is_zero(&self) -> io::Result<bool> {
        let mut file = &self.database;
        file.rewind()?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(self.in_wal.is_empty()),
                read if chunk.iter().take(read).all(|byte| *byte == 0) => {}
                _ => return Ok(false),
            }
        }
    }
}

impl Pages for Damaged {
    fn page(&self, number: u32) -> Option<Page> {
        let (mut file, offset) = match (self.in_wal.get(&number), &self.wal) {
            (Some(offset), Some(wal)) => (wal, *offset),
            _ => (
                &self.database,
                u64::from(number).checked_sub(1)? * PAGE as u64,
            ),
        };
        let mut page = [0; PAGE];
        file.seek(SeekFrom::Start(offset)).ok()?;
        let mut filled = 0;
        while filled < PAGE {
            match file.read(page.get_mut(filled..)?) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        // What is left of a page that was cut off.
        (filled > 0).then_some(page)
    }

    fn count(&self) -> u32 {
        self.count
    }
}
