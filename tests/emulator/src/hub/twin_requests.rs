//! The twin over MQTT: a device reads it and reports, the hub tells of new Desired Properties.

use bytes::Bytes;
use rmqtt_codec::v3::Packet;
use serde_json::{Value, json};

use super::session::Turn;
use super::{Link, topics};
use crate::news::Event;

impl Turn<'_> {
    pub(super) fn twin_get(&mut self, rid: &str) {
        if let Some(status) = self.faults.fail_this_twin_request() {
            return self.answer(status, rid, None, &failure(status));
        }
        match self.faults.false_twins.pop_front() {
            Some(payload) => self.answer_with(200, rid, None, payload),
            None => self.answer(200, rid, None, &self.device.mailbox.twin.document()),
        }
    }

    pub(super) fn twin_reported(&mut self, rid: &str, payload: &[u8]) {
        if let Some(status) = self.faults.fail_this_twin_request() {
            return self.answer(status, rid, None, &failure(status));
        }
        let result = serde_json::from_slice::<Value>(payload)
            .map_err(|error| error.to_string())
            .and_then(|patch| {
                self.device
                    .mailbox
                    .twin
                    .reported
                    .apply(&patch)
                    .map(|version| (patch, version))
            });
        match result {
            Ok((patch, version)) => {
                self.events.push(Event::Reported {
                    device: self.device.public.as_ref().clone(),
                    patch: patch.clone(),
                    version,
                });
                self.device.mailbox.reported_patches.push(patch);
                self.answer(204, rid, Some(version), &Value::Null);
            }
            Err(reason) => {
                let body = json!({ "errorCode": 400_000, "message": reason });
                self.answer(400, rid, None, &body);
            }
        }
    }

    fn answer(&mut self, status: u16, rid: &str, version: Option<u64>, body: &Value) {
        let payload = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.answer_with(status, rid, version, payload.into());
    }

    fn answer_with(&mut self, status: u16, rid: &str, version: Option<u64>, payload: Bytes) {
        if self.faults.withhold_twin_answers {
            return;
        }
        let version = version
            .map(|version| format!("&$version={version}"))
            .unwrap_or_default();
        let topic = format!("$iothub/twin/res/{status}/?$rid={rid}{version}");
        self.link().publish(topics::TWIN_ANSWERS, topic, payload);
    }
}

fn failure(status: u16) -> Value {
    json!({ "errorCode": u32::from(status) * 1000 + 1, "message": "told to fail this request" })
}

impl Link<'_> {
    /// Tells the device of new Desired Properties, if it listens. Nothing waits for a device that is away.
    pub fn push_desired(&mut self, version: u64, patch: &Value) {
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        self.publish(topics::DESIRED_PATCHES, topic, patch.to_string().into());
    }

    /// A PUBACK out of turn.
    pub fn acknowledge(&mut self, packet_id: std::num::NonZeroU16) {
        self.send(Packet::PublishAck { packet_id });
        self.live.wake.notify_one();
    }
}
