//! What the outbox may hold, and what happens to what does not fit.

use std::fmt;

use crate::error::{Error, Result};
use crate::store::rows::totals::Totals;

/// What the outbox may hold. Without a limit, the default, it holds what the disk does.
///
/// A limit counts the Messages that are stored and not yet acknowledged, completions included, as in
/// [`Status`](crate::Status); not those [set aside](crate::DeviceClient::set_aside_messages). It holds
/// after every commit, whatever number of threads enqueue. Two things can exceed it: a backlog of an
/// earlier run with higher limits, and Messages set aside that are put back; then the next call that
/// stores has to find or make room for all of it.
///
/// ```
/// use spotflow_device::{DeviceClient, OutboxLimits, WhenFull};
///
/// let limits = OutboxLimits::new()
///     .messages(100_000)
///     .bytes(50 << 20)
///     .free_disk_bytes(100 << 20)
///     .when_full(WhenFull::DropOldest);
/// let builder = DeviceClient::builder("CAEaBA...", "spotflow.db").outbox_limits(limits);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxLimits {
    messages: Option<u64>,
    bytes: Option<u64>,
    free_disk_bytes: Option<u64>,
    when_full: WhenFull,
}

/// What happens when a Message would exceed a limit of the outbox; see [`OutboxLimits`].
///
/// ```
/// # use spotflow_device::{OutboxLimits, WhenFull};
/// let limits = OutboxLimits::new().messages(1000).when_full(WhenFull::DropOldest);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// The call that would store it fails with [`Error::OutboxFull`], and nothing of it is stored.
    #[default]
    Reject,
    /// As many of the oldest Messages as it takes are deleted, in the same commit: of the lowest
    /// [priority](crate::Priority) first, and never of a higher one than what comes in. Those in flight stay:
    /// the Platform may have them. If that is not enough, the call fails as with `Reject`.
    ///
    /// What is dropped is counted in the [`Status`](crate::Status) and logged as a range. Those who wait
    /// for it get [`Error::Dropped`].
    DropOldest,
}

/// A limit of the outbox that is reached; see [`Error::OutboxFull`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxLimit {
    /// So many Messages: [`OutboxLimits::messages`].
    Messages(u64),
    /// So many bytes of payload: [`OutboxLimits::bytes`].
    Bytes(u64),
    /// So many bytes that must stay free on the disk: [`OutboxLimits::free_disk_bytes`].
    FreeDiskBytes(u64),
}

impl fmt::Display for OutboxLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutboxLimit::Messages(count) => write!(f, "its limit of {count} Messages"),
            OutboxLimit::Bytes(bytes) => write!(f, "its limit of {bytes} bytes"),
            OutboxLimit::FreeDiskBytes(bytes) => {
                write!(f, "its limit of {bytes} bytes that stay free on the disk")
            }
        }
    }
}

impl OutboxLimits {
    /// No limits, and [`WhenFull::Reject`].
    pub fn new() -> OutboxLimits {
        OutboxLimits::default()
    }

    /// At most so many Messages: 1 or more.
    pub fn messages(mut self, messages: u64) -> OutboxLimits {
        self.messages = Some(messages);
        self
    }

    /// At most so many bytes of payload, as stored, that is, after compression: 1 or more. The file is
    /// larger, by some hundred bytes per Message.
    pub fn bytes(mut self, bytes: u64) -> OutboxLimits {
        self.bytes = Some(bytes);
        self
    }

    /// While fewer bytes than that are free on the disk of the database file, for those without
    /// privileges, the outbox is full. One commit, and what others store, can go below.
    ///
    /// To drop Messages makes room in the file, not on the disk: with [`WhenFull::DropOldest`] as many and
    /// as large ones go as come in, so that the file hardly grows. Not available on Windows.
    pub fn free_disk_bytes(mut self, bytes: u64) -> OutboxLimits {
        self.free_disk_bytes = Some(bytes);
        self
    }

    /// What happens to what does not fit; [`WhenFull::Reject`] unless changed.
    pub fn when_full(mut self, when_full: WhenFull) -> OutboxLimits {
        self.when_full = when_full;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        for (argument, limit) in [
            ("outbox_limits.messages", self.messages),
            ("outbox_limits.bytes", self.bytes),
            ("outbox_limits.free_disk_bytes", self.free_disk_bytes),
        ] {
            if limit == Some(0) {
                return Err(Error::invalid(argument, "must be at least 1"));
            }
        }
        if cfg!(not(unix)) && self.free_disk_bytes.is_some() {
            let rule = "is not available on this system";
            return Err(Error::invalid("outbox_limits.free_disk_bytes", rule));
        }
        Ok(())
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.messages.is_none() && self.bytes.is_none() && self.free_disk_bytes.is_none()
    }

    pub(super) fn drops_oldest(&self) -> bool {
        self.when_full == WhenFull::DropOldest
    }

    pub(super) fn needs_free_disk_bytes(&self) -> bool {
        self.free_disk_bytes.is_some()
    }

    /// What exceeds a limit by itself never fits.
    pub(super) fn check_alone(&self, added: Totals) -> Result<()> {
        let (counted, limit) = match (self.messages, self.bytes) {
            (Some(limit), _) if added.count > limit => (
                format!("{} Messages", added.count),
                OutboxLimit::Messages(limit),
            ),
            (_, Some(limit)) if added.bytes > limit => {
                (format!("{} bytes", added.bytes), OutboxLimit::Bytes(limit))
            }
            _ => return Ok(()),
        };
        let rule = format!("{counted} never fit into the outbox with {limit}");
        Err(Error::invalid("messages", rule))
    }

    /// What has to go before `added` fits, and for which limit; `None` if it fits.
    pub(super) fn excess(
        &self,
        pending: Totals,
        added: Totals,
        free_disk_bytes: Option<u64>,
    ) -> Option<(OutboxLimit, Totals)> {
        let mut reached = None;
        let mut excess = Totals::default();
        if let (Some(limit), Some(free)) = (self.free_disk_bytes, free_disk_bytes)
            && free < limit
        {
            reached = Some(OutboxLimit::FreeDiskBytes(limit));
            excess = added;
        }
        if let Some(limit) = self.bytes
            && pending.bytes.saturating_add(added.bytes) > limit
        {
            reached = Some(OutboxLimit::Bytes(limit));
            let bytes = pending.bytes.saturating_add(added.bytes) - limit;
            excess.bytes = excess.bytes.max(bytes);
        }
        if let Some(limit) = self.messages
            && pending.count.saturating_add(added.count) > limit
        {
            reached = Some(OutboxLimit::Messages(limit));
            let count = pending.count.saturating_add(added.count) - limit;
            excess.count = excess.count.max(count);
        }
        reached.map(|limit| (limit, excess))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(count: u64, bytes: u64) -> Totals {
        Totals { count, bytes }
    }

    #[test]
    fn a_limit_is_reached_by_the_first_message_beyond_it() {
        let limits = OutboxLimits::new().messages(10).bytes(100);
        let excess = |pending, added| limits.excess(pending, added, None);
        assert_eq!(excess(totals(9, 90), totals(1, 10)), None);
        let (limit, excess_of) = excess(totals(10, 90), totals(1, 10)).unwrap();
        assert_eq!(
            (limit, excess_of),
            (OutboxLimit::Messages(10), totals(1, 0))
        );
        let (limit, excess_of) = excess(totals(2, 95), totals(1, 10)).unwrap();
        assert_eq!((limit, excess_of), (OutboxLimit::Bytes(100), totals(0, 5)));
        let (_, excess_of) = excess(totals(15, 120), totals(2, 5)).unwrap();
        assert_eq!(excess_of, totals(7, 25), "a backlog above lowered limits");
    }

    #[test]
    fn below_the_free_space_as_much_has_to_go_as_comes() {
        let limits = OutboxLimits::new().free_disk_bytes(1000);
        assert_eq!(limits.excess(totals(5, 5), totals(2, 7), Some(1000)), None);
        let (limit, excess) = limits
            .excess(totals(5, 5), totals(2, 7), Some(999))
            .unwrap();
        assert_eq!(
            (limit, excess),
            (OutboxLimit::FreeDiskBytes(1000), totals(2, 7))
        );
    }

    #[test]
    fn what_never_fits_is_told_with_the_limit() {
        let limits = OutboxLimits::new().messages(10).bytes(100);
        limits.check_alone(totals(10, 100)).unwrap();
        for (added, text) in [
            (
                totals(11, 0),
                "messages: 11 Messages never fit into the outbox with its limit of 10 Messages",
            ),
            (
                totals(1, 101),
                "messages: 101 bytes never fit into the outbox with its limit of 100 bytes",
            ),
        ] {
            let error = limits.check_alone(added).unwrap_err();
            assert_eq!(error.to_string(), text);
            assert!(!error.is_retryable());
        }
    }
}
