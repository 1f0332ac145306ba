//! File uploads: places given out, and what the device said about them.

use std::time::{Duration, Instant};

use crate::registry::is_past;
use crate::secrets;

/// IoT Hub's limit for a device.
pub(crate) const ACTIVE_MAX: usize = 10;

/// A file upload.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Upload {
    /// The device, `{workspaceId}:{deviceId}`.
    pub hub_id: String,
    /// The name that the device chose.
    pub blob_name: String,
    /// The hub's name for the upload.
    pub correlation_id: String,
    /// How large the content is that was stored with this upload's SAS; nothing as long as none was. Blocks count
    /// once they are committed.
    pub bytes: Option<usize>,
    /// Of how many blocks it was made; none if it came as a whole.
    pub blocks: usize,
    /// What the device notified; nothing as long as it did not, and then the upload counts as active.
    pub success: Option<bool>,
}

struct Entry {
    public: Upload,
    signature: String,
    expires: Option<Instant>,
}

/// What a signature allows.
pub(crate) enum Access {
    /// To write, for the upload at that index.
    Granted(usize),
    /// Nothing was ever opened under that name.
    UnknownBlob,
    /// It is not of this blob.
    WrongSignature,
    Expired,
}

#[derive(Default)]
pub(crate) struct Uploads {
    entries: Vec<Entry>,
}

impl Uploads {
    pub fn active(&self, hub_id: &str) -> usize {
        let active =
            |entry: &&Entry| entry.public.hub_id == hub_id && entry.public.success.is_none();
        self.entries.iter().filter(active).count()
    }

    /// Opens an upload; returns its correlation id and the signature that the upload needs.
    pub fn open(&mut self, hub_id: &str, blob_name: &str, lifetime: Duration) -> (String, String) {
        let correlation_id = uuid::Uuid::new_v4().to_string();
        let signature = secrets::token("");
        self.entries.push(Entry {
            public: Upload {
                hub_id: hub_id.to_owned(),
                blob_name: blob_name.to_owned(),
                correlation_id: correlation_id.clone(),
                bytes: None,
                blocks: 0,
                success: None,
            },
            signature: signature.clone(),
            expires: Instant::now().checked_add(lifetime),
        });
        (correlation_id, signature)
    }

    /// What that signature allows for that blob. Every upload of the same name has one of its own.
    pub fn access(&self, hub_id: &str, blob_name: &str, signature: &str) -> Access {
        let of_blob =
            |entry: &Entry| entry.public.hub_id == hub_id && entry.public.blob_name == blob_name;
        let index = self
            .entries
            .iter()
            .position(|entry| of_blob(entry) && entry.signature == signature);
        match index {
            Some(index) if is_past(self.entries[index].expires) => Access::Expired,
            Some(index) => Access::Granted(index),
            None if self.entries.iter().any(of_blob) => Access::WrongSignature,
            None => Access::UnknownBlob,
        }
    }

    /// Notes what was stored with an upload's signature.
    pub fn stored(&mut self, index: usize, bytes: usize, blocks: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.public.bytes = Some(bytes);
            entry.public.blocks = blocks;
        }
    }

    /// Closes an upload; says whether there was such an open one.
    pub fn notified(&mut self, hub_id: &str, correlation_id: &str, success: bool) -> bool {
        let entry = self.entries.iter_mut().find(|entry| {
            entry.public.hub_id == hub_id && entry.public.correlation_id == correlation_id
        });
        match entry {
            Some(entry) if entry.public.success.is_none() => {
                entry.public.success = Some(success);
                true
            }
            _ => false,
        }
    }

    /// Ends those that the device never notified.
    pub fn expire(&mut self) {
        for entry in &mut self.entries {
            entry.public.success.get_or_insert(false);
        }
    }

    /// Has every signature expire that was given out.
    pub fn expire_signatures(&mut self) {
        let now = Instant::now();
        for entry in &mut self.entries {
            entry.expires = Some(now);
        }
    }

    /// What only the device is told: the signatures of the places.
    pub fn signatures(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.signature.as_str())
    }

    pub fn all(&self) -> Vec<Upload> {
        self.entries
            .iter()
            .map(|entry| entry.public.clone())
            .collect()
    }
}
