//! Whether much is being sent on other connections. It fills the queues on the way out, a modem's above all, which at 2 KB/s
//! can hold half a minute: so long a few bytes of any connection wait for their turn, and that is no sign of an outage.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The way out of the device, as far as it is shared.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    transfers: AtomicUsize,
}

/// Something large that is being sent, until this is dropped.
pub(crate) struct Transfer<'a>(&'a Uplink);

impl Uplink {
    /// Something large is sent from now on.
    pub fn begin_transfer(&self) -> Transfer<'_> {
        self.transfers.fetch_add(1, Ordering::Relaxed);
        Transfer(self)
    }

    /// Whether something large is being sent.
    pub fn is_busy(&self) -> bool {
        self.transfers.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.0.transfers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_busy_until_the_last_transfer_has_ended() {
        let uplink = Uplink::default();
        assert!(!uplink.is_busy());
        let (first, second) = (uplink.begin_transfer(), uplink.begin_transfer());
        drop(first);
        assert!(uplink.is_busy());
        drop(second);
        assert!(!uplink.is_busy());
    }
}
