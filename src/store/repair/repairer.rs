//! Keeps the files of a database in use.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::rebuild::{Known, rebuild};
use super::vanished::OpenFiles;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::store::commit::{Keeper, Recovery};
use crate::store::disk::lock::FileLock;

/// The keeper of the database at a path, which the lock is of.
pub(in crate::store) struct Repairer {
    path: PathBuf,
    lock: FileLock,
    files: Option<OpenFiles>,
}

impl Repairer {
    pub fn new(path: &Path, lock: FileLock) -> Repairer {
        Repairer {
            path: path.to_owned(),
            lock,
            files: None,
        }
    }
}

impl Keeper for Repairer {
    fn connected(&mut self) -> Result<()> {
        self.files = Some(OpenFiles::of(&self.path)?);
        Ok(())
    }

    fn files_are_in_place(&self) -> bool {
        self.files.as_ref().is_none_or(OpenFiles::are_in_place)
    }

    fn write_back(&mut self, connection: &Connection) -> Result<()> {
        self.lock.reacquire(&self.path)?;
        if let Some(files) = &self.files {
            files.write_back(connection, SystemClock.wall_ms())?;
        }
        Ok(())
    }

    fn rebuild(&mut self, next_id: i64) -> Result<Recovery> {
        rebuild(&self.path, SystemClock.wall_ms(), Known::NextId(next_id))
    }
}
