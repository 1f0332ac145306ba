//! Calling direct methods.

use std::time::{Duration, Instant};

use super::Platform;
use super::devices::link;
use crate::error::{Error, Timeout};
use crate::hub::methods::PAYLOAD_BYTES_MAX;
use crate::hub::{DroppedAnswer, MethodAnswer, MethodCall, MethodOutcome, NewCall};
use crate::news::Event;
use crate::state::State;

impl State {
    /// Sends a call to a device; returns its number.
    pub(crate) fn call_method(&mut self, device: &str, call: NewCall<'_>) -> Result<u64, Error> {
        if call.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::MethodPayloadTooLarge(call.payload.len()));
        }
        let public = self.device(device)?.public.clone();
        let mut link = link(&mut self.registry, &mut self.connections, device)?;
        let now = Instant::now();
        let call = self.methods.call(&public, &mut link, call, now);
        let call = call.ok_or_else(|| Error::NotConnected(device.to_owned()))?;
        self.events.push(Event::MethodCalled(call.clone()));
        Ok(call.number)
    }

    /// What a call came to, once it came to something.
    pub(crate) fn method_result(&mut self, number: u64) -> Option<Result<MethodAnswer, Error>> {
        let now = Instant::now();
        let Some(call) = self.methods.get(number, now) else {
            return Some(Err(Error::UnknownMethodCall(number)));
        };
        match &call.outcome {
            MethodOutcome::Waiting => None,
            MethodOutcome::Answered { answer, .. } => Some(Ok(answer.clone())),
            MethodOutcome::BadAnswer(reason) => Some(Err(Error::BadMethodAnswer {
                device: call.device.device_id.clone(),
                method: call.name.clone(),
                reason: reason.clone(),
            })),
            MethodOutcome::GivenUp => Some(Err(Error::Timeout(call.timeout()))),
        }
    }
}

impl MethodCall {
    fn timeout(&self) -> Timeout {
        Timeout {
            waited: self.timeout,
            awaited: format!(
                "an answer of {:?} to the method {:?}",
                self.device.device_id, self.name
            ),
        }
    }
}

impl Platform {
    /// Calls a direct method and waits for the answer. The payload should be JSON, or nothing.
    ///
    /// IoT Hub lets a caller wait for 5 to 300 seconds, 30 if nothing is said; here any time will do.
    ///
    /// # Errors
    /// If the device is not connected or does not listen to methods (IoT Hub's 404), the payload is above 128 KiB,
    /// or the device does not answer in time (IoT Hub's 504) or with what is no JSON or above 128 KiB.
    pub fn call_method(
        &self,
        device: &str,
        name: &str,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<MethodAnswer, Error> {
        let number = self.begin_method(device, name, payload, timeout)?;
        self.wait_for_method(number, timeout)
    }

    /// Calls a direct method without waiting for the answer; returns the number of the call. The hub gives up after
    /// `timeout`.
    ///
    /// # Errors
    /// If the device is not connected or does not listen to methods, or the payload is above 128 KiB.
    pub fn begin_method(
        &self,
        device: &str,
        name: &str,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<u64, Error> {
        let call = NewCall {
            name,
            payload: payload.as_ref(),
            timeout,
        };
        self.core.change(|state| state.call_method(device, call))
    }

    /// Waits for the answer to the call with that number.
    ///
    /// # Errors
    /// If it does not come within `timeout` or before the hub gives up, or is none that the hub takes.
    pub fn wait_for_method(&self, number: u64, timeout: Duration) -> Result<MethodAnswer, Error> {
        // Nothing happens at the moment at which the hub gives up.
        let time_left = self.core.change(|state| {
            let now = Instant::now();
            let call = state.methods.get(number, now)?;
            Some(call.timeout.saturating_sub(now - call.sent_at))
        });
        self.core
            .wait(
                timeout.min(time_left.unwrap_or_default()),
                |state| state.method_result(number),
                |_| format!("an answer to the method call {number}"),
            )
            .unwrap_or_else(|late| Err(late.into()))
    }

    /// The direct methods that were called, the oldest first; the last thousands are kept.
    pub fn method_calls(&self) -> Vec<MethodCall> {
        self.core
            .change(|state| state.methods.all(Instant::now()).cloned().collect())
    }

    /// The answers to direct methods that the hub dropped, the oldest first; the last thousands are kept.
    pub fn dropped_method_answers(&self) -> Vec<DroppedAnswer> {
        self.core.look().methods.dropped().cloned().collect()
    }

    /// Waits until the hub dropped so many answers to direct methods.
    ///
    /// # Errors
    /// If there are fewer when the time is over.
    pub fn wait_for_dropped_method_answers(
        &self,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<DroppedAnswer>, Timeout> {
        self.core.wait(
            timeout,
            |state| {
                let dropped = state.methods.dropped();
                (dropped.len() >= count).then(|| dropped.cloned().collect())
            },
            |state| {
                let dropped = state.methods.dropped().len();
                format!("{count} dropped answers to methods; there were {dropped}")
            },
        )
    }
}
