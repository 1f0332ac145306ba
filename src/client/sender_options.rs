//! What a sender can be told.

use crate::compression::Compression;
use crate::message::Priority;

/// How a [`StreamSender`](crate::StreamSender) sends; for
/// [`create_stream_sender_with`](crate::DeviceClient::create_stream_sender_with).
///
/// ```no_run
/// use spotflow_device::{Compression, DeviceClient, Priority, SenderOptions};
///
/// # fn f(client: &DeviceClient) -> Result<(), spotflow_device::Error> {
/// let alarms = SenderOptions::new().priority(Priority::Urgent);
/// let alarms = client.create_stream_sender_with(None, "alarms", alarms)?;
/// let archive = SenderOptions::new()
///     .priority(Priority::Bulk)
///     .compression(Compression::SmallestSize);
/// let archive = client.create_stream_sender_with(None, "archive", archive)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct SenderOptions {
    pub(super) compression: Compression,
    pub(super) priority: Priority,
}

impl SenderOptions {
    /// No compression, and the usual priority.
    pub fn new() -> SenderOptions {
        SenderOptions::default()
    }

    /// How payloads are compressed, by the thread that stores them; [`Compression::Uncompressed`] unless changed.
    ///
    /// ```
    /// # use spotflow_device::{Compression, SenderOptions};
    /// let options = SenderOptions::new().compression(Compression::Fastest);
    /// ```
    pub fn compression(mut self, compression: Compression) -> SenderOptions {
        self.compression = compression;
        self
    }

    /// Which Messages go before those of other senders; [`Priority::Normal`] unless changed.
    ///
    /// ```
    /// # use spotflow_device::{Priority, SenderOptions};
    /// let options = SenderOptions::new().priority(Priority::Low);
    /// ```
    pub fn priority(mut self, priority: Priority) -> SenderOptions {
        self.priority = priority;
        self
    }
}
