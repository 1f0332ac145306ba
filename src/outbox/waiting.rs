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

    /// Waits until every acknowledgement is recorded, or the deadline passes.
    pub fn wait_recorded(&self, deadline: Instant) {
        let mut state = self.state.lock();
        state.awaits_records = true;
        let is_due = |state: &mut Shared| state.messages.has_unrecorded();
        drop(self.recorded.wait_while_until(state, deadline, is_due));
    }
}
