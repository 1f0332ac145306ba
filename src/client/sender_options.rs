//! What a sender can be told.

use std::time::Duration;

use crate::compression::Compression;
use crate::error::{Error, Result};
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
    pub(super) time_to_live: Option<Duration>,
    pub(super) keep_latest: bool,
}

impl SenderOptions {
    /// No compression, the usual priority, no time to live, and every Message is kept.
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

    /// What is older when its turn comes is not sent: it is deleted, counted in the [status](crate::Status) and logged as
    /// ranges, and those who wait for it get [`Error::Expired`]. That it is deleted is synced to the disk before it is
    /// told, and before the next Message goes: so what was told as too old is never sent, whatever happens then. What is
    /// too old at the same time shares a sync. At least a millisecond; without it, the default, nothing is too old.
    ///
    /// The age counts from the call that stored the Message, as far as it is known for sure: whatever the wall clock
    /// does, a Message of this run is not older than the run, and one of an earlier run is too old as soon as this run
    /// has lasted so long, or the wall clock says so. What was sent once, and is not acknowledged, is sent again
    /// however old it is, while the program runs. Completions of a Batch or Message expire as Messages do. Each
    /// Message takes some 20 bytes more.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use spotflow_device::SenderOptions;
    /// let options = SenderOptions::new().time_to_live(Duration::from_secs(3600));
    /// ```
    pub fn time_to_live(mut self, time_to_live: Duration) -> SenderOptions {
        self.time_to_live = Some(time_to_live);
        self
    }

    /// A Message takes the place of those of its Stream, by senders with this option, that are not sent yet: only the
    /// newest is kept. With a [`latest_key`](crate::Message::latest_key) it takes the place of those with the same key
    /// alone: so one sender keeps the newest of each sensor. The content of a [file](crate::FileMessage) is a Message like
    /// any other. Without this option, the default, every Message is kept.
    ///
    /// The older one is deleted in the commit that stores the newer one: after a kill or the loss of power exactly one
    /// of them is there. The newer one goes behind all that is stored, as any other. Of several in one call of
    /// [`enqueue_messages`](crate::StreamSender::enqueue_messages) the last alone is stored. What is replaced is
    /// counted in the [status](crate::Status) and logged as ranges, and those who wait for it get [`Error::Replaced`]. A
    /// [limit of the outbox](crate::OutboxLimits) counts what is left then.
    ///
    /// What is in flight, or about to be, is never replaced, however often it has to be sent again; nor is large
    /// content whose upload has begun. The space that the content of a replaced file
    /// takes is used for others some moments later. What an earlier run left is replaced, too. If that was in flight when it ended,
    /// the Platform may have it all the same, before the newer one; it is not repeated. Put back, a Message that was set
    /// aside is an unsent one again.
    ///
    /// Completions of a Batch or Message replace nothing and are not replaced. A Message with a
    /// [`chunk_id`](crate::Message::chunk_id) is refused: the Platform wants all its chunks.
    ///
    /// The first such Message ever reads the outbox once, to make an index in the file. There and in its row each takes
    /// its names and key once more. To replace a small one writes nearly twice as much to the disk as to store one.
    ///
    /// ```
    /// # use spotflow_device::SenderOptions;
    /// let options = SenderOptions::new().keep_latest();
    /// ```
    pub fn keep_latest(mut self) -> SenderOptions {
        self.keep_latest = true;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        let shortest = Duration::from_millis(1);
        if self.time_to_live.is_some_and(|time| time < shortest) {
            return Err(Error::invalid("time_to_live", "must be at least 1 ms"));
        }
        Ok(())
    }
}
