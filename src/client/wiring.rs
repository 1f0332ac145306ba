//! Who is told of what: the rooms know each other only through these few calls, none of which blocks.

use std::sync::{Arc, OnceLock, Weak};

use crate::callbacks::Callbacks;
use crate::clock::Moment;
use crate::error::Error;
use crate::link::Supervisor;
use crate::link::mailbox::Mailbox;
use crate::methods::{Answer, Answers};
use crate::outbox::Wake;
use crate::properties::Listener;
use crate::registration::Registrar;
use crate::status::ConnectionChange;
use crate::twin::DesiredProperties;
use crate::uploader::Uploader;

/// The wires. The registrar and the uploader are connected once they exist.
pub(super) struct Wiring {
    pub mailbox: Arc<Mailbox>,
    pub callbacks: Option<Arc<Callbacks>>,
    pub registrar: OnceLock<Weak<Registrar>>,
    pub uploader: OnceLock<Weak<Uploader>>,
}

impl Wiring {
    pub fn new(mailbox: Arc<Mailbox>, callbacks: Option<Arc<Callbacks>>) -> Arc<Wiring> {
        Arc::new(Wiring {
            mailbox,
            callbacks,
            registrar: OnceLock::new(),
            uploader: OnceLock::new(),
        })
    }

    fn registrar(&self) -> Option<Arc<Registrar>> {
        self.registrar.get().and_then(Weak::upgrade)
    }

    /// The hub or its storage does not take the credentials.
    pub fn renew_credentials(&self) {
        if let Some(registrar) = self.registrar() {
            registrar.renew_credentials();
        }
    }
}

impl Wake for Wiring {
    fn wake_link(&self) {
        self.mailbox.wake();
    }

    fn wake_uploader(&self) {
        if let Some(uploader) = self.uploader.get().and_then(Weak::upgrade) {
            uploader.start();
        }
    }
}

impl Answers for Wiring {
    fn answer(&self, answer: Answer) {
        self.mailbox.answer_method(answer);
    }
}

impl Listener for Wiring {
    fn desired_changed(&self, properties: &DesiredProperties) {
        if let Some(callbacks) = &self.callbacks {
            callbacks.desired_changed(properties);
        }
    }

    fn reported_changed(&self) {
        self.mailbox.wake();
    }
}

impl Supervisor for Wiring {
    fn connection_changed(&self, is_connected: bool, error: Option<&Error>) {
        if let Some(callbacks) = &self.callbacks {
            callbacks.connection_changed(ConnectionChange {
                is_connected,
                error: error.cloned(),
            });
        }
    }

    fn credentials_refused(&self) {
        self.renew_credentials();
    }

    fn tick(&self, now: Moment) -> Option<Moment> {
        self.registrar()?.tick(now)
    }
}
