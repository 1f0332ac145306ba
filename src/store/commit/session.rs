//! One connection to the database, from its opening to its end: it begins and ends transactions.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::checkpoint;
use super::durability::Durability;
use crate::error::{Chain, Error, Result};
use crate::failure_log::FailureLog;
use crate::store::disk::reserve::Reserve;
use crate::store::disk::sqlite::{self, sqlite_error};
use crate::store::rows::ids::RowIds;
use crate::store::rows::{Transaction, in_use};

/// What goes on in the next session.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Continued {
    /// No id below it will be given out any more.
    pub next_id: i64,
    /// So many transactions there have been in this run.
    pub transactions: u64,
    /// Behind its end the WAL may have what was written of a commit that failed, which looks like a commit
    /// behind damage.
    pub wal_has_remains: bool,
}

/// A connection to the database, and the disk space that it keeps.
pub(in crate::store) struct Session {
    path: PathBuf,
    transaction: Transaction,
    synced: Durability,
    /// There may be something in the WAL that is not in the database.
    wal_is_used: bool,
    /// See [`Continued::wal_has_remains`].
    wal_has_remains: bool,
    move_failures: FailureLog,
    shrink_failures: FailureLog,
    /// Behind the connection, which must be closed before it: see [`Reserve`].
    reserve: Reserve,
}

impl Session {
    /// With a connection to the file at `path`.
    pub fn open(
        connection: Connection,
        ids: RowIds,
        path: &Path,
        continued: Continued,
    ) -> Result<Session> {
        let mut session = Session {
            path: path.to_owned(),
            transaction: Transaction::new(connection, ids),
            synced: Durability::PowerSafe,
            wal_is_used: true,
            wal_has_remains: continued.wal_has_remains,
            move_failures: FailureLog::new(module_path!()),
            shrink_failures: FailureLog::new(module_path!()),
            reserve: Reserve::open(path)?,
        };
        session.transaction.begins(continued.transactions);
        if let Err(error) = session.reserve_pages() {
            log::warn!(
                "{}: acknowledgements may not be recorded until there is space: {}",
                path.display(),
                Chain(&error)
            );
        }
        Ok(session)
    }

    /// What goes on in the next one.
    pub fn continued(&self) -> Continued {
        Continued {
            next_id: self.transaction.ids().peek(),
            transactions: self.transaction.number(),
            wal_has_remains: self.wal_has_remains,
        }
    }

    pub fn transaction(&mut self) -> &mut Transaction {
        &mut self.transaction
    }

    pub fn connection(&self) -> &Connection {
        self.transaction.connection()
    }

    /// Begins a transaction, of which [`commit`](Self::commit) or [`roll_back`](Self::roll_back) is the end.
    pub fn begin(&mut self, durability: Durability) -> Result<()> {
        // When all of it is in the database, the next commit begins the WAL anew.
        self.wal_has_remains = self.wal_has_remains && !self.move_wal();
        self.transaction.begins(self.transaction.number() + 1);
        self.set_durability(durability)
            .and_then(|()| self.run("BEGIN"))
            .map_err(|error| self.unusable(error))
    }

    /// Commits what was written since it began, or rolls it back.
    pub fn commit(&mut self) -> Result<()> {
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

    pub fn roll_back(&mut self) {
        self.transaction.rolled_back();
        // SQLite has rolled back by itself after most errors; then there is nothing left to do.
        let sql = self.connection();
        if !sql.is_autocommit()
            && let Err(error) = sql.execute_batch("ROLLBACK")
        {
            log::error!("{}: cannot roll back: {error}", self.path.display());
        }
    }

    /// An error of a transaction that has not come to its commit.
    pub fn unusable(&self, error: rusqlite::Error) -> Error {
        sqlite_error(&self.path, "use the database", error)
    }

    /// A statement of every commit, prepared once.
    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        let mut statement = self.connection().prepare_cached(statement)?;
        statement.execute(()).map(drop)
    }

    fn set_durability(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.synced != durability {
            let level = match durability {
                Durability::KillSafe => "NORMAL",
                Durability::PowerSafe => "FULL",
            };
            self.connection()
                .pragma_update(None, "synchronous", level)?;
            self.synced = durability;
        }
        Ok(())
    }

    /// What the transaction wants to commit must not be more than a checkpoint can write.
    fn reserve_pages(&mut self) -> Result<()> {
        // SQLite parses a PRAGMA each time anew, which took a twentieth of the time of a commit.
        let pages_max = self.transaction.written().database_max();
        let is_reserved = self.reserve.has(pages_max);
        if is_reserved && !cfg!(debug_assertions) {
            return Ok(());
        }
        let pages: i64 = self
            .connection()
            .prepare_cached("PRAGMA page_count")
            .and_then(|mut pragma| pragma.query_row((), |row| row.get(0)))
            .map_err(|error| sqlite_error(&self.path, "write to the database", error))?;
        let pages = pages.unsigned_abs();
        debug_assert!(
            !is_reserved || self.reserve.has(pages),
            "{pages} pages, {pages_max}"
        );
        if !is_reserved {
            self.transaction.written_mut().database_has(pages);
        }
        self.reserve.grow(pages)
    }

    /// Whether the WAL has grown enough for a [`checkpoint`](Self::checkpoint).
    pub fn checkpoint_due(&self) -> bool {
        checkpoint::is_due(&self.transaction)
    }

    /// Moves the WAL into the database, and shrinks the file if that is worth it.
    pub fn checkpoint(&mut self) {
        self.shrink_file();
        self.move_wal();
    }

    fn shrink_file(&mut self) {
        // To shrink takes space in the WAL.
        let shrunk = checkpoint::shrink(self.connection()).or_else(|_| {
            self.move_pages();
            checkpoint::shrink(self.connection())
        });
        match shrunk {
            Ok(()) => self.shrink_failures.succeeded(),
            Err(error) => {
                let reason = self.why("shrink the file", error);
                let then = "; will retry when it has been used more";
                self.shrink_failures
                    .failed("the file stays large", reason, then);
            }
        }
    }

    /// A [`checkpoint`](Self::checkpoint), if the file would shrink with it.
    pub fn shrink(&mut self) {
        match checkpoint::is_shrinkable(self.connection()) {
            Ok(false) => {}
            // What fails is told there.
            Ok(true) | Err(_) => self.checkpoint(),
        }
    }

    /// Moves the WAL into the database; returns whether all of it was moved. Behind that, the [mark](in_use) is in the
    /// file and not in the WAL.
    pub fn move_wal(&mut self) -> bool {
        // Not behind the remains of a commit that failed: see `wal_has_remains`.
        let mut is_marked = !self.wal_has_remains && self.mark("as in use", in_use::set);
        let mut is_moved = self.move_pages();
        if is_moved && !is_marked {
            // Also where the disk was full: now there is space in the WAL.
            is_marked = self.mark("as in use", in_use::set);
            is_moved = self.move_pages();
        }
        if is_marked && is_moved {
            self.mark("as one whose log is there", in_use::clear);
        }
        is_moved
    }

    fn move_pages(&mut self) -> bool {
        self.transaction.written_mut().checkpointed();
        let moved = checkpoint::move_wal(self.connection());
        self.reserve.checkpointed();
        match moved {
            Ok(is_moved) => {
                self.move_failures.succeeded();
                is_moved
            }
            Err(error) => {
                let reason = self.why("move its write-ahead log into it", error);
                let then = "; will retry";
                self.move_failures
                    .failed("the write-ahead log stays", reason, then);
                false
            }
        }
    }

    /// In the system's words, where it is the system that failed.
    fn why(&self, action: &'static str, error: rusqlite::Error) -> String {
        Chain(&sqlite_error(&self.path, action, error)).to_string()
    }

    /// Changes the mark, in a transaction of its own, which nobody waits for. It takes no new page: the row is there, or
    /// was. Where that fails, a log that is lost later may not be missed, or be missed without reason.
    fn mark(&mut self, how: &str, change: fn(&Connection) -> rusqlite::Result<()>) -> bool {
        let changed = self
            .set_durability(Durability::KillSafe)
            .and_then(|()| change(self.connection()));
        if let Err(error) = &changed {
            log::debug!("{}: cannot mark it {how}: {error}", self.path.display());
        }
        changed.is_ok()
    }

    /// On a full disk: whether the WAL can now be used from its start again, and could not before.
    pub fn empty_wal(&mut self) -> bool {
        std::mem::take(&mut self.wal_is_used) && self.move_wal()
    }

    /// The connection goes without another write to the file.
    pub fn abandon(self) {
        sqlite::close(self.transaction.into_connection(), &self.path);
    }

    /// The orderly end: nothing is left in the WAL.
    pub fn close(mut self) {
        if self.wal_has_remains {
            self.move_pages();
        }
        self.mark("as closed", in_use::clear);
        self.shrink_file();
        let is_moved = self.move_pages();
        sqlite::close(self.transaction.into_connection(), &self.path);
        if is_moved && let Err(error) = self.reserve.void_wal() {
            log::warn!("{}: the WAL stays as it is: {error}", self.path.display());
        }
    }
}

/// A failed COMMIT has stored nothing, unless the disk failed while the commit was being written.
fn commit_error(path: &Path, error: rusqlite::Error) -> Error {
    let disk_failed = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
    // All of it was written: a kill can bring it back.
    let sync_failed = error
        .sqlite_error()
        .is_some_and(|it| it.extended_code == rusqlite::ffi::SQLITE_IOERR_FSYNC);
    match sqlite_error(path, "commit to the database", error) {
        Error::Database { path, source, .. } if disk_failed => {
            Error::OutcomeUnknown { path, source }
        }
        Error::StorageFull { path, source } if sync_failed => {
            Error::OutcomeUnknown { path, source }
        }
        other => other,
    }
}
