//! A Message that is to be stored.

use bytes::Bytes;

use crate::message::outgoing::Body;
use crate::message::priority::Priority;
use crate::message::rules::UPLOAD_THRESHOLD_BYTES;
use crate::store::rows::chunks::StoredContent;

/// A Message that is to be stored.
pub(crate) struct NewMessage {
    pub priority: Priority,
    pub stored_at_ms: i64,
    pub properties: String,
    pub body: NewBody,
}

/// Its content.
pub(crate) enum NewBody {
    /// Is published as it is.
    Inline(Bytes),
    /// Is uploaded first.
    Upload(Bytes),
    /// The same, and is in the store already.
    Stored(StoredContent),
}

impl NewBody {
    /// For this payload.
    pub fn of_payload(payload: Vec<u8>) -> NewBody {
        if payload.len() > UPLOAD_THRESHOLD_BYTES {
            NewBody::Upload(Bytes::from(payload))
        } else {
            NewBody::Inline(Bytes::from(payload))
        }
    }

    /// How much it is.
    pub fn bytes(&self) -> u64 {
        match self {
            NewBody::Inline(bytes) | NewBody::Upload(bytes) => bytes.len() as u64,
            NewBody::Stored(content) => content.bytes,
        }
    }

    /// As it waits for its turn in memory.
    pub fn waiting(&self) -> Body {
        match self {
            NewBody::Inline(bytes) => Body::Inline(bytes.clone()),
            NewBody::Upload(_) | NewBody::Stored(_) => {
                Body::Upload(usize::try_from(self.bytes()).unwrap_or(usize::MAX))
            }
        }
    }
}
