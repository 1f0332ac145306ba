//! Rows of the database on their way into memory, and back into a database that lost them.

use std::sync::Arc;

use super::state::{READY_BYTES, READY_COUNT};
use super::waits::Spoilt;
use super::{Outbox, Shared};
use crate::store::outbox_rows::{self, Totals};
use crate::store::{Durability, Recovery, Transaction};
use crate::sync::Mutex;

impl Outbox {
    /// Loads more rows when the ready queue runs low.
    pub(super) fn load_if_low(&self, state: &mut Shared) {
        if state.closed || !state.messages.begin_load() {
            return;
        }
        let (this, reader) = (self.this.clone(), self.this.clone());
        let loaded = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&loaded);
        self.store.post(
            Durability::KillSafe,
            move |writer| {
                if let Some(outbox) = reader.upgrade() {
                    let after = outbox.state.lock().messages.loaded_through();
                    *slot.lock() =
                        Some(outbox_rows::load(writer, after, READY_COUNT, READY_BYTES)?);
                }
                Ok(())
            },
            move |result| {
                let Some(outbox) = this.upgrade() else { return };
                let rows = loaded.lock().take();
                let mut state = outbox.state.lock();
                match result {
                    Ok(()) => {
                        let (rows, more) = rows.unwrap_or_default();
                        state.messages.loaded(rows, more);
                        // Rows that are missing were lost, and nothing of them is pending any more.
                        state.wake_waits();
                        outbox.after_change(state);
                    }
                    Err(error) => {
                        state.messages.load_failed();
                        drop(state);
                        outbox.disk_failed("stored Messages are not read", &error);
                    }
                }
            },
        );
    }

    /// Rows were stored behind all others without passing through here.
    pub fn stored_elsewhere(&self, through: i64, added: Totals) {
        let mut state = self.state.lock();
        state.messages.stored_elsewhere(through, added);
        self.load_if_low(&mut state);
    }

    /// The database was damaged and rebuilt: what is in memory goes back into it, and who waits for what
    /// is lost is told.
    pub(super) fn write_back(
        &self,
        writer: &mut Transaction,
        recovery: &mut Recovery,
    ) -> rusqlite::Result<()> {
        let mut state = self.state.lock();
        outbox_rows::delete_all(writer, state.messages.sent_rows.ids())?;
        outbox_rows::set_sent_generation(writer, self.sent_log.lock().generation())?;
        let rows = outbox_rows::ids(writer, state.messages.loaded_through())?;
        for (message, body) in state.messages.missing(&rows) {
            outbox_rows::put_back(writer, &message, &body)?;
        }
        let stored = outbox_rows::totals(writer)?;
        let lost = state.messages.rebuilt(&rows, stored);
        recovery.lost_messages = Some(lost);
        recovery.messages = stored.count;
        if lost > 0 {
            for ids in &recovery.gaps {
                state.waits.spoil(ids.clone(), Spoilt::Lost);
            }
        }
        state.wake_waits();
        Ok(())
    }
}
