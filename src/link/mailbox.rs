//! What other threads want of the link. Each wish is a state, not an entry in a queue, so nothing
//! can pile up while the link is busy.

use std::sync::Arc;
use std::time::Instant;

use mio::Waker;
use rustls::ClientConfig;

use crate::http::HubCredentials;
use crate::methods::{Answer, Answers};
use crate::net::dial::{DialError, Dialed};
use crate::outbox::Wake;
use crate::sync::{Condvar, Mutex};

/// A cloud-to-device message that is stored and can be acknowledged, on the connection it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CloudReceipt {
    pub connection: u64,
    pub packet_id: u16,
}

/// A way to the hub, and what its TLS is to be checked with.
pub(crate) struct Way {
    pub dialed: Dialed,
    pub tls: Arc<ClientConfig>,
}

/// The wishes since the link last looked.
#[derive(Default)]
pub(crate) struct Wishes {
    /// Connect with these from now on.
    pub credentials: Option<HubCredentials>,
    /// What came of the dial with this number.
    pub dialed: Option<(u64, Result<Way, DialError>)>,
    /// These messages are stored. The hub sends at most 50 without acknowledgement.
    pub cloud_receipts: Vec<CloudReceipt>,
    /// Answers to calls of methods, of which only so many are under way at once.
    pub method_answers: Vec<Answer>,
    /// The hub or its storage does not take the credentials.
    pub renew_credentials: bool,
    /// There may be content to upload.
    pub upload: bool,
    /// Leave the hub and forget what is in flight, as the identity changes.
    pub detach: bool,
    /// Leave the hub and end.
    pub close: bool,
}

/// The link's mailbox: shared by everybody who wants something of it.
pub(crate) struct Mailbox {
    waker: Waker,
    state: Mutex<State>,
    /// The link has detached, or ended.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wishes: Wishes,
    is_detached: bool,
    has_ended: bool,
}

impl Mailbox {
    pub fn new(waker: Waker) -> Arc<Mailbox> {
        Arc::new(Mailbox {
            waker,
            state: Mutex::default(),
            changed: Condvar::new(),
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
    pub fn dialed(&self, number: u64, result: Result<Way, DialError>) {
        self.ask(|wishes| wishes.dialed = Some((number, result)));
    }

    /// Lets a cloud-to-device message be acknowledged.
    pub fn acknowledge_cloud_message(&self, receipt: CloudReceipt) {
        self.ask(|wishes| wishes.cloud_receipts.push(receipt));
    }

    /// Answers a call of a method.
    pub fn answer_method(&self, answer: Answer) {
        self.ask(|wishes| wishes.method_answers.push(answer));
    }

    /// The hub or its storage does not take the credentials: others are to be got.
    pub fn renew_credentials(&self) {
        self.ask(|wishes| wishes.renew_credentials = true);
    }

    /// Asks the link to end.
    pub fn close(&self) {
        self.ask(|wishes| wishes.close = true);
    }

    fn ask(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.state.lock().wishes);
        self.wake();
    }

    /// Makes the link leave the hub and forget what is in flight; returns when it has, or has ended.
    pub fn detach(&self) {
        let mut state = self.state.lock();
        state.is_detached = false;
        state.wishes.detach = true;
        self.wake();
        let is_attached = |state: &mut State| !state.is_detached && !state.has_ended;
        drop(self.changed.wait_while(state, is_attached));
    }

    /// For the link: the wishes since the last time.
    pub fn take(&self) -> Wishes {
        std::mem::take(&mut self.state.lock().wishes)
    }

    /// For the link: it has left the hub, as [`detach`](Self::detach) asked.
    pub fn note_detached(&self) {
        self.state.lock().is_detached = true;
        self.changed.notify_all();
    }

    /// For the link: it ends when this is dropped, also by a panic.
    pub fn link_lives(&self) -> LinkLives<'_> {
        LinkLives(self)
    }

    /// Waits until the link has ended, or the deadline passes; returns whether it has ended.
    pub fn wait_end(&self, deadline: Instant) -> bool {
        let state = self.state.lock();
        let goes_on = |state: &mut State| !state.has_ended;
        let state = self.changed.wait_while_until(state, deadline, goes_on);
        state.has_ended
    }
}

/// As long as the link lives.
#[must_use = "the link has ended without it"]
pub(crate) struct LinkLives<'a>(&'a Mailbox);

impl Drop for LinkLives<'_> {
    fn drop(&mut self) {
        self.0.state.lock().has_ended = true;
        self.0.changed.notify_all();
    }
}

impl Answers for Mailbox {
    fn answer(&self, answer: Answer) {
        self.answer_method(answer);
    }
}

impl Wake for Mailbox {
    fn wake_link(&self) {
        self.wake();
    }

    fn wake_uploader(&self) {
        self.ask(|wishes| wishes.upload = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;

    #[test]
    fn who_waits_for_a_link_that_panics_goes_on() {
        let (_poller, mailbox) = Link::poller().unwrap();
        let link = Arc::clone(&mailbox);
        let thread = crate::threads::spawn("test", move || {
            let _lives = link.link_lives();
            while !link.take().detach {
                std::thread::yield_now();
            }
            panic!("as of a fault of ours");
        });
        mailbox.detach();
        assert!(mailbox.wait_end(Instant::now()), "it has ended");
        assert!(thread.unwrap().join().is_err());
        mailbox.detach();
    }
}
