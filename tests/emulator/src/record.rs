//! Every Message that arrived, in order. Kept as it came and decoded when asked for: recording must be cheap.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use bytestring::ByteString;

use crate::Message;
use crate::hub::topics;
use crate::message;
use crate::registry::Device;

#[derive(Clone)]
pub(crate) struct Recorded {
    pub sequence: u64,
    pub device: Arc<Device>,
    pub connection: u64,
    pub topic: ByteString,
    pub payload: Bytes,
    /// The content that the payload links to, if it does and if it was there.
    pub uploaded: Option<Result<Bytes, String>>,
    pub packet_id: Option<u16>,
    pub dup: bool,
    pub repeat: bool,
    pub received_at: Instant,
    pub acknowledged_at: Option<Instant>,
}

pub(crate) struct Record {
    /// Sequence numbers without gaps, the oldest first; `clear` forgets some of the oldest.
    entries: Vec<Recorded>,
    pub received: u64,
    pub distinct: u64,
    last_of_device: HashMap<String, (ByteString, Bytes)>,
    pub keep_payloads: bool,
}

impl Record {
    pub fn new(keep_payloads: bool) -> Self {
        Self {
            entries: Vec::new(),
            received: 0,
            distinct: 0,
            last_of_device: HashMap::new(),
            keep_payloads,
        }
    }

    /// Adds a Message, giving it its number and finding out whether it is a repeat.
    pub fn push(&mut self, hub_id: &str, mut new: Recorded) -> u64 {
        self.received += 1;
        new.sequence = self.received;
        let last = (new.topic.clone(), new.payload.clone());
        new.repeat = match self.last_of_device.get_mut(hub_id) {
            Some(before) => std::mem::replace(before, last.clone()) == last,
            None => {
                self.last_of_device.insert(hub_id.to_owned(), last);
                false
            }
        };
        self.distinct += u64::from(!new.repeat);
        if !self.keep_payloads {
            // Also the topic would keep the connection's whole read buffer alive.
            new.topic = ByteString::from(&*new.topic);
            new.payload = Bytes::new();
            new.uploaded = None;
        }
        self.entries.push(new);
        self.received
    }

    pub fn acknowledged(&mut self, sequence: u64, at: Instant) {
        let first = self
            .entries
            .first()
            .map_or(u64::MAX, |entry| entry.sequence);
        let index = sequence
            .checked_sub(first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.acknowledged_at = Some(at);
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn all(&self) -> &[Recorded] {
        &self.entries
    }

    /// Those with a number above `sequence`.
    pub fn after(&self, sequence: u64) -> &[Recorded] {
        let start = self
            .entries
            .partition_point(|entry| entry.sequence <= sequence);
        &self.entries[start..]
    }

    pub fn clear(&mut self) {
        self.entries = Vec::new();
    }
}

impl Recorded {
    /// Decodes; may take long for large content, so never under the lock.
    pub fn decode(&self) -> Message {
        let properties = message::properties(topics::event_bag(&self.topic).unwrap_or(""));
        let named = |name: &str| {
            properties
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let content_encoding = named("content-encoding");
        let (payload, payload_error) = self.content(content_encoding.as_deref());
        Message {
            sequence: self.sequence,
            workspace_id: self.device.workspace_id.clone(),
            device_id: self.device.device_id.clone(),
            connection: self.connection,
            topic: self.topic.to_string(),
            stream_group: named("stream-group-name"),
            stream: named("stream-name"),
            site_id: named("site-id"),
            batch_id: named("batch-id"),
            batch_slice_id: named("batch-slice-id"),
            message_id: named("message-id"),
            chunk_id: named("chunk-id"),
            content_encoding,
            raw_payload: self.payload.to_vec(),
            payload,
            payload_error,
            properties,
            packet_id: self.packet_id,
            dup: self.dup,
            repeat: self.repeat,
            received_at: self.received_at,
            acknowledged_at: self.acknowledged_at,
        }
    }

    fn content(&self, encoding: Option<&str>) -> (Vec<u8>, Option<String>) {
        let packed = match &self.uploaded {
            None => &self.payload,
            Some(Ok(content)) => content,
            Some(Err(reason)) => return (Vec::new(), Some(reason.clone())),
        };
        match message::unpack(packed, encoding) {
            Ok(content) => (content, None),
            Err(reason) => (packed.to_vec(), Some(reason)),
        }
    }
}
