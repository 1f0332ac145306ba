//! A database file as the tool reads it, at rest or beside its client.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::Path;

use super::failure::Failure;
use crate::error::{Error, Result};
use crate::message::MAX_PAYLOAD_BYTES;
use crate::outbox::noted_as_sent;
use crate::store::Holder;
use crate::store::rows::chunks::{self, StoredContent};
use crate::store::rows::device::{self, DeviceRow};
use crate::store::rows::listing::{self, Range, Shelf, StoredMessage};
use crate::store::rows::outbox::sent_generation;
use crate::store::snapshot::SnapshotReader;

/// Short enough for a client under load, which moves its log every 100 ms or so.
const PAGE_ROWS: usize = 500;
const PAGE_BYTES: u64 = 1 << 20;

/// The file.
pub(crate) struct DatabaseFile {
    reader: SnapshotReader,
    /// What is noted as sent under a generation, though its row is still there.
    sent: (Option<i64>, HashSet<i64>),
}

impl DatabaseFile {
    pub fn open(path: &Path) -> Result<DatabaseFile> {
        Ok(DatabaseFile {
            reader: SnapshotReader::open(path)?,
            sent: (None, HashSet::new()),
        })
    }

    /// Absolute, and behind all links.
    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// Who uses it now.
    pub fn holder(&self) -> Holder {
        Holder::of(self.path())
    }

    /// Who the device is; nothing before its first start.
    pub fn device(&mut self) -> Result<Option<DeviceRow>> {
        self.reader.read(device::load)
    }

    /// How many cloud-to-device messages wait for the program.
    pub fn inbox_count(&mut self) -> Result<u64> {
        self.reader.read(listing::inbox_count)
    }

    /// What SQLite finds wrong with it.
    pub fn quick_check(&mut self) -> Result<Option<String>> {
        self.reader.read(listing::quick_check)
    }

    /// The Message of this id with its payload, wherever it lies.
    pub fn message(&mut self, id: i64) -> Result<Option<StoredMessage>> {
        for shelf in [Shelf::Outbox, Shelf::SetAside] {
            let range = Range {
                shelf,
                after: id.saturating_sub(1),
                rows_max: 1,
                body_bytes_max: 0,
                with_bodies: true,
            };
            let found = self.page(range)?.pop().filter(|found| found.id == id);
            if let Some(mut found) = found {
                let is_sent = shelf == Shelf::Outbox && self.sent.1.contains(&id);
                let is_there = !is_sent && self.fill_in(&mut found)?;
                return Ok(is_there.then_some(found));
            }
        }
        Ok(None)
    }

    /// Hands the Messages out, oldest first, until `each` says that it has enough.
    pub fn each(
        &mut self,
        shelf: Shelf,
        with_bodies: bool,
        each: &mut dyn FnMut(StoredMessage) -> Result<Next, Failure>,
    ) -> Result<(), Failure> {
        let mut range = Range {
            shelf,
            after: 0,
            rows_max: PAGE_ROWS,
            body_bytes_max: PAGE_BYTES,
            with_bodies,
        };
        loop {
            let page = self.page(range)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            range.after = last.id;
            for mut message in page {
                let is_sent = shelf == Shelf::Outbox && self.sent.1.contains(&message.id);
                let is_there = !is_sent && (!with_bodies || self.fill_in(&mut message)?);
                if is_there && each(message)? == Next::Enough {
                    return Ok(());
                }
            }
        }
    }

    /// Reads the payload if it lies in chunks, and is one that the memory is to hold. `false`: it is no longer there, as
    /// its client has sent it since.
    fn fill_in(&mut self, message: &mut StoredMessage) -> Result<bool> {
        let Some(content) = message.content else {
            return Ok(true);
        };
        if content.bytes > MAX_PAYLOAD_BYTES as u64 {
            return Ok(true);
        }
        let mut body = Vec::new();
        match self.content(content).read_to_end(&mut body) {
            Ok(_) => {
                message.body = Some(body);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::database(self.path(), "read the database", error)),
        }
    }

    /// Content that lies in chunks, of which only a part is in memory.
    pub fn content(&mut self, content: StoredContent) -> ContentReader<'_> {
        ContentReader {
            file: self,
            content,
            at: 0,
            part: Vec::new(),
            read: 0,
        }
    }

    fn page(&mut self, range: Range) -> Result<Vec<StoredMessage>> {
        let (generation, page) = self.reader.read(|transaction| {
            Ok((
                sent_generation(transaction)?,
                listing::page(transaction, range)?,
            ))
        })?;
        if self.sent.0 != generation {
            self.sent = (generation, HashSet::new());
        }
        // Those from before stay: the client may have deleted them since, which this snapshot does not know.
        if let Some(generation) = generation {
            self.sent.1.extend(noted_as_sent(self.path(), generation));
        }
        Ok(page)
    }
}

/// See [`DatabaseFile::content`].
pub(crate) struct ContentReader<'a> {
    file: &'a mut DatabaseFile,
    content: StoredContent,
    at: u64,
    part: Vec<u8>,
    /// So much of the part.
    read: usize,
}

impl ContentReader<'_> {
    fn next_part(&mut self) -> io::Result<()> {
        let (content, part) = (self.content, self.at..self.at + PAGE_BYTES);
        let reader = &mut self.file.reader;
        let part = reader.read(|it| chunks::read_if_there(it, content, part.clone()));
        let gone = "the content is no longer there: its client has sent it meanwhile";
        let part = part.map_err(io::Error::other)?;
        self.part = part.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, gone))?;
        self.at += self.part.len() as u64;
        self.read = 0;
        Ok(())
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.read == self.part.len() && self.at < self.content.bytes {
            self.next_part()?;
        }
        let mut rest = self.part.get(self.read..).unwrap_or_default();
        let read = rest.read(target)?;
        self.read += read;
        Ok(read)
    }
}

/// Whether more Messages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    More,
    Enough,
}
