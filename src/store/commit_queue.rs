//! Group commit: whatever waits to be written shares one transaction and one sync.
//!
//! A thread that wants something stored queues a job and, if nobody is writing, commits all queued
//! jobs itself: no hand-over to another thread. If somebody is writing, the storage thread commits
//! the jobs that gathered meanwhile. The link never commits: it [posts](CommitQueue::post).

use std::sync::Arc;

use crossbeam_channel::bounded;
use parking_lot::{ArcMutexGuard, Condvar, Mutex, RawMutex};

use super::Durability;
use super::writer::Writer;
use crate::error::{Error, Result};

type Run = Box<dyn FnMut(&mut Writer) -> rusqlite::Result<()> + Send>;
type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// Something to be written, and who is told.
pub(super) struct Job {
    pub durability: Durability,
    pub run: Run,
    pub done: Done,
}

/// Jobs that wait for the next commit, and the one connection that writes them.
pub(crate) struct CommitQueue {
    jobs: Mutex<Queue>,
    work: Condvar,
    writer: Arc<Mutex<Writer>>,
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
            writer: Arc::new(Mutex::new(writer)),
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

    /// Keeps every thread out of SQLite while the guard lives.
    pub fn hold(&self) -> ArcMutexGuard<RawMutex, Writer> {
        self.writer.lock_arc()
    }

    /// How many jobs wait for the next commit.
    #[cfg(test)]
    pub fn waiting_jobs(&self) -> usize {
        self.jobs.lock().jobs.len()
    }

    /// Lets no job in any more; what is queued is still committed, then the storage thread ends.
    pub fn close(&self) {
        self.jobs.lock().closed = true;
        self.work.notify_one();
    }
}
