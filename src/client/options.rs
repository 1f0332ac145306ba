//! What a client can be told at its start, and the rules for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::callbacks::CallbackSet;
use crate::clock::{Clock, SystemClock};
use crate::compression::Codec;
use crate::error::{Error, Result};
use crate::message::rules::validate_device_id;
use crate::methods::MethodOptions;
use crate::net::proxy::Proxies;
use crate::outbox::OutboxLimits;
use crate::pacing::Pacing;
use crate::registration::{DisplayCallback, display_on_stdout};
use crate::secret::Secret;
use crate::store::{Durability, validate_path};
use crate::transport::Transport;
use crate::tunnels::RemoteAccess;
use crate::wait::InterruptCheck;

/// The keep-alive unless another is chosen. With IoT Hub's tolerance of half as much again, a 250 KB
/// Message may take 125 s on a 2 KB/s link without the hub giving up on the device.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// IoT Hub's limit (<https://learn.microsoft.com/azure/iot-hub/iot-hub-mqtt-support>).
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(1767);
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);
const WINDOW_MAX: usize = 256;

/// What [`DeviceClientBuilder`](super::DeviceClientBuilder) has gathered.
pub(super) struct Options {
    pub provisioning_token: String,
    pub database: PathBuf,
    pub device_id: Option<String>,
    pub instance: Option<String>,
    pub display: DisplayCallback,
    pub callbacks: CallbackSet,
    pub methods: MethodOptions,
    /// Nobody has it unless it is set.
    pub remote_access: Option<RemoteAccess>,
    pub ca_file: Option<PathBuf>,
    /// There can be a password in it.
    pub proxy: Option<Secret>,
    pub transport: Transport,
    pub interrupt_check: Option<Arc<dyn InterruptCheck>>,
    pub cloud_messages: bool,
    /// The preferred one of this build unless set.
    pub codec: Option<Codec>,
    pub durability: Durability,
    pub window: usize,
    pub keep_alive: Duration,
    /// How long the start may take; as long as it takes unless set.
    pub start_timeout: Option<Duration>,
    pub outbox_limits: OutboxLimits,
    pub pacing: Pacing,
    pub clock: Arc<dyn Clock>,
}

impl Options {
    pub fn new(provisioning_token: String, database: PathBuf) -> Options {
        Options {
            provisioning_token,
            database,
            device_id: None,
            instance: None,
            display: Box::new(display_on_stdout),
            callbacks: CallbackSet::default(),
            methods: MethodOptions::default(),
            remote_access: None,
            ca_file: None,
            proxy: None,
            transport: Transport::default(),
            interrupt_check: None,
            cloud_messages: false,
            codec: None,
            durability: Durability::default(),
            window: 1,
            keep_alive: KEEP_ALIVE,
            start_timeout: None,
            outbox_limits: OutboxLimits::default(),
            pacing: Pacing::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The ways out: the option's, else the environment's.
    pub fn proxies(&self) -> Result<Proxies> {
        match &self.proxy {
            Some(text) => {
                let refuse = |rule| Error::invalid("proxy", rule);
                Proxies::from_option(text.expose()).map_err(refuse)
            }
            None => {
                let proxies = Proxies::from_environment(|name| std::env::var(name).ok());
                proxies.map_err(|bad| {
                    let rule = format!("{} in the environment: {}", bad.name, bad.rule);
                    Error::invalid("proxy", rule)
                })
            }
        }
    }

    /// Fails with the option that breaks a rule.
    pub fn validate(&self) -> Result<()> {
        let token = &self.provisioning_token;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let rule = "must be printable ASCII without spaces or line ends, and not empty";
            return Err(Error::invalid("provisioning_token", rule));
        }
        validate_path(&self.database)?;
        if let Some(device_id) = &self.device_id {
            validate_device_id(device_id)?;
        }
        self.outbox_limits.validate()?;
        self.pacing.validate()?;
        self.methods.validate()?;
        if let Some(remote_access) = &self.remote_access {
            remote_access.validate()?;
        }
        if let Some(codec) = self.codec {
            codec.validate()?;
        }
        if !(1..=WINDOW_MAX).contains(&self.window) {
            let rule = format!("must be 1 to {WINDOW_MAX}, but is {}", self.window);
            return Err(Error::invalid("in_flight_window", rule));
        }
        if !(KEEP_ALIVE_MIN..=KEEP_ALIVE_MAX).contains(&self.keep_alive) {
            let rule = format!(
                "must be {} s to {} s, but is {:?}",
                KEEP_ALIVE_MIN.as_secs(),
                KEEP_ALIVE_MAX.as_secs(),
                self.keep_alive
            );
            return Err(Error::invalid("keep_alive", rule));
        }
        Ok(())
    }
}
