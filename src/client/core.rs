//! The parts of one client, and how they are closed. How they are put together is in [`start`](super::start).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::callbacks::Callbacks;
use crate::clock::Clock;
use crate::compression::Codec;
use crate::error::{Error, Result};
use crate::http::agent::Agent;
use crate::identity::HubDeviceId;
use crate::inbox::Inbox;
use crate::link::mailbox::Mailbox;
use crate::methods::Methods;
use crate::outbox::Outbox;
use crate::pacing::pacer::Pacer;
use crate::properties::Properties;
use crate::registration::Registrar;
use crate::status::StatusBoard;
use crate::store::{Durability, Store};
use crate::sync::{Condvar, Mutex};
use crate::tunnels::Tunnels;
use crate::uploader::Uploader;
use crate::wait::InterruptCheck;

/// How long [`Core::close`] waits for the threads, beside the disk.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Everything that a client consists of.
pub(super) struct Core {
    pub store: Arc<Store>,
    pub outbox: Arc<Outbox>,
    pub pacer: Arc<Pacer>,
    pub properties: Arc<Properties>,
    pub inbox: Option<Arc<Inbox>>,
    pub methods: Option<Arc<Methods>>,
    pub tunnels: Option<Arc<Tunnels>>,
    pub status: Arc<StatusBoard>,
    pub registrar: Arc<Registrar>,
    pub clock: Arc<dyn Clock>,
    pub interrupt_check: Option<Arc<dyn InterruptCheck>>,
    /// None in a build without codecs.
    pub codec: Option<Codec>,
    pub durability: Durability,
    pub uploader: Arc<Uploader>,
    pub callbacks: Option<Arc<Callbacks>>,
    pub mailbox: Arc<Mailbox>,
    pub agent: Agent,
    pub link_thread: Mutex<Option<JoinHandle<()>>>,
    pub closing: Closing,
}

/// How far the close has come.
#[derive(Default)]
pub(super) struct Closing {
    has_begun: AtomicBool,
    is_done: Mutex<bool>,
    done: Condvar,
}

impl Core {
    /// Waits until the device is registered or goes on offline, for no longer than the limit, then hands the
    /// stored Desired Properties to the callback.
    pub fn wait_started(&self, limit: Option<Duration>) -> Result<()> {
        self.registrar.wait_started(limit, self.check())?;
        self.properties.announce_stored();
        Ok(())
    }

    pub fn check(&self) -> Option<&dyn InterruptCheck> {
        self.interrupt_check.as_deref()
    }

    /// Fails once the client is closed.
    pub fn check_open(&self) -> Result<()> {
        if self.closing.has_begun.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    pub fn identity(&self) -> HubDeviceId {
        // Start has returned, so the device has an identity.
        self.registrar.identity().unwrap_or(HubDeviceId {
            workspace_id: String::new(),
            device_id: String::new(),
        })
    }

    /// Wakes all who wait, says goodbye to the hub, and ends every thread within [`CLOSE_LIMIT`] and
    /// the time that the disk takes. Returns when all that is done, whoever began it.
    pub fn close(&self) {
        if self.closing.has_begun.swap(true, Ordering::AcqRel) {
            return self.wait_closed();
        }
        self.close_parts();
        *self.closing.is_done.lock() = true;
        self.closing.done.notify_all();
    }

    /// Waits for another thread's close; not in a callback, which that one waits for.
    fn wait_closed(&self) {
        let in_callback = self
            .callbacks
            .as_ref()
            .is_some_and(|callbacks| callbacks.is_own_thread());
        let in_method = self
            .methods
            .as_ref()
            .is_some_and(|methods| methods.is_own_thread());
        let in_tunnel = self
            .tunnels
            .as_ref()
            .is_some_and(|tunnels| tunnels.is_own_thread());
        if in_callback || in_method || in_tunnel || self.registrar.is_own_thread() {
            return;
        }
        let is_done = self.closing.is_done.lock();
        drop(self.closing.done.wait_while(is_done, |is_done| !*is_done));
    }

    fn close_parts(&self) {
        let deadline = Instant::now() + CLOSE_LIMIT;
        self.outbox.close();
        self.properties.close();
        if let Some(inbox) = &self.inbox {
            inbox.close();
        }
        self.registrar.close();
        self.uploader.close();
        self.agent.cancel();
        if let Some(tunnels) = &self.tunnels {
            tunnels.close(deadline);
        }
        // Before the link, which takes their answers to the hub.
        if let Some(methods) = &self.methods {
            methods.close(deadline);
        }
        self.mailbox.close();
        if self.mailbox.wait_end(deadline)
            && let Some(thread) = self.link_thread.lock().take()
            && thread.join().is_err()
        {
            log::error!("the link thread panicked");
        }
        if let Some(callbacks) = &self.callbacks {
            callbacks.close(deadline);
        }
        self.registrar.join(deadline);
        self.uploader.join(deadline);
        self.outbox.end(deadline);
        self.store.close();
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}
