//! The storage that IoT Hub hands out: places to upload to, blobs and their blocks, and what was written when.
//! It keeps to Azure Blob Storage where a device can see it.

mod blob;
mod log;
mod pace;
mod uploads;

pub(crate) use blob::{Blobs, BlockSource, Refused};
pub(crate) use log::WriteLog;
pub use log::{StorageWrite, WriteKind};
pub(crate) use pace::Pace;
pub use uploads::Upload;
pub(crate) use uploads::{ACTIVE_MAX, Access, Uploads};

pub(crate) const CONTAINER: &str = "device-uploads";
pub(crate) const CONTAINER_PATH: &str = "/device-uploads/";

/// Everything that the storage keeps.
#[derive(Default)]
pub(crate) struct Storage {
    pub uploads: Uploads,
    pub blobs: Blobs,
    pub writes: WriteLog,
    pub pace: Pace,
    pub faults: StorageFaults,
}

#[derive(Default)]
pub(crate) struct StorageFaults {
    /// Blocks are answered as by a storage that knows none.
    pub refuse_blocks: bool,
    /// How many bytes of content are still taken before a connection is cut.
    pub cut_after_bytes: Option<u64>,
}

impl StorageFaults {
    /// Counts content; says how much of it comes before the connection is to be cut, once, if it is.
    pub fn cut_within(&mut self, bytes: u64) -> Option<u64> {
        let remaining = self.cut_after_bytes.as_mut()?;
        if bytes < *remaining {
            *remaining -= bytes;
            return None;
        }
        self.cut_after_bytes.take()
    }
}
