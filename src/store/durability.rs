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
    /// system: these can lose the Messages stored since the last sync (of the order of 1,000 small
    /// ones), always the newest ones.
    KillSafe,
    /// Power loss as well: the commit that stores a Message is synced to the disk.
    #[default]
    PowerSafe,
}
