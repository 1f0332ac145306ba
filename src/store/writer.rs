//! The one connection that reads and writes the database, one transaction after another.

mod mending;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::Durability;
use super::commit_queue::Job;
use super::file::sqlite_error;
use super::ids::MessageIds;
use super::lock::FileLock;
use super::recovery::Recovery;
use super::reserve::Reserve;
use super::salvage;
use super::vanished::OpenFiles;
use crate::clock::Moment;
use crate::error::{Chain, Error, Result};
use crate::sync::Mutex;

/// WAL pages after which a checkpoint moves them into the database. So many pages at most are not
/// synced, beside those of the last commit: until the checkpoint comes, each commit is synced.
const CHECKPOINT_PAGES: usize = 1000;
/// One row that is written adds no more pages to the database than its content takes, and these: the B-tree has up
/// to five levels, of which each gets two more at most.
const PAGES_PER_ROW: u64 = 10;
/// Free pages above which an almost empty file is rewritten to its small size.
const SHRINK_FREE_PAGES: i64 = 2000;

/// What a job works with.
pub(crate) type Transaction = Writer;

/// The one connection that reads and writes the database.
pub(crate) struct Writer {
    connection: Option<Connection>,
    path: PathBuf,
    synced: Durability,
    wal_pages: usize,
    /// The database has no more pages than that.
    pages_max: u64,
    /// Which transaction this is, of those of this run.
    transaction: u64,
    /// There may be something in the WAL that is not in the database.
    wal_is_used: bool,
    /// Behind its end the WAL may have what was written of a commit that failed, which looks like a commit
    /// behind damage.
    wal_has_remains: bool,
    ids: MessageIds,
    /// Behind the connection: see [`Reserve`].
    reserve: Option<Reserve>,
    files: Option<OpenFiles>,
    lock: Option<FileLock>,
    write_back: Vec<WriteBack>,
    recovery: Arc<Mutex<Option<Recovery>>>,
    /// What came of the last attempt to mend the file, and when.
    failed_to_mend: Option<(Moment, Error)>,
    mended_at: Option<Moment>,
}

/// What is in memory goes back into a database of which something was lost.
pub(crate) type WriteBack =
    Box<dyn FnMut(&mut Writer, &mut Recovery) -> rusqlite::Result<()> + Send>;

impl Writer {
    pub fn new(connection: Connection, path: PathBuf, ids: MessageIds) -> Writer {
        Writer {
            connection: Some(connection),
            path,
            synced: Durability::PowerSafe,
            wal_pages: 0,
            pages_max: u64::MAX,
            transaction: 0,
            wal_is_used: true,
            wal_has_remains: false,
            ids,
            reserve: None,
            files: None,
            lock: None,
            write_back: Vec::new(),
            recovery: Arc::default(),
            failed_to_mend: None,
            mended_at: None,
        }
    }

    /// For a database in use: acknowledgements are recorded on a full disk too, damage is mended, and a
    /// file that vanishes is written back.
    pub(super) fn in_use(
        connection: Connection,
        path: &Path,
        lock: FileLock,
        recovery: Option<Recovery>,
    ) -> Result<Writer> {
        let ids = MessageIds::load(&connection);
        let mut writer = Writer {
            lock: Some(lock),
            recovery: Arc::new(Mutex::new(recovery)),
            ..Writer::new(connection, path.to_owned(), MessageIds::default())
        };
        writer.connected()?;
        match ids.map_err(|error| sqlite_error(path, "read the database", error)) {
            Ok(ids) => writer.ids = ids,
            Err(error) => writer.mend(&error)?,
        }
        Ok(writer)
    }

    /// There is a new connection.
    fn connected(&mut self) -> Result<()> {
        self.reserve = Some(Reserve::open(&self.path)?);
        self.pages_max = u64::MAX;
        if let Err(error) = self.reserve_pages() {
            let path = self.path.display();
            log::warn!(
                "{path}: acknowledgements may not be recorded until there is space: {}",
                Chain(&error)
            );
        }
        self.files = Some(OpenFiles::of(&self.path)?);
        self.synced = Durability::PowerSafe;
        self.wal_is_used = true;
        // What a killed process wrote may not be synced yet: a power cut must not lose that in addition
        // to what this one leaves unsynced.
        self.move_wal();
        Ok(())
    }

    /// What the application is told of the last damage.
    pub(super) fn recovery(&self) -> Arc<Mutex<Option<Recovery>>> {
        Arc::clone(&self.recovery)
    }

    /// `write_back` is called, in a transaction, when the database was rebuilt.
    pub(super) fn on_recovery(&mut self, write_back: WriteBack) {
        self.write_back.push(write_back);
    }

    /// The connection, inside a job's transaction.
    pub fn sql(&self) -> rusqlite::Result<&Connection> {
        self.connection
            .as_ref()
            .ok_or(rusqlite::Error::InvalidQuery)
    }

    #[cfg(test)]
    pub(super) fn set_ids(&mut self, ids: MessageIds) {
        self.ids = ids;
    }

    /// Which transaction a job runs in. When the next begins, the callers of this one's jobs have been told
    /// of its end.
    pub fn transaction_number(&self) -> u64 {
        self.transaction
    }

    /// An id for a new row; inside a job's transaction.
    pub fn next_id(&mut self) -> rusqlite::Result<i64> {
        let connection = self
            .connection
            .as_ref()
            .ok_or(rusqlite::Error::InvalidQuery)?;
        self.ids.next(connection)
    }

    /// Stores behind which id new ones begin.
    pub(super) fn save_ids(&self) -> rusqlite::Result<()> {
        self.ids.save(self.sql()?)
    }

    /// Notes that a job wrote a row of `bytes`: that decides when to checkpoint, and when to reserve more of the disk.
    pub fn wrote(&mut self, bytes: usize) {
        self.wal_pages += 2 + bytes / 1024;
        let added = PAGES_PER_ROW + bytes as u64 / 1000;
        self.pages_max = self.pages_max.saturating_add(added);
    }

    /// Notes that a job wrote it does not know how much.
    pub fn wrote_uncounted(&mut self) {
        self.pages_max = u64::MAX;
    }

    /// Commits the jobs together, or each by itself if one of them fails.
    pub(super) fn commit(&mut self, mut jobs: Vec<Job>) {
        let Some(mut durability) = jobs.iter().map(|job| job.durability).max() else {
            return;
        };
        if self.checkpoint_due() {
            durability = Durability::PowerSafe;
        }
        let mut result = self.transaction(durability, &mut jobs);
        if let Err(error) = &result
            && salvage::is_damage(error)
        {
            result = self
                .mend(&error.clone())
                .and_then(|()| self.transaction(durability, &mut jobs));
        }
        if matches!(result, Err(Error::StorageFull { .. })) && self.empty_wal() {
            result = self.transaction(durability, &mut jobs);
        }
        match result {
            // One job fails for all, unless the outcome is unknown: a second try could store twice.
            Err(error) if jobs.len() > 1 && !matches!(error, Error::OutcomeUnknown { .. }) => {
                for job in jobs {
                    self.commit(vec![job]);
                }
            }
            Ok(()) => jobs.into_iter().for_each(|job| (job.done)(Ok(()))),
            Err(error) => {
                for job in jobs {
                    (job.done)(Err(error.clone()));
                }
            }
        }
    }

    fn transaction(&mut self, durability: Durability, jobs: &mut [Job]) -> Result<()> {
        let failed = |path: &PathBuf, error| sqlite_error(path, "use the database", error);
        self.check_files()?;
        // When all of it is in the database, the next commit begins the WAL anew.
        self.wal_has_remains = self.wal_has_remains && !self.move_wal();
        self.transaction += 1;
        self.set_durability(durability)
            .and_then(|()| self.run("BEGIN"))
            .map_err(|error| failed(&self.path, error))?;
        for job in jobs {
            if let Err(error) = (job.run)(self) {
                self.roll_back();
                return Err(failed(&self.path, error));
            }
        }
        if let Err(error) = self.reserve_pages() {
            self.roll_back();
            return Err(error);
        }
        if let Err(error) = self.run("COMMIT") {
            self.roll_back();
            let error = commit_error(&self.path, error);
            self.wal_has_remains |= matches!(error, Error::OutcomeUnknown { .. });
            return Err(error);
        }
        self.wal_is_used = true;
        Ok(())
    }

    /// A statement of every commit, prepared once.
    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.sql()?.prepare_cached(statement)?.execute(()).map(drop)
    }

    /// What the transaction wants to commit must not be more than a checkpoint can write.
    fn reserve_pages(&mut self) -> Result<()> {
        let Some(reserve) = &mut self.reserve else {
            return Ok(());
        };
        // SQLite parses a PRAGMA each time anew, which took a twentieth of the time of a commit.
        let is_reserved = reserve.has(self.pages_max);
        if is_reserved && !cfg!(debug_assertions) {
            return Ok(());
        }
        let connection = self.connection.as_ref().ok_or(Error::Closed)?;
        let pages: i64 = connection
            .prepare_cached("PRAGMA page_count")
            .and_then(|mut pragma| pragma.query_row((), |row| row.get(0)))
            .map_err(|error| sqlite_error(&self.path, "write to the database", error))?;
        let pages = pages.unsigned_abs();
        debug_assert!(
            !is_reserved || reserve.has(pages),
            "{pages} pages, {}",
            self.pages_max
        );
        if !is_reserved {
            self.pages_max = pages;
        }
        reserve.grow(pages)
    }

    /// On a full disk: whether the WAL can now be used from its start again, and could not before.
    fn empty_wal(&mut self) -> bool {
        std::mem::take(&mut self.wal_is_used) && self.move_wal()
    }

    fn set_durability(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.synced != durability {
            let level = match durability {
                Durability::KillSafe => "NORMAL",
                Durability::PowerSafe => "FULL",
            };
            self.sql()?.pragma_update(None, "synchronous", level)?;
            self.synced = durability;
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        self.ids.rolled_back();
        // SQLite has rolled back by itself after most errors; then there is nothing left to do.
        if let Ok(sql) = self.sql()
            && !sql.is_autocommit()
            && let Err(error) = sql.execute_batch("ROLLBACK")
        {
            log::error!("{}: cannot roll back: {error}", self.path.display());
        }
    }

    /// Whether the WAL has grown enough.
    pub(super) fn checkpoint_due(&self) -> bool {
        self.wal_pages >= CHECKPOINT_PAGES
    }

    /// Moves the WAL into the database, and shrinks the file if that is worth it; returns whether all of
    /// it was moved.
    pub(super) fn checkpoint(&mut self) -> bool {
        // To shrink takes room in the WAL.
        let shrunk = self.shrink().or_else(|_| {
            self.move_wal();
            self.shrink()
        });
        if let Err(error) = shrunk {
            log::warn!(
                "{}: the file is not shrunk yet: {error}",
                self.path.display()
            );
        }
        self.move_wal()
    }

    fn move_wal(&mut self) -> bool {
        use rusqlite::MAIN_DB;
        use rusqlite::wal::CheckpointMode;
        self.wal_pages = 0;
        let moved = self
            .sql()
            .and_then(|sql| sql.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE));
        if let Some(reserve) = &mut self.reserve {
            reserve.checkpointed();
        }
        match moved {
            Ok((frames, moved)) => frames == moved,
            Err(error) => {
                log::warn!("{}: cannot checkpoint: {error}", self.path.display());
                false
            }
        }
    }

    /// Rewrites a file that is almost all free pages, as after a large backlog has drained.
    fn shrink(&mut self) -> rusqlite::Result<()> {
        let sql = self.sql()?;
        let pragma = |name: &str| sql.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (pages, free) = (pragma("page_count")?, pragma("freelist_count")?);
        if free > SHRINK_FREE_PAGES && (pages - free) * 4 < free && pages - free < SHRINK_FREE_PAGES
        {
            sql.execute_batch("VACUUM")?;
        }
        Ok(())
    }

    /// Closes the database; nothing can be written any more.
    pub(super) fn close(&mut self) {
        if let Err(error) = self.check_files() {
            log::error!("{}", Chain(&error));
        }
        self.lock = None;
        let is_moved = self.checkpoint();
        if let Some(connection) = self.connection.take()
            && let Err((_, error)) = connection.close()
        {
            log::warn!("{}: cannot close: {error}", self.path.display());
        }
        if let Some(reserve) = self.reserve.take()
            && is_moved
            && let Err(error) = reserve.void_wal()
        {
            log::warn!("{}: the WAL stays as it is: {error}", self.path.display());
        }
    }
}

/// A failed COMMIT has stored nothing, unless the disk failed while the commit was being written.
fn commit_error(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => Error::OutcomeUnknown {
            path: path.to_owned(),
            source: Arc::new(error),
        },
        _ => sqlite_error(path, "commit to the database", error),
    }
}
