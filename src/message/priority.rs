//! Which Messages go first.

/// The lane of a [sender](crate::DeviceClient::create_stream_sender_with)'s Messages: those of a higher one go first.
///
/// Within a lane, Messages are sent in the order in which they were stored: over all threads, senders and restarts,
/// and large content in its turn. A Message of a higher lane overtakes all that is stored in lower ones, however much
/// that is; it waits only for what is in flight. Lower lanes wait while a higher one has anything to send.
///
/// The lane that is sent from changes only when nothing is in flight, and the change is synced to the disk before the
/// first Message of the other lane is sent. So, with the default window, a Message is repeated only directly after
/// itself, as without lanes; after a restart the first Message is of the lane that was sent from last. What the loss of
/// power can repeat is of that lane alone. A change costs a commit of its own, and writes some 11 KB. A program whose
/// senders all have one priority pays nothing.
///
/// ```
/// use spotflow_device::{Priority, SenderOptions};
///
/// let options = SenderOptions::new().priority(Priority::Urgent);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Priority {
    /// Before everything: alarms.
    Urgent,
    /// Before the usual.
    High,
    /// As without a priority.
    #[default]
    Normal,
    /// Behind the usual.
    Low,
    /// When there is nothing else to send: archives, logs.
    Bulk,
}

impl Priority {
    /// All, the highest first.
    pub(crate) const ALL: [Priority; 5] = [
        Priority::Urgent,
        Priority::High,
        Priority::Normal,
        Priority::Low,
        Priority::Bulk,
    ];

    /// The one that is called so.
    #[cfg(feature = "tool")]
    pub(crate) fn named(name: &str) -> Option<Priority> {
        Priority::ALL.into_iter().find(|it| it.name() == name)
    }

    /// What it is called in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Priority::Urgent => "urgent",
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
            Priority::Bulk => "bulk",
        }
    }
}
