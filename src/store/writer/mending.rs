//! What the writer does when its file turns out to be damaged, or is not where it was.

use std::time::Duration;

use super::{WriteBack, Writer};
use crate::clock::{Clock, SystemClock};
use crate::error::{Chain, Error, Result};
use crate::store::file::{self, sqlite_error};
use crate::store::ids::MessageIds;
use crate::store::recovery::Recovery;
use crate::store::salvage;
use crate::store::vanished::OpenFiles;

/// A file that is damaged again so soon is not rebuilt again: its disk fails.
const MEND_PAUSE: Duration = Duration::from_secs(60);
/// After a failed attempt to rebuild it or write it back.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

impl Writer {
    /// Before a transaction: the files are where the next start will look for them.
    pub(super) fn check_files(&mut self) -> Result<()> {
        if self.lock.is_some() && self.connection.is_none() {
            self.reconnect()?;
        }
        if self.files.as_ref().is_none_or(OpenFiles::are_in_place) {
            return Ok(());
        }
        self.pause_after_failure()?;
        let result = self.restore_files();
        self.note_failure(result)
    }

    fn restore_files(&mut self) -> Result<()> {
        if let Some(lock) = &self.lock {
            lock.reacquire(&self.path)?;
        }
        if let (Some(files), Some(connection)) = (&self.files, &self.connection) {
            files.write_back(connection, SystemClock.wall_ms())?;
        }
        self.disconnect();
        self.reconnect()
    }

    /// Sets the damaged file aside, and goes on with what could be read and what is in memory.
    pub(super) fn mend(&mut self, cause: &Error) -> Result<()> {
        let now = SystemClock.now();
        let is_again = self.mended_at.is_some_and(|at| now.since(at) < MEND_PAUSE);
        if self.lock.is_none() || is_again {
            return Err(cause.clone());
        }
        self.pause_after_failure()?;
        log::error!("{}: damaged: {}", self.path.display(), Chain(cause));
        let result = self.rebuild();
        if result.is_ok() {
            self.mended_at = Some(now);
        }
        self.note_failure(result)
    }

    fn rebuild(&mut self) -> Result<()> {
        self.disconnect();
        let replaced = salvage::replace(&self.path, SystemClock.wall_ms(), self.ids.peek());
        self.reconnect()?;
        let mut recovery = replaced?;
        let mut write_back = std::mem::take(&mut self.write_back);
        let written = self.write_all_back(&mut write_back, &mut recovery);
        self.write_back = write_back;
        written
            .map_err(|error| sqlite_error(&self.path, "write to the rebuilt database", error))?;
        recovery.log(&self.path);
        *self.recovery.lock() = Some(recovery);
        Ok(())
    }

    fn write_all_back(
        &mut self,
        write_back: &mut [WriteBack],
        recovery: &mut Recovery,
    ) -> rusqlite::Result<()> {
        self.sql()?.execute_batch("BEGIN")?;
        for write_back in write_back {
            write_back(self, recovery)?;
        }
        self.sql()?.execute_batch("COMMIT")
    }

    /// What failed a moment ago fails again: it is dear to find out.
    fn pause_after_failure(&self) -> Result<()> {
        match &self.failed_to_mend {
            Some((at, error)) if SystemClock.now().since(*at) < RETRY_PAUSE => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn note_failure(&mut self, result: Result<()>) -> Result<()> {
        let failed = result.as_ref().err().cloned();
        self.failed_to_mend = failed.map(|error| (SystemClock.now(), error));
        result
    }

    /// The connection goes without another write to the file.
    fn disconnect(&mut self) {
        self.files = None;
        if let Some(connection) = self.connection.take()
            && let Err((_, error)) = connection.close()
        {
            log::warn!("{}: cannot close: {error}", self.path.display());
        }
        self.reserve = None;
    }

    fn reconnect(&mut self) -> Result<()> {
        let connection = file::open_again(&self.path)?;
        let next_id = self.ids.peek();
        if let Ok(ids) = MessageIds::load(&connection) {
            self.ids = ids.at_least(next_id);
        }
        self.connection = Some(connection);
        self.connected()
    }
}
