//! Content for a storage that takes it only as a whole: read block by block while it is sent.

use std::io::{self, Read};

use super::BLOCK_BYTES;
use crate::error::Error;
use crate::http::agent::StreamedBody;
use crate::outbox::Uploads;

/// The content of a Message, from its beginning.
pub(super) struct Whole<'a> {
    uploads: &'a Uploads,
    message: i64,
    bytes: u64,
    /// So much was read from the store.
    read_bytes: u64,
    block: Vec<u8>,
    /// So much of the block is sent.
    sent: usize,
    /// Why there is no more, if it is not the end.
    pub ended_by: Option<Ended>,
}

/// Why content cannot be read on.
pub(super) enum Ended {
    MessageIsGone,
    Failed(Error),
}

impl<'a> Whole<'a> {
    pub fn new(uploads: &'a Uploads, message: i64, bytes: u64) -> Whole<'a> {
        Whole {
            uploads,
            message,
            bytes,
            read_bytes: 0,
            block: Vec::new(),
            sent: 0,
            ended_by: None,
        }
    }

    /// All of it, to be sent.
    pub fn body(&mut self) -> StreamedBody<'_> {
        StreamedBody {
            bytes: self.bytes,
            reader: self,
        }
    }

    fn next_block(&mut self) -> Result<(), Ended> {
        let end = self.read_bytes + u64::from(BLOCK_BYTES);
        // The one before goes first.
        self.block = Vec::new();
        self.sent = 0;
        let block = self.uploads.content(self.message, self.read_bytes..end);
        let block = block.map_err(Ended::Failed)?;
        self.block = block.ok_or(Ended::MessageIsGone)?;
        self.read_bytes += self.block.len() as u64;
        Ok(())
    }
}

impl Read for Whole<'_> {
    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        if self.sent == self.block.len() {
            self.next_block().map_err(|ended| {
                self.ended_by = Some(ended);
                io::Error::other("the content cannot be read on")
            })?;
        }
        let mut rest = self.block.get(self.sent..).unwrap_or_default();
        let read = rest.read(part)?;
        self.sent += read;
        Ok(read)
    }
}
