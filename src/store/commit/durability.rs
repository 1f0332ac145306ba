//! What a commit must survive.

/// What a stored Message survives, once `enqueue` has returned.
///
/// ```
/// # use spotflow_device::{DeviceClient, Durability};
/// // Storing is many times faster, and a power cut can lose what was stored in the last moments.
/// let builder = DeviceClient::builder("token", "device.db").durability(Durability::KillSafe);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// The end of the process at any instant, but not the loss of power or a crash of the operating
    /// system. These can lose the newest Messages, however long ago they were stored: the last 500 at
    /// most, fewer if they are large (together 1,000 KiB, where each counts as its size and 2 KiB), and
    /// those that the last commit added to these.
    KillSafe,
    /// Power loss as well: the commit that stores a Message is synced to the disk.
    #[default]
    PowerSafe,
}
