//! The twin requests of one connection: which are unanswered, and when to ask again.
//!
//! The twin is read after every connect, as updates missed while away do not come later, and after
//! every gap. Patches of the Reported Properties go one at a time.

use std::time::Duration;

use super::session::{Session, SessionError, TwinAnswer};
use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::properties::{Properties, TwinRead};

/// A request without an answer for so long is made again.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy)]
struct Request {
    number: u32,
    answer_by: Moment,
}

/// Asks the hub for the twin and tells it the Reported Properties.
pub(crate) struct TwinExchange {
    read_wanted: bool,
    has_read: bool,
    read: Option<Request>,
    patch: Option<Request>,
    /// No request before this moment: the hub is throttling, or failing.
    not_before: Option<Moment>,
    backoff: Backoff,
}

impl Default for TwinExchange {
    fn default() -> TwinExchange {
        TwinExchange {
            read_wanted: true,
            has_read: false,
            read: None,
            patch: None,
            not_before: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_CAP),
        }
    }
}

impl TwinExchange {
    /// The hub sent an update of the Desired Properties.
    pub fn desired_patch(&mut self, payload: &[u8], properties: &Properties) {
        if properties.desired_patch(payload) {
            self.read_wanted = true;
        }
    }

    /// The hub answered a request.
    pub fn answered(&mut self, answer: &TwinAnswer, properties: &Properties, now: Moment) {
        let (request, status) = (answer.request, answer.status);
        if self.read.is_some_and(|read| read.number == request) {
            self.read = None;
            match status {
                200 => self.was_read(properties.full_twin(&answer.payload), now),
                _ => {
                    log::warn!("the hub did not send the twin: status {status}");
                    self.read_wanted = true;
                    self.back_off(now);
                }
            }
        } else if self.patch.is_some_and(|patch| patch.number == request) {
            self.patch = None;
            match status {
                200..=299 => {
                    self.backoff.reset();
                    properties.patch_confirmed(answer.version);
                }
                429 | 500.. => {
                    log::warn!("the hub cannot take Reported Properties now: status {status}");
                    properties.patch_failed();
                    self.back_off(now);
                }
                _ => {
                    log::error!("the hub refused Reported Properties: status {status}; dropped");
                    properties.patch_rejected();
                }
            }
        } else {
            log::debug!("the hub answered a request that is not waiting; ignored");
        }
    }

    fn was_read(&mut self, outcome: TwinRead, now: Moment) {
        self.read_wanted |= outcome != TwinRead::Read;
        match outcome {
            TwinRead::Unreadable => self.back_off(now),
            TwinRead::Read | TwinRead::Overtaken => {
                self.has_read = true;
                self.backoff.reset();
            }
        }
    }

    /// Sends what is due.
    pub fn drive(
        &mut self,
        session: &mut Session,
        properties: &Properties,
        now: Moment,
    ) -> Result<(), SessionError> {
        self.give_up_overdue(properties, now);
        if self.not_before.is_some_and(|moment| now < moment) {
            return Ok(());
        }
        self.not_before = None;
        if self.read_wanted && self.read.is_none() {
            self.read_wanted = false;
            properties.read_sent();
            self.read = Some(Request {
                number: session.get_twin()?,
                answer_by: now + ANSWER_LIMIT,
            });
        }
        if self.patch.is_none()
            && let Some(patch) = properties.next_patch()
        {
            self.patch = Some(Request {
                number: session.patch_reported(patch)?,
                answer_by: now + ANSWER_LIMIT,
            });
        }
        Ok(())
    }

    fn give_up_overdue(&mut self, properties: &Properties, now: Moment) {
        if self.read.is_some_and(|read| now >= read.answer_by) {
            self.read = None;
            self.read_wanted = true;
            self.back_off(now);
        }
        if self.patch.is_some_and(|patch| now >= patch.answer_by) {
            self.patch = None;
            properties.patch_failed();
            self.back_off(now);
        }
    }

    fn back_off(&mut self, now: Moment) {
        self.not_before = Some(now + self.backoff.next_delay(fastrand::f64()));
    }

    /// Whether the hub has sent the twin, and owes no answer.
    pub fn is_settled(&self) -> bool {
        self.has_read && !self.read_wanted && self.read.is_none() && self.patch.is_none()
    }

    /// When [`drive`](Self::drive) has something to do by the clock alone.
    pub fn next_due(&self) -> Option<Moment> {
        let overdue = [self.read, self.patch];
        let overdue = overdue
            .into_iter()
            .flatten()
            .map(|request| request.answer_by);
        overdue.chain(self.not_before).min()
    }
}
