//! A database file that no client has, opened to be changed: as a client opens it, with its lock.

use std::collections::HashSet;
use std::path::Path;

use crate::identity::HubDeviceId;
use crate::outbox::delete_sent;
use crate::store::rows::chunks::{self, Swept};
use crate::store::rows::listing::{self, Shelf, StoredElsewhere};
use crate::store::{Durability, Store, Transaction, rows};
use crate::tool::arguments::State;
use crate::tool::failure::Failure;
use crate::tool::file::DatabaseFile;

/// The file; closed when it is dropped. What is stored is sent with the next start.
///
/// Nothing else in the process may open the file meanwhile: when it closes it, the process loses its locks
/// (<https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).
pub(super) struct AtRest(Store);

/// How far an import has come, which is stored together with its Messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImportState {
    /// So many lines are stored, and more are to come.
    Through(u64),
    Ended,
}

impl AtRest {
    /// Of a file that is there, and is ours already. What an earlier run has noted as sent is deleted first.
    pub fn open(path: &Path) -> Result<AtRest, Failure> {
        DatabaseFile::open(path)?.device()?;
        let store = Store::open(path)?;
        delete_sent(&store)?;
        Ok(AtRest(store))
    }

    /// Who the device is; nothing before it was registered.
    pub fn identity(&self) -> Result<Option<HubDeviceId>, Failure> {
        let device = self.0.read(|transaction| rows::device::load(transaction))?;
        Ok(device.and_then(|device| device.identity))
    }

    /// All that are in the state.
    pub fn ids_in(&self, state: State) -> Result<Vec<i64>, Failure> {
        let mut ids = Vec::new();
        for &shelf in state.shelves() {
            let there = self
                .0
                .read(move |transaction| listing::ids(transaction, shelf))?;
            ids.extend(there);
        }
        Ok(ids)
    }

    /// Puts those of these that are of this device back, behind all others; returns how many.
    pub fn put_back(&self, ids: Vec<i64>, identity: HubDeviceId) -> Result<u64, Failure> {
        let (totals, _) = self.0.execute(
            Durability::PowerSafe,
            move |transaction| rows::set_aside::put_back(transaction, &ids, &identity),
            |_| {},
        )?;
        Ok(totals.count)
    }

    /// Deletes Messages, wherever they lie; returns how many there were.
    pub fn delete(&self, ids: Vec<i64>) -> Result<u64, Failure> {
        let deleted = self.0.execute(
            Durability::PowerSafe,
            move |transaction| {
                let before = listing::count(transaction, Shelf::Outbox)?;
                rows::outbox::delete_all(transaction, &ids)?;
                let pending = before - listing::count(transaction, Shelf::Outbox)?;
                let set_aside = rows::set_aside::delete(transaction, &ids)?;
                Ok(pending + set_aside as u64)
            },
            |_| {},
        )?;
        let sweep = |transaction: &mut Transaction| chunks::sweep(transaction, &HashSet::new());
        while self.0.execute(Durability::KillSafe, sweep, |_| {})? == Swept::Some {}
        Ok(deleted)
    }

    /// How many lines of its input an import has stored that was interrupted.
    pub fn interrupted_import(&self) -> Result<Option<u64>, Failure> {
        let lines = self
            .0
            .read(|transaction| listing::interrupted_import(transaction))?;
        Ok(lines)
    }

    /// Stores these in their order, and how far the import has come: all or nothing.
    pub fn store(&self, messages: Vec<StoredElsewhere>, state: ImportState) -> Result<(), Failure> {
        self.0.execute(
            Durability::PowerSafe,
            move |transaction| {
                for message in &messages {
                    listing::store(transaction, message)?;
                }
                match state {
                    ImportState::Through(lines) => listing::note_import(transaction, lines),
                    ImportState::Ended => listing::end_import(transaction),
                }
            },
            |()| {},
        )?;
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Whether this process has locked the file.
    fn is_locked(path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;

        let inode = format!(":{} ", path.metadata().unwrap().ino());
        let process = format!(" {} ", std::process::id());
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let mut locks = locks.lines();
        locks.any(|lock| lock.contains(&inode) && lock.contains(&process))
    }

    #[test]
    fn it_keeps_its_locks_whatever_is_looked_up_and_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.db");
        drop(Store::open(&path).unwrap());
        assert!(!is_locked(&path));
        let at_rest = AtRest::open(&path).unwrap();
        assert!(is_locked(&path));
        let ids = at_rest.ids_in(State::All).unwrap();
        assert!(ids.is_empty());
        assert_eq!(at_rest.delete(ids).unwrap(), 0);
        assert!(is_locked(&path));
    }
}
