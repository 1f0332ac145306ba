//! What other threads want of the link. Each wish is a state, not an entry in a queue, so nothing
//! can pile up while the link is busy.

use std::sync::Arc;
use std::time::Instant;

use mio::Waker;

use crate::http::HubCredentials;
use crate::net::dial::{DialError, Dialed};
use crate::sync::{Condvar, Mutex};

/// A cloud-to-device message that is stored and can be acknowledged, on the connection it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CloudReceipt {
    pub connection: u64,
    pub packet_id: u16,
}

/// The wishes since the link last looked.
#[derive(Default)]
pub(crate) struct Wishes {
    /// Connect with these from now on.
    pub credentials: Option<HubCredentials>,
    /// What came of the dial with this number.
    pub dialed: Option<(u64, Result<Dialed, DialError>)>,
    /// These messages are stored. The hub sends at most 50 without acknowledgement.
    pub cloud_receipts: Vec<CloudReceipt>,
    /// Leave the hub and forget what is in flight, as the identity changes.
    pub detach: bool,
    /// Leave the hub and end.
    pub close: bool,
}

/// The link's mailbox: shared by everybody who wants something of it.
pub(crate) struct Mailbox {
    waker: Waker,
    wishes: Mutex<State>,
    detached: Condvar,
}

#[derive(Default)]
struct State {
    wishes: Wishes,
    is_detached: bool,
    is_over: bool,
}

impl Mailbox {
    pub fn new(waker: Waker) -> Arc<Mailbox> {
        Arc::new(Mailbox {
            waker,
            wishes: Mutex::default(),
            detached: Condvar::new(),
        })
    }

    /// Lets the link look at everything again.
    pub fn wake(&self) {
        // Fails only if the poller is gone, and with it the link.
        if let Err(error) = self.waker.wake() {
            log::debug!("cannot wake the link: {error}");
        }
    }

    /// Connects with these credentials from now on; an open connection moves over without loss.
    pub fn use_credentials(&self, credentials: HubCredentials) {
        self.ask(|wishes| wishes.credentials = Some(credentials));
    }

    /// Delivers what came of dial `number`.
    pub fn dialed(&self, number: u64, result: Result<Dialed, DialError>) {
        self.ask(|wishes| wishes.dialed = Some((number, result)));
    }

    /// Lets a cloud-to-device message be acknowledged.
    pub fn acknowledge_cloud_message(&self, receipt: CloudReceipt) {
        self.ask(|wishes| wishes.cloud_receipts.push(receipt));
    }

    /// Asks the link to end.
    pub fn close(&self) {
        self.ask(|wishes| wishes.close = true);
    }

    fn ask(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.wishes.lock().wishes);
        self.wake();
    }

    /// Makes the link leave the hub and forget what is in flight; returns when it has, or has ended.
    pub fn detach(&self) {
        let mut state = self.wishes.lock();
        state.is_detached = false;
        state.wishes.detach = true;
        self.wake();
        let is_attached = |state: &mut State| !state.is_detached && !state.is_over;
        drop(self.detached.wait_while(state, is_attached));
    }

    /// For the link: the wishes since the last time.
    pub fn take(&self) -> Wishes {
        std::mem::take(&mut self.wishes.lock().wishes)
    }

    /// For the link: it has left the hub, as [`detach`](Self::detach) asked.
    pub fn is_detached(&self) {
        self.wishes.lock().is_detached = true;
        self.detached.notify_all();
    }

    /// For the link: it has ended.
    pub fn is_over(&self) {
        self.wishes.lock().is_over = true;
        self.detached.notify_all();
    }

    /// Waits until the link has ended, or the deadline passes; returns whether it has ended.
    pub fn wait_over(&self, deadline: Instant) -> bool {
        let state = self.wishes.lock();
        let goes_on = |state: &mut State| !state.is_over;
        let state = self.detached.wait_while_until(state, deadline, goes_on);
        state.is_over
    }
}
