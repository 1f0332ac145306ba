//! Direct methods: calls, and what became of each.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Link, topics};
use crate::registry::Device;

/// IoT Hub's limit for the payload of a call, and for that of its answer.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 128 * 1024;
/// Older calls, and older answers that were dropped, are forgotten.
const KEPT_MAX: usize = 10_000;

/// What a device answered to a direct method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodAnswer {
    /// The status, by convention one of HTTP's.
    pub status: u16,
    /// The answer's body.
    pub payload: Vec<u8>,
}

/// A direct method that was called.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MethodCall {
    /// Counts the calls, from 1, over all devices.
    pub number: u64,
    /// The device.
    pub device: Device,
    /// The method's name.
    pub name: String,
    /// What went with it.
    pub payload: Vec<u8>,
    /// The `$rid` that the device was given.
    pub request_id: String,
    /// The number of the MQTT connection that it was sent over; see [`Connection`](crate::Connection).
    pub connection: u64,
    /// When the hub sent it.
    pub sent_at: Instant,
    /// How long after that the hub gives up.
    pub timeout: Duration,
    /// What became of it.
    pub outcome: MethodOutcome,
}

/// What became of a direct method.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MethodOutcome {
    /// The device has still time to answer.
    Waiting,
    /// The device answered in time.
    Answered {
        /// The answer.
        answer: MethodAnswer,
        /// When the hub read it.
        at: Instant,
    },
    /// The device answered with what the hub cannot give to the caller; why.
    BadAnswer(String),
    /// The device did not answer in time.
    GivenUp,
}

/// An answer that the hub dropped.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DroppedAnswer {
    /// The device.
    pub device: Device,
    /// The `$rid` that it named.
    pub request_id: String,
    /// What it answered.
    pub answer: MethodAnswer,
    /// The number of the MQTT connection that it came over.
    pub connection: u64,
    /// Why it was dropped.
    pub reason: DropReason,
}

/// Why the hub dropped the answer to a direct method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// The device was never given such a `$rid`.
    Unknown,
    /// The hub had given up.
    Late,
    /// It came over another connection than the call went.
    OtherConnection,
    /// The call had its answer.
    Repeated,
}

/// A call that is to be made.
pub(crate) struct NewCall<'a> {
    pub name: &'a str,
    pub payload: &'a [u8],
    pub timeout: Duration,
}

/// An answer that came.
pub(crate) struct NewAnswer<'a> {
    pub device: &'a Device,
    pub connection: u64,
    pub request_id: &'a str,
    pub answer: MethodAnswer,
}

/// Every call, in order.
#[derive(Default)]
pub(crate) struct Methods {
    calls: VecDeque<MethodCall>,
    called: u64,
    dropped: VecDeque<DroppedAnswer>,
}

impl Methods {
    /// Sends a call, if the device listens to methods.
    pub fn call(
        &mut self,
        device: &Device,
        link: &mut Link<'_>,
        call: NewCall<'_>,
        now: Instant,
    ) -> Option<&MethodCall> {
        let number = self.called + 1;
        let request_id = format!("{number:x}");
        let topic = format!("$iothub/methods/POST/{}/?$rid={request_id}", call.name);
        if !link.publish(topics::METHODS, topic, call.payload.to_vec().into()) {
            return None;
        }
        self.called = number;
        let call = MethodCall {
            number,
            device: device.clone(),
            name: call.name.to_owned(),
            payload: call.payload.to_vec(),
            request_id,
            connection: link.live.number,
            sent_at: now,
            timeout: call.timeout,
            outcome: MethodOutcome::Waiting,
        };
        keep(&mut self.calls, call);
        self.calls.back()
    }

    /// Takes an answer, or drops it.
    pub fn answered(&mut self, new: NewAnswer<'_>, now: Instant) {
        let call = self
            .calls
            .iter_mut()
            .rfind(|call| call.request_id == new.request_id && call.device == *new.device);
        let reason = match call {
            None => DropReason::Unknown,
            Some(call) => match call.refusal(new.connection, now) {
                Some(reason) => reason,
                None => {
                    call.outcome = outcome(new.answer, now);
                    return;
                }
            },
        };
        keep(
            &mut self.dropped,
            DroppedAnswer {
                device: new.device.clone(),
                request_id: new.request_id.to_owned(),
                answer: new.answer,
                connection: new.connection,
                reason,
            },
        );
    }

    /// A call by its number, unless it is forgotten.
    pub fn get(&mut self, number: u64, now: Instant) -> Option<&MethodCall> {
        let first = self.calls.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        let call = self.calls.get_mut(index)?;
        call.give_up_if_due(now);
        Some(call)
    }

    pub fn all(&mut self, now: Instant) -> impl Iterator<Item = &MethodCall> {
        self.calls
            .iter_mut()
            .for_each(|call| call.give_up_if_due(now));
        self.calls.iter()
    }

    pub fn dropped(&self) -> impl ExactSizeIterator<Item = &DroppedAnswer> {
        self.dropped.iter()
    }
}

impl MethodCall {
    fn give_up_if_due(&mut self, now: Instant) {
        let due = now.duration_since(self.sent_at) >= self.timeout;
        if due && self.outcome == MethodOutcome::Waiting {
            self.outcome = MethodOutcome::GivenUp;
        }
    }

    /// Why an answer over that connection counts for nothing, if it does.
    fn refusal(&mut self, connection: u64, now: Instant) -> Option<DropReason> {
        self.give_up_if_due(now);
        match self.outcome {
            MethodOutcome::GivenUp => Some(DropReason::Late),
            MethodOutcome::Waiting => {
                (self.connection != connection).then_some(DropReason::OtherConnection)
            }
            MethodOutcome::Answered { .. } | MethodOutcome::BadAnswer(_) => {
                Some(DropReason::Repeated)
            }
        }
    }
}

fn outcome(answer: MethodAnswer, at: Instant) -> MethodOutcome {
    let payload = &answer.payload;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return MethodOutcome::BadAnswer(format!("{} bytes are too many", payload.len()));
    }
    let json = serde_json::from_slice::<serde::de::IgnoredAny>(payload);
    match json {
        Err(error) if !payload.is_empty() => MethodOutcome::BadAnswer(format!("no JSON: {error}")),
        _ => MethodOutcome::Answered { answer, at },
    }
}

fn keep<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == KEPT_MAX {
        kept.pop_front();
    }
    kept.push_back(new);
}
