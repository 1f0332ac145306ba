//! How a client is put together, from the ground up: each step holds what those before it have made.
//!
//! ```text
//! 1 ground   dialer, trust, database, status; the link's mailbox, the callback thread
//! 2 data     outbox and its pacer, properties, inbox: over the database
//! 3 remote   methods, tunnels: what the cloud calls
//! 4 calls    uploader, registrar: over HTTP
//! 5 link     the thread that drives all of them
//! ```
//!
//! Who tells whom of what is in [`wiring`](super::wiring).

use std::sync::Arc;
use std::thread::JoinHandle;

use super::core::{Closing, Core};
use super::options::Options;
use super::wiring::{LinkWires, PropertiesWires};
use crate::callbacks::Callbacks;
use crate::clock::Clock;
use crate::compression::Codec;
use crate::error::{Error, Result};
use crate::http::agent::Agent;
use crate::http::api::Api;
use crate::http::instance::{DEFAULT_INSTANCE, Instance};
use crate::inbox::Inbox;
use crate::link::mailbox::Mailbox;
use crate::link::{Link, LinkParts};
use crate::methods::{Answers, Methods, PlatformMethod};
use crate::net::dial::Dialer;
use crate::net::trust::Trust;
use crate::outbox::Outbox;
use crate::pacing::pacer::Pacer;
use crate::pacing::upload::UploadPace;
use crate::properties::Properties;
use crate::registration::{DisplayCallback, Registrar, RegistrarParts};
use crate::secret::Secret;
use crate::status::StatusBoard;
use crate::store::Store;
use crate::store::rows;
use crate::store::rows::device::{ANY_DEVICE_ID, DeviceRow};
use crate::sync::Mutex;
use crate::tunnels::{Tunnels, WayOut};
use crate::uploader::{ProgressListener, Uploader, UploaderParts};

/// Opens the database and starts the threads. The link's first act is to have the device registered.
pub(super) fn start(mut options: Options) -> Result<Core> {
    let instance = Instance::parse(options.instance.as_deref().unwrap_or(DEFAULT_INSTANCE))?;
    let (poller, mailbox) = Link::poller()?;
    let ground = Ground::open(&mut options, mailbox)?;
    let data = Data::open(&ground, &options)?;
    let remote = Remote::new(&ground, &mut options);
    let (stored, last_way) = ground
        .store
        .read(|writer| Ok((rows::device::load(writer)?, rows::last_way::load(writer)?)))?;
    let device = device_row(
        stored,
        instance.to_string(),
        options.provisioning_token,
        options.device_id,
    );
    let calls = Calls::new(&ground, &data, &instance, device, options.display);
    let link = LinkParts {
        outbox: Arc::clone(&data.outbox),
        pacer: Arc::clone(&data.pacer),
        properties: Arc::clone(&data.properties),
        inbox: data.inbox.clone(),
        methods: remote.methods.clone(),
        supervisor: Arc::new(LinkWires {
            registrar: Arc::clone(&calls.registrar),
            uploader: Arc::clone(&calls.uploader),
            store: Arc::clone(&ground.store),
            callbacks: ground.callbacks.clone(),
        }),
        status: Arc::clone(&ground.status),
        clock: Arc::clone(&ground.clock),
        dialer: ground.dialer,
        trust: ground.trust,
        transport: options.transport,
        last_way,
        keep_alive: options.keep_alive,
    };
    let link_thread = spawn(Link::new(link, poller, Arc::clone(&ground.mailbox)))?;
    Ok(Core {
        store: ground.store,
        outbox: data.outbox,
        pacer: data.pacer,
        properties: data.properties,
        inbox: data.inbox,
        methods: remote.methods,
        tunnels: remote.tunnels,
        status: ground.status,
        registrar: calls.registrar,
        clock: ground.clock,
        interrupt_check: options.interrupt_check,
        codec: options.codec.or_else(Codec::preferred),
        durability: options.durability,
        uploader: calls.uploader,
        callbacks: ground.callbacks,
        mailbox: ground.mailbox,
        agent: calls.agent,
        link_thread: Mutex::new(Some(link_thread)),
        closing: Closing::default(),
    })
}

/// What knows of nothing else.
struct Ground {
    clock: Arc<dyn Clock>,
    dialer: Arc<Dialer>,
    trust: Trust,
    store: Arc<Store>,
    status: Arc<StatusBoard>,
    mailbox: Arc<Mailbox>,
    /// Only if the application has set a callback.
    callbacks: Option<Arc<Callbacks>>,
}

impl Ground {
    fn open(options: &mut Options, mailbox: Arc<Mailbox>) -> Result<Ground> {
        let clock = Arc::clone(&options.clock);
        let dialer = Dialer::new(options.proxies()?);
        let trust = Trust::load(options.ca_file.as_deref(), Arc::clone(&clock))?;
        let store = Arc::new(Store::open(&options.database)?);
        let set = std::mem::take(&mut options.callbacks);
        let callbacks = if set.is_empty() {
            None
        } else {
            Some(Arc::new(Callbacks::start(set)?))
        };
        Ok(Ground {
            dialer,
            trust,
            store,
            status: Arc::new(StatusBoard::new(Arc::clone(&clock))),
            clock,
            mailbox,
            callbacks,
        })
    }
}

/// What is stored, and wakes the link when there is something to send.
struct Data {
    outbox: Arc<Outbox>,
    /// How fast what is stored may go.
    pacer: Arc<Pacer>,
    properties: Arc<Properties>,
    /// Only if the application wants cloud-to-device messages.
    inbox: Option<Arc<Inbox>>,
}

impl Data {
    fn open(ground: &Ground, options: &Options) -> Result<Data> {
        let store = &ground.store;
        let mailbox = Arc::clone(&ground.mailbox);
        let (window, limits) = (options.window, options.outbox_limits);
        let outbox = Arc::new(Outbox::open(
            Arc::clone(store),
            mailbox,
            Arc::clone(&ground.clock),
            window,
            limits,
        )?);
        let wires = Arc::new(PropertiesWires {
            mailbox: Arc::clone(&ground.mailbox),
            callbacks: ground.callbacks.clone(),
        });
        let properties = Arc::new(Properties::open(Arc::clone(store), wires)?);
        let inbox = if options.cloud_messages {
            Some(Inbox::open(Arc::clone(store))?)
        } else {
            None
        };
        Ok(Data {
            outbox,
            pacer: Arc::new(Pacer::new(options.pacing, ground.clock.now())),
            properties,
            inbox,
        })
    }
}

/// What the cloud calls; threads only while it does.
struct Remote {
    /// Only if the application has methods or allows remote access.
    methods: Option<Arc<Methods>>,
    /// Only if the application allows remote access.
    tunnels: Option<Arc<Tunnels>>,
}

impl Remote {
    fn new(ground: &Ground, options: &mut Options) -> Remote {
        let answers: Arc<dyn Answers> = ground.mailbox.clone();
        let tunnels = options.remote_access.take().map(|remote_access| {
            let way = WayOut {
                dialer: Arc::clone(&ground.dialer),
                trust: ground.trust.clone(),
            };
            Tunnels::new(remote_access, way, Arc::clone(&answers))
        });
        let handlers = std::mem::take(&mut options.methods);
        let methods = if tunnels.is_some() || !handlers.is_empty() {
            let own = tunnels
                .clone()
                .map(|it| Box::new(it) as Box<dyn PlatformMethod>);
            let clock = Arc::clone(&ground.clock);
            Some(Arc::new(Methods::new(handlers, own, answers, clock)))
        } else {
            None
        };
        Remote { methods, tunnels }
    }
}

/// What calls the Platform, each in a thread that lives only while it does.
struct Calls {
    agent: Agent,
    uploader: Arc<Uploader>,
    registrar: Arc<Registrar>,
}

impl Calls {
    fn new(
        ground: &Ground,
        data: &Data,
        instance: &Instance,
        device: DeviceRow,
        display: DisplayCallback,
    ) -> Calls {
        let agent = Agent::new(Arc::clone(&ground.dialer), ground.trust.clone());
        let pace = UploadPace::new(Arc::clone(&data.pacer), Arc::clone(&ground.clock));
        let pace = Arc::new(pace);
        let uploader = Arc::new(Uploader::new(UploaderParts {
            outbox: Arc::clone(&data.outbox),
            agent: agent.clone().at_pace(Arc::clone(&pace)),
            pace,
            progress: ground
                .callbacks
                .clone()
                .map(|it| it as Arc<dyn ProgressListener>),
            status: Arc::clone(&ground.status),
            clock: Arc::clone(&ground.clock),
            mailbox: Arc::clone(&ground.mailbox),
        }));
        let parts = RegistrarParts {
            api: Api::new(instance, agent.clone()),
            store: Arc::clone(&ground.store),
            outbox: Arc::clone(&data.outbox),
            properties: Arc::clone(&data.properties),
            uploader: Arc::clone(&uploader),
            status: Arc::clone(&ground.status),
            mailbox: Arc::clone(&ground.mailbox),
            clock: Arc::clone(&ground.clock),
            display,
        };
        Calls {
            agent,
            uploader,
            registrar: Arc::new(Registrar::new(parts, device)),
        }
    }
}

fn spawn(link: Link) -> Result<JoinHandle<()>> {
    crate::threads::spawn("spotflow-link", move || link.run())
        .map_err(|error| Error::system("start the link thread", error))
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
