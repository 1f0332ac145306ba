//! Uploads, what was written to the storage, and its faults.

use std::time::Duration;

use super::Platform;
use crate::error::Timeout;
use crate::storage::{StorageWrite, Upload};

impl Platform {
    /// All file uploads that were opened, the oldest first.
    pub fn uploads(&self) -> Vec<Upload> {
        self.core.look().storage.uploads.all()
    }

    /// Ends the uploads that were never notified, as IoT Hub does when their time is over: their places are free.
    pub fn expire_uploads(&self) {
        self.core.change(|state| state.storage.uploads.expire());
    }

    /// Has every SAS expire that devices were given for uploads: the storage answers 403. Blocks stay, also for a
    /// newer upload of the same name. See [`Builder::upload_sas_lifetime`](crate::Builder::upload_sas_lifetime).
    pub fn expire_upload_sas(&self) {
        self.core
            .change(|state| state.storage.uploads.expire_signatures());
    }

    /// Every write to the storage whose SAS was right, the oldest first: blobs, blocks and lists of blocks, with how
    /// much of each came, those that broke off too. The last hundred thousand are kept.
    pub fn storage_writes(&self) -> Vec<StorageWrite> {
        self.core.look().storage.writes.all().cloned().collect()
    }

    /// Waits until the writes to the storage are as the predicate wants them.
    ///
    /// # Errors
    /// If they are not in time.
    pub fn wait_for_storage_writes(
        &self,
        mut wanted: impl FnMut(&[StorageWrite]) -> bool,
        timeout: Duration,
    ) -> Result<Vec<StorageWrite>, Timeout> {
        self.core.wait(
            timeout,
            |state| {
                let writes: Vec<_> = state.storage.writes.all().cloned().collect();
                wanted(&writes).then_some(writes)
            },
            |state| {
                let writes = state.storage.writes.all().count();
                format!("writes to the storage as wanted; there were {writes}")
            },
        )
    }

    /// The blocks that a device sent for a blob and did not commit: their ids (Base64) and sizes.
    pub fn uncommitted_blocks(&self, device: &str, blob_name: &str) -> Vec<(String, usize)> {
        let state = self.core.look();
        let hub_id = state.registry.hub_id(device);
        let blocks = hub_id.map(|hub_id| state.storage.blobs.uncommitted(&hub_id, blob_name));
        blocks.unwrap_or_default()
    }

    /// Has the storage know no blocks: it answers them with 400, which names neither signature nor expiry.
    pub fn refuse_blocks(&self, refuse: bool) {
        self.core
            .change(|state| state.storage.faults.refuse_blocks = refuse);
    }

    /// Has the storage take so many bytes of content a second, over all connections; `None`: as many as come.
    /// What the sockets hold comes on top.
    pub fn storage_rate(&self, bytes_per_second: Option<f64>) {
        let rate = bytes_per_second.filter(|rate| *rate > 0.0);
        self.core.change(|state| state.storage.pace.set(rate));
    }

    /// Cuts the connection over which the n-th next byte of content comes to the storage, without an answer, once.
    /// `None` takes the order back.
    pub fn cut_storage_after(&self, bytes: Option<u64>) {
        self.core
            .change(|state| state.storage.faults.cut_after_bytes = bytes);
    }
}
