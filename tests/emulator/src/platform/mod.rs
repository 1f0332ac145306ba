//! The handle to a running Platform. What it can do is in one file for each concern.

mod blockages;
mod builder;
mod devices;
mod http;
mod messages;
mod methods;
mod mqtt_faults;
mod ports;
mod provisioning;
mod storage;
mod tunnels;
mod twins;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

pub use builder::Builder;
pub(crate) use builder::Settings;

use crate::ca::{Authority, ServerCertificate};
use crate::faults::Way;
use crate::hub::Connections;
use crate::provisioning::{Provisioning, ProvisioningToken};
use crate::record::Record;
use crate::state::{Core, State};
use crate::{Error, front};
use ports::Ports;

/// How long the end of the Platform waits for its own threads.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The Spotflow IoT Platform on loopback ports. It ends when dropped, which must not happen in asynchronous code:
/// it has an asynchronous runtime of its own to end.
///
/// All methods may be called from many threads at once. Where one takes a device's name, that is its Device ID, or
/// `{workspaceId}:{deviceId}` where several Workspaces have a device of that name.
pub struct Platform {
    core: Arc<Core>,
    /// Taken by whoever ends the Platform.
    running: Mutex<Option<Running>>,
    authority: Authority,
    server: watch::Sender<Arc<ServerConfig>>,
    ca_file: PathBuf,
    gates: Vec<Gate>,
}

struct Running {
    runtime: Runtime,
    directory: TempDir,
}

/// One listening port, which can be closed and opened.
struct Gate {
    way: Way,
    hub_only: bool,
    accepting: watch::Sender<bool>,
    listening: watch::Receiver<bool>,
}

impl Platform {
    /// Starts with the defaults: all devices are let in, any free port on 127.0.0.1.
    ///
    /// # Errors
    /// If no port can be taken or the CA's file cannot be written.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// For other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn start_with(settings: Settings) -> Result<Self, Error> {
        let ports = Ports::open(&settings)?;
        let authority = Authority::create(ports.address)?;
        let server = watch::Sender::new(authority.server(ServerCertificate::Valid)?);
        let directory = tempfile::Builder::new()
            .prefix("spotflow-emulator-")
            .tempdir()
            .map_err(io_error("cannot make a temporary directory"))?;
        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, &authority.ca_pem)
            .map_err(io_error("cannot write the CA's file"))?;

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("spotflow-emulator")
            .enable_io()
            .enable_time()
            .build()
            .map_err(io_error("cannot start threads"))?;
        let state = new_state(&settings);
        let core = Arc::new(Core::new(settings, ports.instance, ports.hub_host, state));
        let entered = runtime.enter();
        let mut gates = Vec::new();
        for listener in ports.listeners {
            let (accepting, accept) = watch::channel(true);
            let (listens, listening) = watch::channel(true);
            gates.push(Gate {
                way: listener.way,
                hub_only: listener.hub_only,
                accepting,
                listening,
            });
            runtime.spawn(front::listen(
                core.clone(),
                listener.tcp,
                server.subscribe(),
                listener.way,
                accept,
                listens,
            ));
        }
        drop(entered);
        Ok(Self {
            core,
            running: Mutex::new(Some(Running { runtime, directory })),
            authority,
            server,
            ca_file,
            gates,
        })
    }

    /// Ends the Platform as dropping it does, although somebody still holds it: all ports and connections are
    /// closed. What it recorded can still be asked for.
    pub fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(Running { runtime, directory }) = running {
            runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
            drop(directory);
        }
    }

    /// What a device is told as its instance: `host`, or `host:port`.
    pub fn instance(&self) -> String {
        self.core.instance.clone()
    }

    /// The host, or `host:port`, of the hub, as connection strings state it.
    pub fn hub_host_name(&self) -> String {
        self.core.hub_host.clone()
    }

    /// The certificate of the CA that devices have to trust.
    pub fn ca_certificate_pem(&self) -> &str {
        &self.authority.ca_pem
    }

    /// A file with that certificate. It is removed when the Platform ends.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// The Provisioning Token that exists from the start.
    pub fn provisioning_token(&self) -> String {
        self.core.settings.provisioning_token.clone()
    }

    /// All that a device must not show to anybody: every token, those of tunnels too, and the signature of every
    /// password and upload link that was ever given out.
    pub fn secrets(&self) -> Vec<String> {
        let state = self.core.look();
        let devices = state.registry.devices.values();
        let provisioning = state.provisioning.tokens.keys();
        let mut secrets: Vec<String> = provisioning
            .chain(state.registry.tokens.keys())
            .cloned()
            .collect();
        secrets.extend(devices.flat_map(|device| device.signatures.iter().cloned()));
        secrets.extend(state.storage.uploads.signatures().map(str::to_owned));
        secrets.extend(state.tunnels.tokens().map(str::to_owned));
        secrets
    }

    /// The Workspace of [`Platform::provisioning_token`].
    pub fn workspace_id(&self) -> String {
        self.core.settings.workspace_id.clone()
    }
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform")
            .field("instance", &self.core.instance)
            .finish_non_exhaustive()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.stop();
    }
}

fn new_state(settings: &Settings) -> State {
    let mut provisioning = Provisioning::default();
    provisioning.tokens.insert(
        settings.provisioning_token.clone(),
        ProvisioningToken {
            workspace_id: settings.workspace_id.clone(),
            device_id: None,
            revoked: false,
        },
    );
    State {
        provisioning,
        registry: Default::default(),
        connections: Connections::default(),
        methods: Default::default(),
        record: Record::new(settings.record_payloads),
        storage: Default::default(),
        faults: Default::default(),
        http: Default::default(),
        tunnels: Default::default(),
        forwards: Default::default(),
        events: Default::default(),
        workspace_disabled: false,
        announced_hub: None,
    }
}

pub(crate) fn io_error(what: &str) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.to_owned();
    move |source| Error::Io { what, source }
}
