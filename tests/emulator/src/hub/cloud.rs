//! Cloud-to-device messages: a queue for each device, emptied only by acknowledgements.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rmqtt_codec::v3::QoS;

use super::{Link, topics};

/// IoT Hub keeps as many for a device.
pub(crate) const QUEUED_MAX: usize = 50;

struct CloudMessage {
    payload: Bytes,
    /// `key=value&...`, encoded.
    bag: String,
    /// Given at the first delivery and kept for the redeliveries of the same session.
    packet_id: Option<NonZeroU16>,
    /// Until then the connection that it was delivered to has time to acknowledge it.
    locked_until: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct CloudQueue {
    messages: VecDeque<CloudMessage>,
}

impl CloudQueue {
    pub fn push(&mut self, payload: Vec<u8>, bag: String) -> Result<(), usize> {
        if self.messages.len() >= QUEUED_MAX {
            return Err(self.messages.len());
        }
        let payload = payload.into();
        self.messages.push_back(CloudMessage {
            payload,
            bag,
            packet_id: None,
            locked_until: None,
        });
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn acknowledged(&mut self, packet_id: NonZeroU16) {
        self.messages
            .retain(|message| message.packet_id != Some(packet_id));
    }

    /// What was delivered is delivered again to the next connection.
    pub fn connection_lost(&mut self) {
        for message in &mut self.messages {
            message.locked_until = None;
        }
    }

    /// A new session knows nothing of earlier deliveries.
    pub fn session_lost(&mut self) {
        for message in &mut self.messages {
            message.packet_id = None;
            message.locked_until = None;
        }
    }

    pub fn uses_packet_id(&self, id: u16) -> bool {
        self.messages
            .iter()
            .any(|message| message.packet_id.is_some_and(|used| used.get() == id))
    }

    pub fn next_redelivery(&self) -> Option<Instant> {
        self.messages
            .iter()
            .filter_map(|message| message.locked_until)
            .min()
    }
}

impl Link<'_> {
    /// Delivers what waits and is not locked, if the device subscribed.
    pub fn deliver_cloud_messages(&mut self, lock: Duration, now: Instant) {
        if self.mailbox.cloud.messages.is_empty() {
            return;
        }
        let Some(qos) = self.granted(&topics::cloud_messages(&self.live.hub_id)) else {
            // Else a lock that ends would stay due for ever.
            return self.mailbox.cloud.connection_lost();
        };
        let prefix = format!("devices/{}/messages/devicebound/", self.live.hub_id);
        for index in 0..self.mailbox.cloud.messages.len() {
            let message = &self.mailbox.cloud.messages[index];
            if message.locked_until.is_some_and(|until| until > now) {
                continue;
            }
            let dup = message.packet_id.is_some();
            let packet_id = match message.packet_id {
                _ if qos == QoS::AtMostOnce => None,
                Some(used) => Some(used),
                None => Some(self.next_packet_id()),
            };
            let message = &mut self.mailbox.cloud.messages[index];
            message.packet_id = packet_id;
            message.locked_until = now.checked_add(lock);
            let (topic, payload) = (format!("{prefix}{}", message.bag), message.payload.clone());
            self.send_publish(topic, payload, qos, packet_id, dup && packet_id.is_some());
        }
        if qos == QoS::AtMostOnce {
            self.mailbox.cloud.messages.clear();
        }
    }
}

/// Properties as a topic carries them: RFC 3986's unreserved characters stay.
pub(crate) fn encoded_properties(properties: &[(&str, &str)]) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    let encode = |text| utf8_percent_encode(text, RESERVED);
    let pairs: Vec<String> = properties
        .iter()
        .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
        .collect();
    pairs.join("&")
}
