//! What happened to taken Messages: acknowledged ones are noted as sent, or deleted from the database, with all that
//! were noted before; refused ones are set aside, in the same transaction.

use std::sync::Arc;

use crate::identity::HubDeviceId;
use crate::status::StatusBoard;
use crate::store::outbox_rows::{self, Totals};
use crate::store::{Durability, Transaction, set_aside_rows};

/// A Message that is to be set aside, and as whose.
#[derive(Clone)]
pub(crate) struct Refusal {
    pub id: i64,
    pub reason: String,
    pub identity: HubDeviceId,
    pub now_ms: i64,
    /// Is told how many there are set aside then.
    pub status: Arc<StatusBoard>,
}

/// What is written at once.
#[derive(Clone, Default)]
pub(super) struct Record {
    pub acknowledged: Vec<i64>,
    pub refused: Vec<Refusal>,
    pub is_synced: bool,
    /// How much is acknowledged.
    pub sent: Totals,
    /// All that is sent is deleted, instead of being noted; these were noted before.
    pub deletes: bool,
    pub noted: Vec<i64>,
}

/// What came of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Written {
    /// Of the sent log.
    pub generation: i64,
    /// How many Messages there are set aside then, if that changed.
    pub set_aside: u64,
}

impl Record {
    pub fn durability(&self) -> Durability {
        match self.is_synced {
            true => Durability::PowerSafe,
            false => Durability::KillSafe,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.refused.is_empty()
    }

    /// The Messages that it is about.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        let refused = self.refused.iter().map(|refusal| refusal.id);
        self.acknowledged.iter().copied().chain(refused)
    }

    /// Puts what could not be written before what has come since.
    pub fn prepend(&mut self, failed: Record) {
        self.acknowledged.splice(0..0, failed.acknowledged);
        self.refused.splice(0..0, failed.refused);
    }

    /// Writes it to the database.
    pub fn write(&self, writer: &mut Transaction) -> rusqlite::Result<Written> {
        for refusal in &self.refused {
            let Refusal {
                id,
                now_ms,
                reason,
                identity,
                ..
            } = refusal;
            let (workspace_id, device_id) = (&identity.workspace_id, &identity.device_id);
            set_aside_rows::move_one(writer, *id, *now_ms, reason, workspace_id, device_id)?;
        }
        let mut sent = [self.noted.as_slice(), &self.acknowledged].concat();
        sent.sort_unstable();
        Ok(Written {
            generation: outbox_rows::delete_sent(writer, &sent)?,
            set_aside: match self.refused.is_empty() {
                true => 0,
                false => set_aside_rows::count(writer)?,
            },
        })
    }
}
