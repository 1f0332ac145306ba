//! Group commit: whatever waits to be written shares one transaction and one sync.
//!
//! A thread that wants something stored queues a job and, if nobody is writing, commits all queued
//! jobs itself: no hand-over to another thread. If somebody is writing, the storage thread commits
//! the jobs that gathered meanwhile. The link never commits: it [posts](CommitQueue::post).

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::bounded;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::Durability;
use super::file::sqlite_error;
use super::ids::MessageIds;
use crate::error::{Error, Result};

type Run = Box<dyn FnMut(&mut Writer) -> rusqlite::Result<()> + Send>;
type Done = Box<dyn FnOnce(Result<()>) + Send>;

struct Job {
    durability: Durability,
    run: Run,
    done: Done,
}

/// Jobs that wait for the next commit, and the one connection that writes them.
pub(crate) struct CommitQueue {
    jobs: Mutex<Queue>,
    work: Condvar,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    checkpoint_due: bool,
    closed: bool,
}

impl CommitQueue {
    pub fn new(writer: Writer) -> CommitQueue {
        CommitQueue {
            jobs: Mutex::default(),
            work: Condvar::new(),
            writer: Mutex::new(writer),
        }
    }

    /// Runs `run` in the next commit and waits until it is durable. `run` may run twice: when another
    /// job of the same commit fails, the commit is rolled back and each job gets one of its own.
    ///
    /// `stored` is called with the result before anything that is committed later: so memory changes
    /// in the order of the commits.
    pub fn execute<T: Send + 'static>(
        &self,
        durability: Durability,
        mut run: impl FnMut(&mut Writer) -> rusqlite::Result<T> + Send + 'static,
        stored: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = bounded(1);
        let value = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&value);
        self.push(Job {
            durability,
            run: Box::new(move |writer| {
                *slot.lock() = Some(run(writer)?);
                Ok(())
            }),
            done: Box::new(move |result| {
                let result = result.and_then(|()| value.lock().take().ok_or(Error::Closed));
                if let Ok(value) = &result {
                    stored(value);
                }
                // The receiver waits below until this arrives.
                drop(reply.send(result));
            }),
        })?;
        self.commit_if_free();
        answer.recv().unwrap_or(Err(Error::Closed))
    }

    /// Queues `run` for the storage thread and returns at once; `done` is told the outcome there.
    /// After [`close`](Self::close) the job is dropped.
    pub fn post(
        &self,
        durability: Durability,
        run: impl FnMut(&mut Writer) -> rusqlite::Result<()> + Send + 'static,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        let posted = self.push(Job {
            durability,
            run: Box::new(run),
            done: Box::new(done),
        });
        if posted.is_ok() {
            self.work.notify_one();
        }
    }

    fn push(&self, job: Job) -> Result<()> {
        let mut queue = self.jobs.lock();
        if queue.closed {
            return Err(Error::Closed);
        }
        queue.jobs.push(job);
        Ok(())
    }

    fn commit_if_free(&self) {
        if let Some(mut writer) = self.writer.try_lock() {
            self.commit_queued(&mut writer);
        }
        // Either the writer was busy, or jobs came while it was ours: the storage thread's turn.
        let queue = self.jobs.lock();
        if !queue.jobs.is_empty() || queue.checkpoint_due {
            self.work.notify_one();
        }
    }

    fn commit_queued(&self, writer: &mut Writer) {
        let jobs = std::mem::take(&mut self.jobs.lock().jobs);
        writer.commit(jobs);
        if writer.checkpoint_due() {
            self.jobs.lock().checkpoint_due = true;
        }
    }

    /// The storage thread: commits what is queued and keeps the WAL short, until [`close`](Self::close).
    pub fn run_storage_thread(&self) {
        loop {
            let checkpoint = {
                let mut queue = self.jobs.lock();
                while queue.jobs.is_empty() && !queue.checkpoint_due && !queue.closed {
                    self.work.wait(&mut queue);
                }
                if queue.jobs.is_empty() && queue.closed {
                    break;
                }
                std::mem::take(&mut queue.checkpoint_due)
            };
            let mut writer = self.writer.lock();
            self.commit_queued(&mut writer);
            if checkpoint {
                writer.checkpoint();
            }
        }
        self.writer.lock().close();
    }

    /// Lets the storage thread move the WAL into the database and shrink the file, if it is worth it.
    pub fn request_checkpoint(&self) {
        self.jobs.lock().checkpoint_due = true;
        self.work.notify_one();
    }

    /// Lets no job in any more; what is queued is still committed, then the storage thread ends.
    pub fn close(&self) {
        self.jobs.lock().closed = true;
        self.work.notify_one();
    }
}

/// WAL pages after which a checkpoint moves them into the database.
const CHECKPOINT_PAGES: usize = 1000;
/// Free pages above which an almost empty file is rewritten to its small size.
const SHRINK_FREE_PAGES: i64 = 2000;

/// The one connection that reads and writes the database.
pub(crate) struct Writer {
    connection: Option<Connection>,
    path: PathBuf,
    synced: Durability,
    wal_pages: usize,
    ids: MessageIds,
}

impl Writer {
    pub fn new(connection: Connection, path: PathBuf, ids: MessageIds) -> Writer {
        Writer {
            connection: Some(connection),
            path,
            synced: Durability::PowerSafe,
            wal_pages: 0,
            ids,
        }
    }

    /// The connection, inside a job's transaction.
    pub fn sql(&self) -> rusqlite::Result<&Connection> {
        self.connection
            .as_ref()
            .ok_or(rusqlite::Error::InvalidQuery)
    }

    /// An id for a new row; inside a job's transaction.
    pub fn next_id(&mut self) -> rusqlite::Result<i64> {
        let connection = self
            .connection
            .as_ref()
            .ok_or(rusqlite::Error::InvalidQuery)?;
        self.ids.next(connection)
    }

    /// Notes that a job wrote about `bytes`, which decides when to checkpoint.
    pub fn wrote(&mut self, bytes: usize) {
        self.wal_pages += 2 + bytes / 1024;
    }

    fn commit(&mut self, mut jobs: Vec<Job>) {
        let Some(durability) = jobs.iter().map(|job| job.durability).max() else {
            return;
        };
        let result = self.transaction(durability, &mut jobs);
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
        let failed = |path: &PathBuf, error| sqlite_error(path, "write to the database", error);
        self.set_durability(durability)
            .and_then(|()| self.sql()?.execute_batch("BEGIN"))
            .map_err(|error| failed(&self.path, error))?;
        for job in jobs {
            if let Err(error) = (job.run)(self) {
                self.roll_back();
                return Err(failed(&self.path, error));
            }
        }
        if let Err(error) = self.sql().and_then(|sql| sql.execute_batch("COMMIT")) {
            self.roll_back();
            return Err(commit_error(&self.path, error));
        }
        Ok(())
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

    fn checkpoint_due(&self) -> bool {
        self.wal_pages >= CHECKPOINT_PAGES
    }

    fn checkpoint(&mut self) {
        self.wal_pages = 0;
        if let Err(error) = self.shrink().and_then(|()| self.move_wal()) {
            log::warn!("{}: cannot checkpoint: {error}", self.path.display());
        }
    }

    fn move_wal(&self) -> rusqlite::Result<()> {
        use rusqlite::MAIN_DB;
        use rusqlite::wal::CheckpointMode;
        self.sql()?
            .wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE)
            .map(drop)
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

    fn close(&mut self) {
        self.checkpoint();
        if let Some(connection) = self.connection.take()
            && let Err((_, error)) = connection.close()
        {
            log::warn!("{}: cannot close: {error}", self.path.display());
        }
    }
}

/// A failed COMMIT has stored nothing, unless the disk failed while the commit was being written.
fn commit_error(path: &std::path::Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::SystemIoFailure) => Error::OutcomeUnknown {
            path: path.to_owned(),
            source: Arc::new(error),
        },
        _ => sqlite_error(path, "commit to the database", error),
    }
}
