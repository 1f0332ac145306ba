//! The database: one SQLite file in WAL mode, one connection, group commit.
//!
//! It stores and reads rows. What is pending, in flight or wanted is decided by those that use it.
//!
//! Its floors, each of which knows only those below: [`opening`] finds out what is under the name; [`upgrade`] takes
//! a file of the published SDK over, and [`repair`] mends a damaged one; [`commit`] writes what is queued; [`rows`]
//! knows the tables; [`disk`] knows files.

mod commit;
mod disk;
mod opening;
mod repair;
pub(crate) mod rows;
#[cfg(feature = "tool")]
pub(crate) mod snapshot;
mod upgrade;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

pub use commit::{Durability, Recovery};
pub(crate) use disk::file_id;
pub(crate) use disk::files::{
    behind_links, free_disk_bytes, private, sync_directory, validate_path, with_suffix,
};
#[cfg(feature = "tool")]
pub(crate) use disk::{holder::Holder, place::resolve, sqlite::is_damage};
pub(crate) use rows::Transaction;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::sync::Mutex;
use commit::{CommitQueue, Job, Turn, Writer};
use disk::lock::FileLock;
use disk::place;

/// Keeps all threads out of a database.
pub(crate) type Hold = Turn<Arc<CommitQueue>>;

/// The open database and its storage thread.
pub(crate) struct Store {
    queue: Arc<CommitQueue>,
    path: PathBuf,
    lock: FileLock,
    recovery: Arc<Mutex<Option<Recovery>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens or creates the file, or takes that of the published SDK over, and starts the storage
    /// thread.
    ///
    /// The storage thread, which outlives every write, releases the lock: the next client can open the
    /// file only when this one has written its last byte.
    pub fn open(path: &Path) -> Result<Store> {
        let path = place::resolve(path)?;
        place::check(&path)?;
        let lock = FileLock::acquire(&path)?;
        place::make_private(&path);
        let database = opening::open(&path, &lock, SystemClock.wall_ms())?;
        let recovery = database.recovery();
        let queue = Arc::new(CommitQueue::new(Writer::new(database)));
        let runner = Arc::clone(&queue);
        let held = lock.clone();
        let thread = crate::threads::spawn("spotflow-store", move || {
            runner.run_storage_thread();
            held.release();
        })
        .map_err(|error| Error::system("start the storage thread", error))?;
        Ok(Store {
            queue,
            path,
            lock,
            recovery,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The database file: absolute, and behind all symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `run` in the next commit and waits until that is durable; see [`CommitQueue::execute`].
    pub fn execute<T: Send + 'static>(
        &self,
        durability: Durability,
        run: impl FnMut(&mut Transaction) -> rusqlite::Result<T> + Send + 'static,
        stored: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        self.queue.execute(durability, run, stored)
    }

    /// Reads, behind everything that was committed before.
    pub fn read<T: Send + 'static>(
        &self,
        run: impl FnMut(&mut Transaction) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.queue.execute(Durability::KillSafe, run, |_| {})
    }

    /// Queues `run` for the storage thread; `done` is told the outcome. See [`CommitQueue::post`].
    pub fn post<T: Send + 'static>(
        &self,
        durability: Durability,
        run: impl FnMut(&mut Transaction) -> rusqlite::Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        self.queue.post(Job::new(durability, run, done));
    }

    /// What was saved of a damaged file, if it was damaged in this run or at its start.
    pub fn recovery(&self) -> Option<Recovery> {
        self.recovery.lock().clone()
    }

    /// When the database was damaged, and rebuilt from what could be read, `write_back` is called in a
    /// transaction, behind everything that was committed before: what is in memory goes back into it.
    pub fn on_recovery(
        &self,
        write_back: impl FnMut(&mut Transaction, &mut Recovery) -> rusqlite::Result<()> + Send + 'static,
    ) {
        self.queue.on_recovery(Box::new(write_back));
    }

    /// See [`CommitQueue::hold`].
    pub fn hold(&self) -> Hold {
        self.queue.hold()
    }

    /// See [`CommitQueue::waiting_jobs`].
    #[cfg(test)]
    pub fn waiting_jobs(&self) -> usize {
        self.queue.waiting_jobs()
    }

    /// See [`CommitQueue::checkpoint`].
    #[cfg(test)]
    pub fn checkpoint(&self) {
        self.queue.checkpoint();
    }

    /// See [`FileLock::leave_to_parent`].
    pub fn leave_to_parent(&self) {
        self.lock.leave_to_parent();
    }

    /// Lets the storage thread look whether the file can shrink.
    pub fn shrink(&self) {
        self.queue.request_shrink();
    }

    /// Commits what is queued, closes the file and joins the storage thread.
    pub fn close(&self) {
        self.queue.close();
        // It is the storage thread that closes when the last handle goes with a job.
        let is_own = |thread: &JoinHandle<()>| thread.thread().id() == std::thread::current().id();
        if let Some(thread) = self.thread.lock().take()
            && !is_own(&thread)
            && thread.join().is_err()
        {
            log::error!("{}: the storage thread panicked", self.path.display());
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
