//! What a thread tried and what was accepted, in a file of its own, over all kills.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::ops::Range;
use std::path::Path;

pub struct Ledger {
    file: File,
    /// Behind every number that was ever tried: one that was not accepted is not used again, as it may
    /// have been stored.
    pub next: u64,
}

impl Ledger {
    pub fn open(directory: &Path, name: &str) -> Result<Ledger> {
        let path = directory.join(name);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let numbers = text
            .lines()
            .filter_map(|line| line.split_once(' ')?.1.parse::<u64>().ok());
        Ok(Ledger {
            next: numbers.max().map_or(0, |last| last + 1),
            file: OpenOptions::new().append(true).create(true).open(path)?,
        })
    }

    /// The numbers to try now.
    pub fn try_next(&mut self, count: u64) -> Result<Range<u64>> {
        let numbers = self.next..self.next + count;
        self.next = numbers.end;
        self.note(&format!("try {}", numbers.end - 1))?;
        Ok(numbers)
    }

    pub fn accepted(&mut self, numbers: Range<u64>) -> Result<()> {
        let lines: String = numbers.map(|number| format!("ok {number}\n")).collect();
        self.file.write_all(lines.as_bytes())
    }

    pub fn note(&mut self, line: &str) -> Result<()> {
        self.file.write_all(format!("{line}\n").as_bytes())
    }
}
