//! The database in use: one session after another, as its file turns out to be damaged, or is not where it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::attempts::Attempts;
use super::keeper::{Keeper, WriteBack};
use super::recovery::Recovery;
use super::session::{Continued, Session};
use crate::error::{Chain, Error, Result};
use crate::store::disk::sqlite::sqlite_error;
use crate::store::rows;
use crate::store::rows::ids::RowIds;
use crate::sync::Mutex;

/// The database in use: damage is mended, and a file that vanishes is written back.
pub(in crate::store) struct Database {
    path: PathBuf,
    /// None after a failure to connect again, and at the end.
    session: Option<Session>,
    continued: Continued,
    is_closed: bool,
    keeper: Box<dyn Keeper>,
    attempts: Attempts,
    write_back: Vec<WriteBack>,
    recovery: Arc<Mutex<Option<Recovery>>>,
}

impl Database {
    /// With a connection to the file at `path`, which opening it may have rebuilt.
    pub fn open(
        connection: Connection,
        path: &Path,
        keeper: Box<dyn Keeper>,
        recovery: Option<Recovery>,
    ) -> Result<Database> {
        let mut database = Database {
            path: path.to_owned(),
            session: None,
            continued: Continued::default(),
            is_closed: false,
            keeper,
            attempts: Attempts::default(),
            write_back: Vec::new(),
            recovery: Arc::new(Mutex::new(recovery)),
        };
        match RowIds::load(&connection) {
            Ok(ids) => database.connected(connection, ids)?,
            Err(error) => {
                database.connected(connection, RowIds::default())?;
                database.mend(&sqlite_error(path, "read the database", error))?;
            }
        }
        Ok(database)
    }

    /// What the application is told of the last damage.
    pub fn recovery(&self) -> Arc<Mutex<Option<Recovery>>> {
        Arc::clone(&self.recovery)
    }

    /// `write_back` is called, in a transaction, when the database was rebuilt.
    pub fn on_recovery(&mut self, write_back: WriteBack) {
        self.write_back.push(write_back);
    }

    /// For the next transaction, whose files are where the next start will look for them.
    pub fn session(&mut self) -> Result<&mut Session> {
        if self.is_closed {
            return Err(Error::Closed);
        }
        if self.session.is_none() {
            self.reconnect()?;
        }
        if !self.keeper.files_are_in_place() {
            self.attempts.may_begin()?;
            let restored = self.restore_files();
            self.attempts.ended(restored)?;
        }
        self.session.as_mut().ok_or(Error::Closed)
    }

    /// The session that there is, without a look at its files.
    pub fn present_session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Rebuilds the damaged file from what can be read, and what is in memory.
    pub fn mend(&mut self, cause: &Error) -> Result<()> {
        if self.attempts.was_just_rebuilt() {
            return Err(cause.clone());
        }
        self.attempts.may_begin()?;
        log::error!("{}: damaged: {}", self.path.display(), Chain(cause));
        let result = self.rebuild();
        if result.is_ok() {
            self.attempts.rebuilt();
        }
        self.attempts.ended(result)
    }

    /// Nothing can be written any more.
    pub fn close(&mut self) {
        if let Err(error) = self.session() {
            log::error!("{}", Chain(&error));
        }
        self.is_closed = true;
        if let Some(session) = self.session.take() {
            session.close();
        }
    }

    fn restore_files(&mut self) -> Result<()> {
        if let Some(session) = &self.session {
            self.keeper.write_back(session.connection())?;
        }
        self.disconnect();
        self.reconnect()
    }

    fn rebuild(&mut self) -> Result<()> {
        self.disconnect();
        let rebuilt = self.keeper.rebuild(self.continued.next_id);
        self.reconnect()?;
        let mut recovery = rebuilt?;
        self.write_back(&mut recovery)?;
        recovery.log(&self.path);
        *self.recovery.lock() = Some(recovery);
        Ok(())
    }

    /// What is in memory goes back into the rebuilt database.
    fn write_back(&mut self, recovery: &mut Recovery) -> Result<()> {
        let session = self.session.as_mut().ok_or(Error::Closed)?;
        let mut write = || {
            session.connection().execute_batch("BEGIN")?;
            for write_back in &mut self.write_back {
                write_back(session.transaction(), recovery)?;
            }
            session.connection().execute_batch("COMMIT")
        };
        write().map_err(|error| {
            session.roll_back();
            sqlite_error(&self.path, "write to the rebuilt database", error)
        })
    }

    /// The connection goes without another write to the file.
    fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            self.continued = session.continued();
            session.abandon();
        }
    }

    fn reconnect(&mut self) -> Result<()> {
        let connection = rows::file::open(&self.path)?;
        // Ids that cannot be read are damage, which the next transaction finds.
        let ids = RowIds::load(&connection).unwrap_or_default();
        self.connected(connection, ids.at_least(self.continued.next_id))
    }

    /// There is a new connection.
    fn connected(&mut self, connection: Connection, ids: RowIds) -> Result<()> {
        let mut session = Session::open(connection, ids, &self.path, self.continued)?;
        self.keeper.connected()?;
        // What a killed process wrote may not be synced yet: a power cut must not lose that in addition to what this one
        // leaves unsynced.
        session.move_wal();
        self.session = Some(session);
        Ok(())
    }
}
