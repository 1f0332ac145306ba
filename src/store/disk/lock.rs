//! The lock of the database file: one client at a time, in whatever process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use super::file_id;
use super::files::{private, with_suffix};
use crate::error::{Error, Result};
use crate::sync::Mutex;

/// Holds the database for this client until it is released: the operating system lets go of the lock
/// with the process, however it ends. The side file stays, as removing it would race with the next start.
#[derive(Clone)]
pub(crate) struct FileLock {
    file: Arc<Mutex<Option<File>>>,
    same_boot: Option<bool>,
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
                // The holder's name only makes the error better; without it the error still stands.
                let holder = last_holder(&mut file).and_then(|(id, _)| id.parse().ok());
                return Err(Error::DatabaseInUse {
                    path: database.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(Error::file(&path, "lock the lock file (flock)", error));
            }
        }
        let last_boot = last_holder(&mut file).map(|(_, boot)| boot);
        let this_boot = boot_id();
        let same_boot = last_boot.filter(|it| !it.is_empty()).zip(this_boot.clone());
        // On a full disk the id cannot be written; the lock holds all the same.
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| {
            writeln!(
                file,
                "{}\n{}",
                std::process::id(),
                this_boot.unwrap_or_default()
            )
        });
        if let Err(error) = written {
            log::debug!("{}: cannot write the process id: {error}", path.display());
        }
        Ok(FileLock {
            file: Arc::new(Mutex::new(Some(file))),
            same_boot: same_boot.map(|(last, this)| last == this),
        })
    }

    /// Whether the system has been running since the last client had the file; `None` if that is not
    /// known. Then there was no power cut since.
    pub fn same_boot(&self) -> Option<bool> {
        self.same_boot
    }

    /// If the side file was deleted or replaced, locks what is there under its name. Fails if another
    /// client was faster: then the database's name is that one's.
    pub fn reacquire(&self, database: &Path) -> Result<()> {
        let is_in_place = |held: &File| -> std::io::Result<bool> {
            Ok(file_id::of_handle(held)? == file_id::of_name(&with_suffix(database, "-lock")))
        };
        let mut held = self.file.lock();
        if held
            .as_ref()
            .is_some_and(|held| is_in_place(held).unwrap_or(false))
        {
            return Ok(());
        }
        let new = FileLock::acquire(database)?;
        *held = new.file.lock().take();
        Ok(())
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

/// The process that held the lock last, and the boot of the system that it ran in.
fn last_holder(file: &mut File) -> Option<(String, String)> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let mut lines = text.lines().map(|line| line.trim().to_owned());
    Some((lines.next()?, lines.next().unwrap_or_default()))
}

/// Linux names each boot.
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_whose_file_was_taken_away_is_had_under_its_name_again_unless_another_client_was_faster()
     {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("device.db");
        let take_away = || std::fs::remove_file(with_suffix(&database, "-lock")).unwrap();
        let is_taken = |lock: Result<()>| matches!(lock, Err(Error::DatabaseInUse { .. }));
        let lock = FileLock::acquire(&database).unwrap();
        take_away();
        lock.reacquire(&database).unwrap();
        assert!(is_taken(FileLock::acquire(&database).map(drop)));
        take_away();
        let faster = FileLock::acquire(&database).unwrap();
        assert!(is_taken(lock.reacquire(&database)));
        faster.release();
        lock.reacquire(&database).unwrap();
    }
}
