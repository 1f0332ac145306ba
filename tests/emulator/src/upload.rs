//! File uploads: places given out, their content, and what the device said about them.

use std::collections::HashMap;

use bytes::Bytes;

use crate::registry::HubId;
use crate::secrets;

/// IoT Hub's limit for a device.
pub(crate) const ACTIVE_MAX: usize = 10;
pub(crate) const CONTAINER: &str = "device-uploads";
pub(crate) const CONTAINER_PATH: &str = "/device-uploads/";

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
    /// How much was uploaded; nothing as long as nothing was.
    pub bytes: Option<usize>,
    /// What the device notified; nothing as long as it did not, and then the upload counts as active.
    pub success: Option<bool>,
}

struct Entry {
    public: Upload,
    signature: String,
    content: Option<Bytes>,
}

#[derive(Default)]
pub(crate) struct Uploads {
    entries: Vec<Entry>,
    /// The newest upload of a device's blob name.
    by_name: HashMap<(HubId, String), usize>,
}

/// Why a blob was not stored.
pub(crate) enum PutRefused {
    UnknownBlob,
    WrongSignature,
}

impl Uploads {
    pub fn active(&self, hub_id: &str) -> usize {
        let active =
            |entry: &&Entry| entry.public.hub_id == hub_id && entry.public.success.is_none();
        self.entries.iter().filter(active).count()
    }

    /// Opens an upload; returns its correlation id and the signature that the upload needs.
    pub fn open(&mut self, hub_id: &str, blob_name: &str) -> (String, String) {
        let correlation_id = uuid::Uuid::new_v4().to_string();
        let signature = secrets::token("");
        self.by_name.insert(
            (hub_id.to_owned(), blob_name.to_owned()),
            self.entries.len(),
        );
        self.entries.push(Entry {
            public: Upload {
                hub_id: hub_id.to_owned(),
                blob_name: blob_name.to_owned(),
                correlation_id: correlation_id.clone(),
                bytes: None,
                success: None,
            },
            signature: signature.clone(),
            content: None,
        });
        (correlation_id, signature)
    }

    pub fn put(
        &mut self,
        hub_id: &str,
        blob_name: &str,
        signature: &str,
        content: Bytes,
    ) -> Result<(), PutRefused> {
        let index = *self
            .by_name
            .get(&(hub_id.to_owned(), blob_name.to_owned()))
            .ok_or(PutRefused::UnknownBlob)?;
        let entry = &mut self.entries[index];
        if entry.signature != signature {
            return Err(PutRefused::WrongSignature);
        }
        entry.public.bytes = Some(content.len());
        entry.content = Some(content);
        Ok(())
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

    pub fn content(&self, hub_id: &str, blob_name: &str) -> Option<Bytes> {
        let index = *self
            .by_name
            .get(&(hub_id.to_owned(), blob_name.to_owned()))?;
        self.entries[index].content.clone()
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
