//! A database file that no client has, opened to be changed: as a client opens it, with its lock.

use std::path::Path;

use crate::identity::HubDeviceId;
use crate::outbox::delete_sent;
use crate::store::rows::listing::{self, StoredElsewhere};
use crate::store::{Durability, Store, rows};
use crate::tool::failure::Failure;
use crate::tool::file::DatabaseFile;

/// The file; closed when it is dropped. What is stored is sent with the next start.
pub(super) struct AtRest(Store);

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

    /// All that were set aside.
    pub fn set_aside(&self) -> Result<Vec<i64>, Failure> {
        let listed = self
            .0
            .read(|transaction| rows::set_aside::list(transaction))?;
        Ok(listed.iter().map(|message| message.id).collect())
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

    /// Deletes Messages, wherever they lie.
    pub fn delete(&self, ids: Vec<i64>) -> Result<(), Failure> {
        self.0.execute(
            Durability::PowerSafe,
            move |transaction| {
                rows::outbox::delete_all(transaction, &ids)?;
                rows::set_aside::delete(transaction, &ids).map(drop)
            },
            |()| {},
        )?;
        Ok(())
    }

    /// Stores these in their order, all or none.
    pub fn store(&self, messages: Vec<StoredElsewhere>) -> Result<(), Failure> {
        self.0.execute(
            Durability::PowerSafe,
            move |transaction| {
                let mut messages = messages.iter();
                messages.try_for_each(|message| listing::store(transaction, message))
            },
            |()| {},
        )?;
        Ok(())
    }
}
