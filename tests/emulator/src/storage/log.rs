//! Every write to the storage, those that broke off too.

use std::collections::VecDeque;
use std::time::Instant;

/// Older writes are forgotten.
const KEPT_MAX: usize = 100_000;

/// A write to the storage: a PUT request whose SAS was right.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StorageWrite {
    /// The device, `{workspaceId}:{deviceId}`.
    pub hub_id: String,
    /// The name that the device chose.
    pub blob_name: String,
    /// What was written.
    pub kind: WriteKind,
    /// How much content was to come.
    pub content_length: u64,
    /// How much came so far.
    pub received_bytes: u64,
    /// What was answered; nothing yet, or never, if it broke off.
    pub status: Option<u16>,
    /// When it began.
    pub at: Instant,
}

/// What was written to the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteKind {
    /// A blob as a whole.
    Blob,
    /// A block, with its id (Base64).
    Block(String),
    /// A list that makes blocks a blob.
    BlockList,
}

#[derive(Default)]
pub(crate) struct WriteLog {
    writes: VecDeque<StorageWrite>,
    forgotten: u64,
}

impl WriteLog {
    /// Notes a write; the number is for `change`.
    pub fn began(&mut self, write: StorageWrite) -> u64 {
        if self.writes.len() == KEPT_MAX {
            self.writes.pop_front();
            self.forgotten += 1;
        }
        self.writes.push_back(write);
        self.forgotten + self.writes.len() as u64 - 1
    }

    pub fn change(&mut self, number: u64, change: impl FnOnce(&mut StorageWrite)) {
        let index = number.checked_sub(self.forgotten);
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(write) = index.and_then(|index| self.writes.get_mut(index)) {
            change(write);
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &StorageWrite> {
        self.writes.iter()
    }
}
