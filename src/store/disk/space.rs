//! Blocks of the disk for a file, asked for before they are needed.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// The file's length. Not from its metadata: whoever looks at the times there makes each sync dearer (see `file_id`).
pub(super) fn length(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// Gives the file blocks for what is between these bytes, and makes it that long, without changing what is in it. What
/// was given before is not asked for again: some file systems (tmpfs) look at each block.
pub(super) fn allocate(file: &File, from: u64, to: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if from < to {
        use crate::error::is_no_space;
        let given =
            rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), from, to - from);
        match given.map_err(io::Error::from) {
            Ok(()) => return Ok(()),
            Err(error) if is_no_space(error.kind()) => return Err(error),
            // Not every file system can do it, and not every sandbox lets us. If the disk fails, writing tells.
            Err(_) => {}
        }
    }
    let _ = from;
    extend(file, to)
}

/// The same. A file that is long enough is taken to have its blocks, where the disk is too full to make sure.
pub(super) fn allocate_missing(file: &File, from: u64, to: u64) -> io::Result<()> {
    allocate(file, from, to).or_else(|error| {
        if length(file)? >= to {
            return Ok(());
        }
        Err(error)
    })
}

/// Writes zeros behind the end.
fn extend(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut missing = bytes.saturating_sub(length(file)?);
    while missing > 0 {
        let zeros = [0; 4096];
        let part = missing.min(zeros.len() as u64);
        file.write_all(zeros.get(..part as usize).unwrap_or(&zeros))?;
        missing -= part;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_given_without_changing_what_is_there() {
        fn all(file: &File, bytes: u64) -> io::Result<()> {
            allocate(file, 0, bytes)
        }
        fn new(file: &File, bytes: u64) -> io::Result<()> {
            allocate(file, length(file)?, bytes)
        }
        for give in [all, new, extend] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"here").unwrap();
            give(&file, 10_000).unwrap();
            give(&file, 5000).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 10_000);
            let mut text = String::new();
            io::Seek::rewind(&mut file).unwrap();
            io::Read::read_to_string(&mut file, &mut text).unwrap();
            assert_eq!(text.trim_end_matches('\0'), "here");
        }
    }
}
