//! Inside the transaction that stores: the limits hold, or the oldest make room, or the call fails.

use super::{Outbox, OutboxLimit};
use crate::store::outbox_rows::{self, DroppedRows, Totals};
use crate::store::{Transaction, free_disk_bytes};

impl Outbox {
    /// Inside the transaction that stores `added`: sees to it that the limits hold, or says which does
    /// not.
    pub(super) fn make_room(
        &self,
        writer: &mut Transaction,
        added: Totals,
    ) -> rusqlite::Result<Result<Option<(DroppedRows, OutboxLimit)>, OutboxLimit>> {
        if self.limits.is_unlimited() || added.count == 0 {
            return Ok(Ok(None));
        }
        let free = self.free_disk_bytes();
        // The link must not wait for a disk behind this lock.
        let (limit, excess, behind) = {
            let messages = &mut self.state.lock().messages;
            messages.admission.enter(writer.transaction_number());
            let pending = messages.admission.pending(messages.pending());
            match self.limits.excess(pending, added, free) {
                None => {
                    messages.admission.added(added);
                    return Ok(Ok(None));
                }
                Some((limit, _)) if !self.limits.drops_oldest() => return Ok(Err(limit)),
                Some((limit, excess)) => {
                    let behind = messages.droppable_behind(self.window);
                    (limit, excess, messages.admission.hold(behind))
                }
            }
        };
        let dropped = outbox_rows::drop_oldest(writer, behind, excess)?;
        let mut state = self.state.lock();
        let Some(dropped) = dropped else {
            state.messages.admission.drop_ended();
            self.after_change(state);
            return Ok(Err(limit));
        };
        state.messages.admission.dropped(dropped.totals);
        state.messages.admission.added(added);
        Ok(Ok(Some((dropped, limit))))
    }

    /// `None` if it is no matter, or cannot be told.
    fn free_disk_bytes(&self) -> Option<u64> {
        if !self.limits.needs_free_disk_bytes() {
            return None;
        }
        free_disk_bytes(self.store.path())
            .inspect_err(|error| log::debug!("free space is not known: {error}"))
            .ok()
    }
}
