//! How many pages were written, reckoned from the sizes of rows: to ask SQLite takes a twentieth of the time of a
//! commit.

/// One row that is written adds no more pages to the database than its content takes, and these: the B-tree has up
/// to five levels, of which each gets two more at most.
const PAGES_PER_ROW: u64 = 10;

/// What a connection has written.
#[derive(Debug)]
pub(crate) struct PagesWritten {
    wal: usize,
    database_max: u64,
}

impl PagesWritten {
    /// Of a connection that was just opened: how many pages the database has is not known yet.
    pub fn new() -> PagesWritten {
        PagesWritten {
            wal: 0,
            database_max: u64::MAX,
        }
    }

    /// One row of `bytes` was written.
    pub fn add_row(&mut self, bytes: usize) {
        self.wal += 2 + bytes / 1024;
        let added = PAGES_PER_ROW + bytes as u64 / 1000;
        self.database_max = self.database_max.saturating_add(added);
    }

    /// Nobody knows how much was written.
    pub fn add_uncounted(&mut self) {
        self.database_max = u64::MAX;
    }

    /// About so many pages were written to the WAL since the last checkpoint.
    pub fn wal(&self) -> usize {
        self.wal
    }

    /// The WAL is used from its start again.
    pub fn checkpointed(&mut self) {
        self.wal = 0;
    }

    /// The database has no more pages than that.
    pub fn database_max(&self) -> u64 {
        self.database_max
    }

    /// SQLite says how many pages the database has.
    pub fn database_has(&mut self, pages: u64) {
        self.database_max = pages;
    }
}
