//! Messages that are set aside without having been sent: one, or all of another identity.

use super::waits::Spoilt;
use super::{Outbox, Refusal};
use crate::error::Result;
use crate::store::{Durability, Transaction, outbox_rows, set_aside_rows};

impl Outbox {
    /// Moves a Message aside that is not in flight.
    pub fn move_aside(&self, refusal: Refusal) -> Result<()> {
        let this = self.this.clone();
        let Refusal {
            id,
            reason,
            identity,
            now_ms,
            status,
        } = refusal;
        self.store.execute(
            Durability::PowerSafe,
            move |writer| {
                let (workspace_id, device_id) = (&identity.workspace_id, &identity.device_id);
                set_aside_rows::move_one(writer, id, now_ms, &reason, workspace_id, device_id)?;
                set_aside_rows::count(writer)
            },
            move |total| {
                // First: who is told then looks at it.
                status.set_aside_is(*total);
                if let Some(outbox) = this.upgrade() {
                    outbox.set_aside(id);
                }
            },
        )?;
        Ok(())
    }

    fn set_aside(&self, id: i64) {
        let mut state = self.state.lock();
        state.waits.spoil(id..=id, Spoilt::SetAside);
        state.messages.set_aside(id);
        state.wake_waits();
        self.after_change(state);
    }

    /// Inside a transaction that moves everything aside: what is sent is forgotten instead.
    pub fn forget_sent(&self, writer: &mut Transaction) -> rusqlite::Result<()> {
        let sent = self.state.lock().messages.sent_rows.ids().to_vec();
        outbox_rows::delete_all(writer, &sent)
    }

    /// Everything pending was moved aside, in the transaction that has just been committed. Nothing is
    /// in flight: the link is not connected while the identity changes.
    pub fn all_set_aside(&self) {
        let mut state = self.state.lock();
        if let Some(oldest) = state.messages.oldest_pending() {
            state.waits.spoil(oldest..=i64::MAX, Spoilt::SetAside);
        }
        state.messages.all_set_aside();
        state.wake_waits();
    }
}
