//! Commits jobs, one transaction after another.

use super::database::Database;
use super::durability::Durability;
use super::job::Job;
use super::keeper::WriteBack;
use super::session::Session;
use crate::error::{Error, Result};
use crate::store::disk::sqlite::is_damage;

/// Commits jobs to the database.
pub(in crate::store) struct Writer {
    database: Database,
}

impl Writer {
    pub fn new(database: Database) -> Writer {
        Writer { database }
    }

    /// Commits the jobs together, or each by itself if one of them fails.
    pub fn commit(&mut self, mut jobs: Vec<Job>) {
        let Some(mut durability) = jobs.iter().map(|job| job.durability).max() else {
            return;
        };
        if self.checkpoint_due() {
            durability = Durability::PowerSafe;
        }
        match self.try_commit(durability, &mut jobs) {
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

    /// Tries it again when damage was mended, and on a full disk with the whole WAL.
    fn try_commit(&mut self, durability: Durability, jobs: &mut [Job]) -> Result<()> {
        let mut result = self.transaction(durability, jobs);
        if let Err(error) = &result
            && is_damage(error)
        {
            result = self
                .database
                .mend(error)
                .and_then(|()| self.transaction(durability, jobs));
        }
        if matches!(result, Err(Error::StorageFull { .. })) && self.empty_wal() {
            result = self.transaction(durability, jobs);
        }
        result
    }

    fn transaction(&mut self, durability: Durability, jobs: &mut [Job]) -> Result<()> {
        let session = self.database.session()?;
        session.begin(durability)?;
        for job in jobs {
            if let Err(error) = (job.run)(session.transaction()) {
                session.roll_back();
                return Err(session.unusable(error));
            }
        }
        session.commit()
    }

    fn empty_wal(&mut self) -> bool {
        let session = self.database.present_session();
        session.is_some_and(Session::empty_wal)
    }

    /// Whether the WAL has grown enough.
    pub fn checkpoint_due(&mut self) -> bool {
        let session = self.database.present_session();
        session.is_some_and(|session| session.checkpoint_due())
    }

    /// Moves the WAL into the database, and shrinks the file if that is worth it.
    pub fn checkpoint(&mut self) {
        if let Some(session) = self.database.present_session() {
            session.checkpoint();
        }
    }

    /// The same, if the file would shrink.
    pub fn shrink(&mut self) {
        if let Some(session) = self.database.present_session() {
            session.shrink();
        }
    }

    /// `write_back` is called, in a transaction, when the database was rebuilt.
    pub fn on_recovery(&mut self, write_back: WriteBack) {
        self.database.on_recovery(write_back);
    }

    /// Closes the database; nothing can be written any more.
    pub fn close(&mut self) {
        self.database.close();
    }
}
