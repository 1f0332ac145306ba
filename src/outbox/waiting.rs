//! Waiting for Messages to be sent, and for what was acknowledged to be recorded.

use std::time::Instant;

use super::{Outbox, Shared};
use crate::error::{Error, Result};
use crate::wait::{InterruptCheck, wait_for};

impl Outbox {
    /// Waits until everything up to `id` is sent; `None` stands for everything stored so far. Fails if
    /// the Message `id`, or any of everything, is set aside or dropped meanwhile: at once, if it is `id`
    /// that is dropped.
    pub fn wait_sent(
        &self,
        id: Option<i64>,
        deadline: Option<Instant>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let through = id.unwrap_or(state.messages.stored_through());
        let (key, changed) = state.waits.begin(id.unwrap_or(0)..=through);
        let (mut state, sent) = wait_for(&self.state, state, &changed, deadline, check, |state| {
            if state.messages.is_sent_through(through)
                || (id.is_some() && state.waits.is_dropped(key))
            {
                Some(Ok(()))
            } else {
                state.closed.then_some(Err(Error::Closed))
            }
        });
        match state.waits.end(key) {
            Some(spoilt) => sent.and(Err(spoilt.into())),
            None => sent,
        }
    }

    /// At the very end: [`delete_sent`](Self::delete_sent), and nothing is recorded any more.
    pub fn end(&self, deadline: Instant) {
        self.delete_sent(deadline);
        self.sent_log.lock().close();
    }

    /// Waits until every acknowledgement is recorded, and the rows of all that is sent are deleted, or the
    /// deadline passes.
    pub fn delete_sent(&self, deadline: Instant) {
        let mut state = self.state.lock();
        state.messages.sent_rows.want_deleted();
        self.record_if_due(&mut state);
        drop(state);
        self.wait_recorded(deadline);
    }

    /// Waits until every acknowledgement is recorded, or the deadline passes.
    pub(super) fn wait_recorded(&self, deadline: Instant) {
        let mut state = self.state.lock();
        state.awaits_records = true;
        let is_due = |state: &mut Shared| state.messages.has_unrecorded();
        drop(self.recorded.wait_while_until(state, deadline, is_due));
    }
}
