//! Group commit: whatever waits to be written shares one transaction and one sync.
//!
//! A thread that wants something stored queues a job and, if nobody is writing, commits all queued
//! jobs itself: no hand-over to another thread. If somebody is writing, the storage thread commits
//! the jobs that gathered meanwhile. The link must not wait: it never commits itself, it
//! [posts](CommitQueue::post).
//!
//! Who writes has the [`Turn`]; whoever gives it back wakes the next.

use std::ops::Deref;
use std::sync::Arc;

use crossbeam_channel::bounded;

use super::durability::Durability;
use super::job::Job;
use super::keeper::WriteBack;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::store::rows::Transaction;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Jobs that wait for the next commit, and the one connection that writes them.
pub(crate) struct CommitQueue {
    queue: Mutex<Queue>,
    /// For the storage thread: the turn is free, and there is something to do.
    work: Condvar,
    /// For those who want to hold: the turn is free.
    freed: Condvar,
    /// Locked by whoever has the turn.
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    checkpoint_due: bool,
    shrink_wanted: bool,
    closed: bool,
    /// Somebody has the turn.
    is_taken: bool,
    /// So many wait to hold; they go first.
    holds_wanted: usize,
}

impl Queue {
    fn is_free(&self) -> bool {
        !self.is_taken && self.holds_wanted == 0
    }

    fn has_work(&self) -> bool {
        !self.jobs.is_empty() || self.checkpoint_due || self.shrink_wanted || self.closed
    }
}

/// The turn to write, until it is dropped. It holds no lock, so it can be kept across a fork.
#[must_use = "others write meanwhile"]
pub(crate) struct Turn<Q: Deref<Target = CommitQueue>>(Q);

impl<Q: Deref<Target = CommitQueue>> Turn<Q> {
    /// `state` is what `queue` guards; nobody has the turn.
    fn take(queue: Q, mut state: MutexGuard<'_, Queue>) -> Turn<Q> {
        state.is_taken = true;
        Turn(queue)
    }
}

impl<Q: Deref<Target = CommitQueue>> Drop for Turn<Q> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.is_taken = false;
        if queue.holds_wanted > 0 {
            self.0.freed.notify_one();
        } else if queue.has_work() {
            self.0.work.notify_one();
        }
    }
}

impl CommitQueue {
    pub(in crate::store) fn new(writer: Writer) -> CommitQueue {
        CommitQueue {
            queue: Mutex::default(),
            work: Condvar::new(),
            freed: Condvar::new(),
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
        run: impl FnMut(&mut Transaction) -> rusqlite::Result<T> + Send + 'static,
        stored: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = bounded(1);
        self.push(Job::new(durability, run, move |result| {
            if let Ok(value) = &result {
                stored(value);
            }
            // The receiver waits below until this arrives.
            drop(reply.send(result));
        }))?;
        self.commit_if_free();
        answer.recv().unwrap_or(Err(Error::Closed))
    }

    /// Queues the job for the storage thread and returns at once. After [`close`](Self::close) it is dropped.
    pub(in crate::store) fn post(&self, job: Job) {
        if self.push(job).is_ok() {
            self.work.notify_one();
        }
    }

    fn push(&self, job: Job) -> Result<()> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Error::Closed);
        }
        queue.jobs.push(job);
        Ok(())
    }

    fn commit_if_free(&self) {
        let queue = self.queue.lock();
        // Else it is the storage thread's turn next: whoever has it now, or wants a checkpoint, wakes it.
        if queue.is_free() && !queue.checkpoint_due {
            let _turn = Turn::take(self, queue);
            self.commit_queued(&mut self.writer.lock());
        }
    }

    fn commit_queued(&self, writer: &mut Writer) {
        let jobs = std::mem::take(&mut self.queue.lock().jobs);
        writer.commit(jobs);
        if writer.checkpoint_due() {
            self.queue.lock().checkpoint_due = true;
        }
    }

    /// The storage thread: commits what is queued and keeps the WAL short, until [`close`](Self::close).
    pub fn run_storage_thread(&self) {
        loop {
            let mut queue = self.work.wait_while(self.queue.lock(), |queue| {
                !(queue.is_free() && queue.has_work())
            });
            let is_over = queue.closed && queue.jobs.is_empty();
            let checkpoint = std::mem::take(&mut queue.checkpoint_due);
            let shrink = std::mem::take(&mut queue.shrink_wanted);
            let _turn = Turn::take(self, queue);
            let mut writer = self.writer.lock();
            if is_over {
                return writer.close();
            }
            self.commit_queued(&mut writer);
            if checkpoint {
                writer.checkpoint();
            } else if shrink {
                writer.shrink();
            }
        }
    }

    /// Lets the storage thread shrink the file, if it is worth it.
    pub fn request_shrink(&self) {
        self.queue.lock().shrink_wanted = true;
        self.work.notify_one();
    }

    /// Waits for a commit that is under way, then keeps every thread out of SQLite while the turn lives.
    pub fn hold(self: &Arc<Self>) -> Turn<Arc<CommitQueue>> {
        let mut queue = self.queue.lock();
        queue.holds_wanted += 1;
        let mut queue = self.freed.wait_while(queue, |queue| queue.is_taken);
        queue.holds_wanted -= 1;
        Turn::take(Arc::clone(self), queue)
    }

    /// See [`Writer::on_recovery`].
    pub fn on_recovery(&self, write_back: WriteBack) {
        self.writer.lock().on_recovery(write_back);
    }

    /// Moves the log into the file now.
    #[cfg(test)]
    pub fn checkpoint(self: &Arc<Self>) {
        let _turn = self.hold();
        self.writer.lock().checkpoint();
    }

    /// How many jobs wait for the next commit.
    #[cfg(test)]
    pub fn waiting_jobs(&self) -> usize {
        self.queue.lock().jobs.len()
    }

    /// Lets no job in any more; what is queued is still committed, then the storage thread ends.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.work.notify_one();
    }
}
