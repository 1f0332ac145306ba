//! The frames of a write-ahead log (<https://sqlite.org/fileformat2.html#walformat>), to see what SQLite
//! does not say: it uses the frames up to the first bad one and silently drops all behind it.

use std::io::{self, ErrorKind, Read};

use crate::store::disk::reserve::VOID;
use crate::store::disk::sqlite::PAGE_BYTES;

const HEADER_BYTES: usize = VOID.len();
const FRAME_HEADER_BYTES: usize = 24;
const FRAME_BYTES: usize = FRAME_HEADER_BYTES + PAGE_BYTES as usize;
/// A WAL with a frame is not shorter.
pub(super) const ONE_FRAME_BYTES: u64 = (HEADER_BYTES + FRAME_BYTES) as u64;
const MAGIC: u32 = 0x377f_0682;

/// A whole frame of the current generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub page: u32,
    /// Where its page is in the WAL.
    pub offset: u64,
    pub is_commit: bool,
}

/// What a WAL holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Frames {
    /// The frames that SQLite uses: up to the last commit before the first bad frame.
    pub used: Vec<Frame>,
    /// The whole frames behind the first bad one, up to the last commit there.
    pub behind: Vec<Frame>,
    /// Frames before the first bad one without a commit: it did not come to it, or the WAL was damaged there.
    pub uncommitted: usize,
}

impl Frames {
    /// The commits that SQLite drops although they are there.
    pub fn dropped_commits(&self) -> usize {
        self.behind.iter().filter(|frame| frame.is_commit).count()
    }

    /// The number of the first bad frame.
    pub fn first_bad(&self) -> usize {
        self.used.len() + 1
    }
}

/// Reads a WAL from its start to its end.
pub(super) fn scan(mut wal: impl Read) -> io::Result<Frames> {
    let mut header = [0; HEADER_BYTES];
    let mut frame = [0; FRAME_BYTES];
    let mut frames = Frames::default();
    if !fill(&mut wal, &mut header)? || header == *VOID || !fill(&mut wal, &mut frame)? {
        return Ok(frames);
    }
    let (mut words, mut salt) = (Words::of(&header), salts(&header, 16));
    let mut sum = Some(words.sum((0, 0), part(&header, 0, 24)));
    let is_bad = words.magic(&header) != MAGIC || sum != Some(pair(&header, 24));
    if is_bad {
        // The first frame is always of the current generation, and this machine wrote it.
        (words, salt, sum) = (Words::native(), salts(&frame, 8), None);
    }
    if salt == NO_SALTS {
        salt = salts(&header, 16);
    }
    let mut offset = HEADER_BYTES as u64;
    let mut is_chained = !is_bad;
    let mut whole: Vec<Frame> = Vec::new();
    loop {
        if salt == NO_SALTS {
            // What is before it is zeros: the first frame that is left is of the current generation, or of one
            // that is in the database.
            salt = salts(&frame, 8);
        }
        if salts(&frame, 8) == salt && salt != NO_SALTS {
            let before = sum;
            sum = Some(pair(&frame, 16));
            let is_whole = before.is_some_and(|before| {
                let begun = words.sum(before, part(&frame, 0, 8));
                Some(words.sum(begun, part(&frame, FRAME_HEADER_BYTES, FRAME_BYTES))) == sum
            });
            if is_chained && !is_whole {
                frames.uncommitted = whole.len() + 1;
                whole.clear();
                is_chained = false;
            }
            if is_whole {
                whole.push(Frame {
                    page: number(&frame, 0),
                    offset: offset + FRAME_HEADER_BYTES as u64,
                    is_commit: number(&frame, 4) != 0,
                });
            }
        } else {
            if is_chained {
                frames.uncommitted = whole.len();
            }
            sum = None;
            whole.clear();
            is_chained = false;
        }
        if whole.last().is_some_and(|last| last.is_commit) {
            let place = if is_chained {
                &mut frames.used
            } else {
                &mut frames.behind
            };
            place.append(&mut whole);
        }
        offset += FRAME_BYTES as u64;
        if !fill(&mut wal, &mut frame)? {
            break;
        }
    }
    if is_chained {
        frames.uncommitted = whole.len();
    }
    Ok(frames)
}

fn fill(wal: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match wal.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

/// The byte order of the checksums' words.
struct Words {
    is_big_endian: bool,
}

impl Words {
    fn of(header: &[u8]) -> Words {
        Words {
            is_big_endian: number(header, 0) & 1 == 1,
        }
    }

    fn native() -> Words {
        Words {
            is_big_endian: cfg!(target_endian = "big"),
        }
    }

    fn magic(&self, header: &[u8]) -> u32 {
        number(header, 0) & !1
    }

    fn sum(&self, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let (words, _) = bytes.as_chunks::<4>();
        for pair in words.chunks_exact(2) {
            let [one, two] = pair else { continue };
            let word = |bytes: &[u8; 4]| {
                if self.is_big_endian {
                    u32::from_be_bytes(*bytes)
                } else {
                    u32::from_le_bytes(*bytes)
                }
            };
            first = first.wrapping_add(word(one)).wrapping_add(second);
            second = second.wrapping_add(word(two)).wrapping_add(first);
        }
        (first, second)
    }
}

fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or(&[])
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

fn pair(bytes: &[u8], at: usize) -> (u32, u32) {
    (number(bytes, at), number(bytes, at + 4))
}

/// Where there is none: in zeros.
const NO_SALTS: (u32, u32) = (0, 0);

fn salts(bytes: &[u8], at: usize) -> (u32, u32) {
    pair(bytes, at)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A WAL of 10 commits by SQLite itself.
    fn wal() -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
            .unwrap();
        for _ in 0..9 {
            let insert = "INSERT INTO t VALUES (zeroblob(3000))";
            connection.execute(insert, ()).unwrap();
        }
        std::fs::read(directory.path().join("a.db-wal")).unwrap()
    }

    fn counts(wal: &[u8]) -> (usize, usize) {
        let frames = scan(wal).unwrap();
        let commits = |frames: &[Frame]| frames.iter().filter(|frame| frame.is_commit).count();
        (commits(&frames.used), commits(&frames.behind))
    }

    #[test]
    fn all_commits_of_an_undamaged_wal_are_used() {
        assert_eq!(counts(&wal()), (10, 0));
    }

    #[test]
    fn what_is_behind_a_bad_frame_is_found() {
        let wal = wal();
        for byte in (HEADER_BYTES..wal.len()).step_by(97) {
            let mut damaged = wal.clone();
            damaged[byte] ^= 0x55;
            let (used, behind) = counts(&damaged);
            // The frames behind the bad one, and with them perhaps the end of its own commit.
            let whole = used < 10 && (8..=10).contains(&(used + behind));
            assert!(whole, "byte {byte}: {used}, {behind}");
        }
        let cut_short = &wal[..wal.len() - 1];
        assert_eq!(counts(cut_short), (9, 0));
        assert!(scan(cut_short).unwrap().uncommitted > 0, "as by a crash");
        assert_eq!(scan(&*wal).unwrap().uncommitted, 0);
    }

    #[test]
    fn a_damaged_header_hides_nothing_and_a_void_one_all() {
        for byte in 0..HEADER_BYTES {
            let mut damaged = wal();
            damaged[byte] ^= 0x55;
            assert_eq!(counts(&damaged).0, 0);
            assert!(counts(&damaged).1 >= 9, "byte {byte}");
        }
        for zeros in [25..2020, 0..1500, 8..40] {
            let mut damaged = wal();
            damaged[zeros.clone()].fill(0);
            assert_eq!(counts(&damaged).0, 0);
            assert!(counts(&damaged).1 >= 8, "zeros at {zeros:?}");
        }
        let mut void = wal();
        void[..HEADER_BYTES].copy_from_slice(VOID);
        assert_eq!(counts(&void), (0, 0));
        assert_eq!(counts(&[0; 5000]), (0, 0));
        assert_eq!(counts(&[]), (0, 0));
    }

    #[test]
    fn frames_of_an_earlier_generation_are_not_taken_for_dropped_ones() {
        let (mut newer, older) = (wal(), wal());
        newer.truncate(HEADER_BYTES + 4 * FRAME_BYTES);
        newer.extend_from_slice(&older[newer.len()..]);
        assert_eq!(counts(&newer).1, 0);
    }
}
