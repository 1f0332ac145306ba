//! Who is told of what: the parts of a client know each other only through these few calls, none of which blocks.
//!
//! ```text
//! outbox      ── wake ────────────────────────> link's mailbox
//! uploader    ── other credentials ───────────> link's mailbox
//!             ── progress ────────────────────> callbacks
//! properties  ── new desired ─────────────────> callbacks
//!             ── reported to send ────────────> link's mailbox
//! link        ── connection changed ──────────> callbacks
//!             ── way to remember ─────────────> store
//!             ── other credentials, time,
//!                the network is back ─────────> registrar
//!             ── content to upload,
//!                the network is back ─────────> uploader
//! registrar   ── credentials ─────────────────> link's mailbox, uploader
//! ```
//!
//! Nobody above the mailbox is held by those below it, so nothing here is a circle.

use std::sync::Arc;

use crate::callbacks::Callbacks;
use crate::clock::Moment;
use crate::error::{Chain, Error, Result};
use crate::link::Supervisor;
use crate::link::mailbox::Mailbox;
use crate::properties::Listener;
use crate::registration::Registrar;
use crate::status::{ConnectionChange, UploadStatus};
use crate::store::rows;
use crate::store::rows::last_way::LastWay;
use crate::store::{Durability, Store};
use crate::twin::DesiredProperties;
use crate::uploader::{ProgressListener, Uploader};

/// Whom the properties tell.
pub(super) struct PropertiesWires {
    pub mailbox: Arc<Mailbox>,
    pub callbacks: Option<Arc<Callbacks>>,
}

/// Whom the link tells.
pub(super) struct LinkWires {
    pub registrar: Arc<Registrar>,
    pub uploader: Arc<Uploader>,
    pub store: Arc<Store>,
    pub callbacks: Option<Arc<Callbacks>>,
}

impl Listener for PropertiesWires {
    fn desired_changed(&self, properties: &DesiredProperties) {
        if let Some(callbacks) = &self.callbacks {
            callbacks.desired_changed(properties);
        }
    }

    fn reported_changed(&self) {
        self.mailbox.wake();
    }
}

impl ProgressListener for Callbacks {
    fn progressed(&self, upload: UploadStatus) {
        self.upload_progressed(upload);
    }
}

impl Supervisor for LinkWires {
    fn connection_changed(&self, is_connected: bool, error: Option<&Error>) {
        if is_connected {
            self.uploader.network_is_back();
        }
        if let Some(callbacks) = &self.callbacks {
            callbacks.connection_changed(ConnectionChange {
                is_connected,
                error: error.cloned(),
            });
        }
    }

    fn remember(&self, way: LastWay) {
        let save = move |transaction: &mut _| rows::last_way::save(transaction, way);
        let done = |result: Result<()>| {
            if let Err(error) = result {
                log::debug!("the way to the hub is not remembered: {}", Chain(&error));
            }
        };
        self.store.post(Durability::KillSafe, save, done);
    }

    fn renew_credentials(&self) {
        self.registrar.renew_credentials();
    }

    fn upload(&self) {
        self.uploader.start();
    }

    fn tick(&self, now: Moment) -> Option<Moment> {
        self.registrar.tick(now)
    }

    fn network_back(&self, now: Moment) {
        self.registrar.network_is_back(now);
        self.uploader.network_is_back();
    }
}
