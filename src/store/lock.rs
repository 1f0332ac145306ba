//! The lock of the database file: one client at a time, in whatever process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::file::{private, with_suffix};
use crate::error::{Error, Result};

/// Holds the database for this client until it is released: the operating system lets go of the lock
/// with the process, however it ends. The side file stays, as removing it would race with the next start.
#[derive(Clone)]
pub(crate) struct FileLock {
    file: Arc<Mutex<Option<File>>>,
}

impl FileLock {
    /// Locks `<database>-lock`, which holds the process id of the holder.
    pub fn acquire(database: &Path) -> Result<FileLock> {
        let path = with_suffix(database, "-lock");
        let failed = |source| Error::file(&path, "open the lock file", source);
        let mut file = private(OpenOptions::new().read(true).write(true).create(true))
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder's name only makes the error better; without it the error still stands.
                let holder = file
                    .read_to_string(&mut holder)
                    .ok()
                    .and(holder.trim().parse().ok());
                return Err(Error::DatabaseInUse {
                    path: database.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // On a full disk the id cannot be written; the lock holds all the same.
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            log::debug!("{}: cannot write the process id: {error}", path.display());
        }
        Ok(FileLock {
            file: Arc::new(Mutex::new(Some(file))),
        })
    }

    /// Lets the next client in. Unlocked explicitly: a child process that was forked meanwhile has a
    /// handle of the same lock, and closing ours alone would leave it locked.
    pub fn release(&self) {
        if let Some(file) = self.file.lock().take()
            && let Err(error) = file.unlock()
        {
            log::warn!("cannot unlock the database: {error}");
        }
    }

    /// In a forked child: closes the handle, and leaves the lock to the parent, whose end would
    /// otherwise not free it while the child lives. Takes no lock that the fork may have caught.
    pub fn leave_to_parent(&self) {
        if let Some(mut file) = self.file.try_lock() {
            drop(file.take());
        }
    }
}
