//! How a Platform is set up.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::Platform;
use crate::provisioning::Approval;
use crate::{Error, secrets};

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub approval: Approval,
    pub bind: IpAddr,
    pub port: u16,
    pub standard_ports: bool,
    pub own_hub_port: bool,
    pub registration_token_lifetime: Option<Duration>,
    pub sas_lifetime: Duration,
    pub upload_sas_lifetime: Duration,
    pub operation_lifetime: Duration,
    pub cloud_message_lock: Duration,
    pub workspace_id: String,
    pub provisioning_token: String,
    pub clock_offset_seconds: i64,
    pub record_payloads: bool,
    pub record_traffic: bool,
}

/// Sets up a [`Platform`]; every setting has a default.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `start`"]
pub struct Builder {
    settings: Settings,
}

impl Default for Builder {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            settings: Settings {
                approval: Approval::Auto,
                bind: Ipv4Addr::LOCALHOST.into(),
                port: 0,
                standard_ports: false,
                own_hub_port: false,
                registration_token_lifetime: Some(30 * day),
                sas_lifetime: day,
                upload_sas_lifetime: Duration::from_secs(3600),
                operation_lifetime: Duration::from_secs(600),
                cloud_message_lock: Duration::from_secs(60),
                workspace_id: uuid::Uuid::new_v4().to_string(),
                provisioning_token: secrets::token("pt-"),
                clock_offset_seconds: 0,
                record_payloads: true,
                record_traffic: false,
            },
        }
    }
}

impl Builder {
    /// Whether Provisioning Operations wait for somebody. Default: [`Approval::Auto`].
    pub fn approval(mut self, approval: Approval) -> Self {
        self.settings.approval = approval;
        self
    }

    /// The address to listen on. Default: 127.0.0.1.
    pub fn bind(mut self, address: impl Into<IpAddr>) -> Self {
        self.settings.bind = address.into();
        self
    }

    /// The port to listen on. Default: 0, any that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.settings.port = port;
        self
    }

    /// Listens on 443 and 8883, for devices that know no other ports. Where one of them is taken on the address
    /// to bind, another loopback address is chosen. Needs the right to take such ports. Default: no.
    pub fn standard_ports(mut self, standard: bool) -> Self {
        self.settings.standard_ports = standard;
        self
    }

    /// Gives the hub a port of its own, so that it can be unreachable while the API works:
    /// see [`Platform::accept_hub_connections`]. Default: no, one port serves both.
    pub fn own_hub_port(mut self, own: bool) -> Self {
        self.settings.own_hub_port = own;
        self
    }

    /// How long a Registration Token is valid; `None`: it does not expire. Default: 30 days.
    pub fn registration_token_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.settings.registration_token_lifetime = lifetime;
        self
    }

    /// How long a device may use one password at the hub. Default: a day.
    pub fn sas_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.sas_lifetime = lifetime;
        self
    }

    /// How long a device may write to a place in the storage that it was given. Default: an hour.
    pub fn upload_sas_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.upload_sas_lifetime = lifetime;
        self
    }

    /// How long a Provisioning Operation waits for a decision. Default: 10 minutes.
    pub fn operation_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.operation_lifetime = lifetime;
        self
    }

    /// How long a connected device has to acknowledge a cloud-to-device message before it is sent again.
    /// Default: a minute.
    pub fn cloud_message_lock(mut self, lock: Duration) -> Self {
        self.settings.cloud_message_lock = lock;
        self
    }

    /// The Workspace of [`Platform::provisioning_token`]. Default: a random UUID.
    pub fn workspace_id(mut self, id: impl Into<String>) -> Self {
        self.settings.workspace_id = id.into();
        self
    }

    /// The first Provisioning Token. Default: a random one.
    pub fn provisioning_token(mut self, token: impl Into<String>) -> Self {
        self.settings.provisioning_token = token.into();
        self
    }

    /// Sets the Platform's clock so many seconds ahead (negative: behind), in the Date header as in all times
    /// that it states. Lifetimes are as long as ever.
    pub fn clock_offset(mut self, seconds: i64) -> Self {
        self.settings.clock_offset_seconds = seconds;
        self
    }

    /// Whether recorded Messages keep their payloads. A bench that sends millions does without. Default: yes.
    pub fn record_payloads(mut self, record: bool) -> Self {
        self.settings.record_payloads = record;
        self
    }

    /// Whether every byte that goes over a connection is kept, until the end: see [`Platform::traffic`].
    /// Default: no.
    pub fn record_traffic(mut self, record: bool) -> Self {
        self.settings.record_traffic = record;
        self
    }

    /// Starts the Platform.
    ///
    /// # Errors
    /// If a port cannot be taken or the CA's file cannot be written.
    pub fn start(self) -> Result<Platform, Error> {
        Platform::start_with(self.settings)
    }
}
