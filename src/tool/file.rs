//! A database file as the tool reads it, at rest or beside its client.

use std::collections::HashSet;
use std::path::Path;

use super::failure::Failure;
use crate::error::Result;
use crate::outbox::noted_as_sent;
use crate::store::Holder;
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
            if let Some(found) = found {
                let is_sent = shelf == Shelf::Outbox && self.sent.1.contains(&id);
                return Ok((!is_sent).then_some(found));
            }
        }
        Ok(None)
    }

    /// Hands the Messages out, oldest first, until `each` says that it has enough.
    pub fn each(
        &mut self,
        shelf: Shelf,
        with_bodies: bool,
        mut each: impl FnMut(StoredMessage) -> Result<Next, Failure>,
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
            for message in page {
                let is_sent = shelf == Shelf::Outbox && self.sent.1.contains(&message.id);
                if !is_sent && each(message)? == Next::Enough {
                    return Ok(());
                }
            }
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

/// Whether more Messages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    More,
    Enough,
}
