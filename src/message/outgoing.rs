//! A Message on its way: what is stored, and what the link sends.

use std::time::Duration;

use bytes::Bytes;

use super::terms;

/// A Message as it is stored and sent.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// Its place in the order; 0 until it is stored.
    pub id: i64,
    pub stored_at_ms: i64,
    /// The property bag of its topic, with its [terms] behind it.
    pub properties: String,
    pub body: Body,
}

/// What is published as the payload.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// These bytes.
    Inline(Bytes),
    /// A link to content of this many bytes that must be uploaded first; it stays in the database.
    Upload(usize),
}

impl Outgoing {
    /// The property bag of its topic, as it goes on the wire.
    pub fn bag(&self) -> &str {
        terms::bag(&self.properties)
    }

    /// For how long after it was stored it is worth being sent.
    pub fn time_to_live(&self) -> Option<Duration> {
        terms::time_to_live(&self.properties)
    }

    /// The payload's size where it counts as pending.
    pub fn body_bytes(&self) -> usize {
        match &self.body {
            Body::Inline(bytes) => bytes.len(),
            Body::Upload(bytes) => *bytes,
        }
    }

    /// The memory that it holds.
    pub fn memory_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Inline(bytes) => bytes.len(),
            Body::Upload(_) => 0,
        };
        std::mem::size_of::<Outgoing>() + self.properties.len() + body
    }
}
