//! The rooms of one client, how they are put together, and how they are closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::builder::DeviceClientBuilder;
use super::wiring::Wiring;
use crate::callbacks::Callbacks;
use crate::clock::Clock;
use crate::compression::Codec;
use crate::error::{Error, Result};
use crate::http::agent::Agent;
use crate::http::api::Api;
use crate::http::instance::{DEFAULT_INSTANCE, Instance};
use crate::identity::HubDeviceId;
use crate::inbox::Inbox;
use crate::link::mailbox::Mailbox;
use crate::link::{Link, LinkParts};
use crate::net::dial::Dialer;
use crate::net::trust::Trust;
use crate::outbox::Outbox;
use crate::properties::Properties;
use crate::registration::{Registrar, RegistrarParts};
use crate::secret::Secret;
use crate::status::{RunStart, StatusBoard};
use crate::store::rows;
use crate::store::rows::device::{ANY_DEVICE_ID, DeviceRow};
use crate::store::{Durability, Store};
use crate::sync::{Condvar, Mutex};
use crate::uploader::Uploader;
use crate::wait::InterruptCheck;

/// How long [`Core::close`] waits for the threads, beside the disk.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Everything that a client consists of.
pub(super) struct Core {
    pub store: Arc<Store>,
    pub outbox: Arc<Outbox>,
    pub properties: Arc<Properties>,
    pub inbox: Option<Arc<Inbox>>,
    pub status: Arc<StatusBoard>,
    pub registrar: Arc<Registrar>,
    pub clock: Arc<dyn Clock>,
    pub start: RunStart,
    pub interrupt_check: Option<Arc<dyn InterruptCheck>>,
    pub codec: Codec,
    pub durability: Durability,
    uploader: Arc<Uploader>,
    callbacks: Option<Arc<Callbacks>>,
    pub(super) mailbox: Arc<Mailbox>,
    agent: Agent,
    link_thread: Mutex<Option<JoinHandle<()>>>,
    closed: AtomicBool,
    close_done: Mutex<bool>,
    close_changed: Condvar,
}

impl Core {
    /// Opens the database and starts the threads. The link's first act is to have the device
    /// registered.
    pub fn start(options: DeviceClientBuilder) -> Result<Core> {
        let instance = Instance::parse(options.instance.as_deref().unwrap_or(DEFAULT_INSTANCE))?;
        let clock = options.clock;
        let trust = Trust::load(options.ca_file.as_deref(), Arc::clone(&clock))?;
        let store = Arc::new(Store::open(&options.database)?);
        let device = device_row(
            store.read(|writer| rows::device::load(writer))?,
            instance.to_string(),
            options.provisioning_token,
            options.device_id,
        );

        let (poller, mailbox) = Link::poller()?;
        let callbacks = match (options.desired_callback, options.connection_callback) {
            (None, None) => None,
            (desired, connection) => Some(Arc::new(Callbacks::start(desired, connection)?)),
        };
        let wiring = Wiring::new(Arc::clone(&mailbox), callbacks.clone());
        let status = Arc::new(StatusBoard::new(Arc::clone(&clock)));
        let dialer = Dialer::new();
        let agent = Agent::new(Arc::clone(&dialer), trust.clone());
        let outbox = Arc::new(Outbox::open(
            Arc::clone(&store),
            wiring.clone(),
            options.window,
            options.outbox_limits,
        )?);
        let start = RunStart {
            at: clock.now(),
            newest_message: outbox.stored_through(),
        };
        let properties = Properties::open(Arc::clone(&store), wiring.clone())?;
        let inbox = match options.cloud_messages {
            true => Some(Inbox::open(Arc::clone(&store))?),
            false => None,
        };
        let renew = {
            let wiring = Arc::downgrade(&wiring);
            move || {
                if let Some(wiring) = wiring.upgrade() {
                    wiring.renew_credentials();
                }
            }
        };
        let uploader = Uploader::new(
            Arc::clone(&outbox),
            agent.clone(),
            Arc::clone(&status),
            Arc::clone(&clock),
            Box::new(renew),
        );
        let registrar = Registrar::new(
            RegistrarParts {
                api: Api::new(&instance, agent.clone()),
                store: Arc::clone(&store),
                outbox: Arc::clone(&outbox),
                properties: Arc::clone(&properties),
                uploader: Arc::clone(&uploader),
                status: Arc::clone(&status),
                mailbox: Arc::clone(&mailbox),
                clock: Arc::clone(&clock),
                display: options.display,
            },
            device,
        );
        wiring.registrar.get_or_init(|| Arc::downgrade(&registrar));
        wiring.uploader.get_or_init(|| Arc::downgrade(&uploader));

        let link = Link::new(
            LinkParts {
                outbox: Arc::clone(&outbox),
                properties: Arc::clone(&properties),
                inbox: inbox.clone(),
                supervisor: wiring,
                status: Arc::clone(&status),
                clock: Arc::clone(&clock),
                dialer,
                trust,
                keep_alive: options.keep_alive,
            },
            poller,
            Arc::clone(&mailbox),
        );
        let link_thread = crate::threads::spawn("spotflow-link", move || link.run())
            .map_err(|error| Error::system("start the link thread", error))?;
        Ok(Core {
            store,
            outbox,
            properties,
            inbox,
            status,
            registrar,
            clock,
            start,
            interrupt_check: options.interrupt_check,
            codec: options.codec,
            durability: options.durability,
            uploader,
            callbacks,
            mailbox,
            agent,
            link_thread: Mutex::new(Some(link_thread)),
            closed: AtomicBool::new(false),
            close_done: Mutex::new(false),
            close_changed: Condvar::new(),
        })
    }

    /// Waits until the device is registered or goes on offline, then hands the stored Desired
    /// Properties to the callback.
    pub fn wait_started(&self, check: Option<&dyn InterruptCheck>) -> Result<()> {
        self.registrar.wait_started(check)?;
        self.properties.announce_stored();
        Ok(())
    }

    pub fn check(&self) -> Option<&dyn InterruptCheck> {
        self.interrupt_check.as_deref()
    }

    /// Fails once the client is closed.
    pub fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
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
        if self.closed.swap(true, Ordering::AcqRel) {
            return self.wait_closed();
        }
        self.close_rooms();
        *self.close_done.lock() = true;
        self.close_changed.notify_all();
    }

    /// Waits for another thread's close; not in a callback, which that one waits for.
    fn wait_closed(&self) {
        let in_callback = self
            .callbacks
            .as_ref()
            .is_some_and(|callbacks| callbacks.is_own_thread());
        if in_callback || self.registrar.is_own_thread() {
            return;
        }
        let done = self.close_done.lock();
        drop(self.close_changed.wait_while(done, |done| !*done));
    }

    fn close_rooms(&self) {
        let deadline = Instant::now() + CLOSE_LIMIT;
        self.outbox.close();
        self.properties.close();
        if let Some(inbox) = &self.inbox {
            inbox.close();
        }
        self.registrar.close();
        self.uploader.close();
        self.agent.cancel();
        self.mailbox.close();
        if self.mailbox.wait_over(deadline)
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

/// The device as this start wants it: what was registered before counts only for the same Provisioning
/// Token, instance and requested Device ID.
fn device_row(
    stored: Option<DeviceRow>,
    instance: String,
    provisioning_token: String,
    requested_device_id: Option<String>,
) -> DeviceRow {
    let provisioning_token = Secret::new(provisioning_token);
    let same = stored.as_ref().is_some_and(|stored| {
        stored.instance == instance
            && stored.provisioning_token == provisioning_token
            && (stored.requested_device_id == requested_device_id
                || stored.requested_device_id.as_deref() == Some(ANY_DEVICE_ID))
    });
    let (registration_token, identity, identity_is_open) = match stored {
        Some(stored) if same => (
            stored.registration_token,
            stored.identity,
            stored.identity_is_open,
        ),
        // Kept to notice whether the identity changes with the new registration.
        Some(stored) => (None, stored.identity, true),
        None => (None, None, true),
    };
    DeviceRow {
        instance,
        provisioning_token,
        requested_device_id,
        registration_token,
        identity,
        identity_is_open,
    }
}
