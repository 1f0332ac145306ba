//! Direct methods: calls that wait for the device's answer.

use std::collections::HashMap;

use super::{Link, topics};

/// What a device answered to a direct method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodAnswer {
    /// The status, by convention one of HTTP's.
    pub status: u16,
    /// The answer's body.
    pub payload: Vec<u8>,
}

/// Calls under way, by request id.
#[derive(Default)]
pub(crate) struct Methods {
    last_rid: u64,
    calls: HashMap<String, Option<MethodAnswer>>,
}

impl Methods {
    /// Answers that nobody waits for are dropped, as the hub does with late ones.
    pub fn answered(&mut self, rid: &str, answer: MethodAnswer) {
        if let Some(call) = self.calls.get_mut(rid) {
            *call = Some(answer);
        }
    }

    /// The answer, which is then forgotten.
    pub fn take_answer(&mut self, rid: &str) -> Option<MethodAnswer> {
        let answer = self.calls.get_mut(rid)?.take()?;
        self.calls.remove(rid);
        Some(answer)
    }

    pub fn give_up(&mut self, rid: &str) {
        self.calls.remove(rid);
    }
}

impl Link<'_> {
    /// Sends a call and returns its request id, if the device listens to methods.
    pub fn call_method(&mut self, name: &str, payload: &[u8]) -> Option<String> {
        let methods = &mut self.mailbox.methods;
        methods.last_rid += 1;
        let rid = format!("{:x}", methods.last_rid);
        methods.calls.insert(rid.clone(), None);
        let topic = format!("$iothub/methods/POST/{name}/?$rid={rid}");
        if self.publish(topics::METHODS, topic, payload.to_vec().into()) {
            return Some(rid);
        }
        self.mailbox.methods.give_up(&rid);
        None
    }
}
