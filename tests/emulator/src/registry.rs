//! Devices and their credentials: Registration Tokens and SAS values.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::clock::Clock;
use crate::hub::Mailbox;
use crate::secrets;

/// How long a Registration Token goes on working after it was refreshed.
const REFRESH_GRACE: Duration = Duration::from_secs(3600);

/// A device that the Platform knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The Workspace it belongs to.
    pub workspace_id: String,
    /// Its name inside the Workspace.
    pub device_id: String,
}

/// `{workspaceId}:{deviceId}`: the key of everything that the hub keeps about a device.
pub(crate) type HubId = String;

pub(crate) struct RegistrationToken {
    pub hub_id: HubId,
    /// The token that this device was provisioned with; only it may refresh.
    pub provisioning_token: String,
    pub expires: Option<Instant>,
    pub revoked: bool,
    predecessor: Option<String>,
}

pub(crate) struct Sas {
    pub value: String,
    pub expires: Option<Instant>,
}

pub(crate) struct DeviceEntry {
    pub public: Arc<Device>,
    pub sas: Vec<Sas>,
    /// Of every SAS that there ever was.
    pub signatures: Vec<String>,
    pub mailbox: Mailbox,
}

/// Why a Registration Token was not refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshRefused {
    Foreign,
    Expired,
    Revoked,
}

#[derive(Default)]
pub(crate) struct Registry {
    pub devices: BTreeMap<HubId, DeviceEntry>,
    pub tokens: HashMap<String, RegistrationToken>,
}

impl Registry {
    /// The hub's name of a device given as `device` or as `workspace:device`.
    pub fn hub_id(&self, name: &str) -> Option<HubId> {
        if self.devices.contains_key(name) {
            return Some(name.to_owned());
        }
        self.devices
            .iter()
            .find(|(_, device)| device.public.device_id == name)
            .map(|(id, _)| id.clone())
    }

    /// Makes sure that the device exists, and gives it a new Registration Token.
    pub fn register(
        &mut self,
        workspace_id: &str,
        device_id: &str,
        provisioning_token: &str,
        lifetime: Option<Duration>,
    ) -> String {
        let hub_id = format!("{workspace_id}:{device_id}");
        self.devices
            .entry(hub_id.clone())
            .or_insert_with(|| DeviceEntry {
                public: Arc::new(Device {
                    workspace_id: workspace_id.to_owned(),
                    device_id: device_id.to_owned(),
                }),
                sas: Vec::new(),
                signatures: Vec::new(),
                mailbox: Mailbox::default(),
            });
        self.issue(hub_id, provisioning_token.to_owned(), lifetime, None)
    }

    fn issue(
        &mut self,
        hub_id: HubId,
        provisioning_token: String,
        lifetime: Option<Duration>,
        predecessor: Option<String>,
    ) -> String {
        let token = secrets::token("rt-");
        let expires = lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime));
        self.tokens.insert(
            token.clone(),
            RegistrationToken {
                hub_id,
                provisioning_token,
                expires,
                revoked: false,
                predecessor,
            },
        );
        token
    }

    pub fn valid_token(&self, token: &str) -> Option<&RegistrationToken> {
        self.tokens
            .get(token)
            .filter(|token| !token.revoked && !is_past(token.expires))
    }

    /// Replaces a Registration Token: the old one lives on for a grace period, its predecessor ends.
    pub fn refresh(
        &mut self,
        token: &str,
        provisioning_token: &str,
        lifetime: Option<Duration>,
    ) -> Result<String, RefreshRefused> {
        let old = self
            .tokens
            .get_mut(token)
            .filter(|old| old.provisioning_token == provisioning_token)
            .ok_or(RefreshRefused::Foreign)?;
        if old.revoked {
            return Err(RefreshRefused::Revoked);
        }
        if is_past(old.expires) {
            return Err(RefreshRefused::Expired);
        }
        let grace_ends = Instant::now() + REFRESH_GRACE;
        old.expires = Some(
            old.expires
                .map_or(grace_ends, |expires| expires.min(grace_ends)),
        );
        let hub_id = old.hub_id.clone();
        if let Some(older) = old
            .predecessor
            .take()
            .and_then(|older| self.tokens.get_mut(&older))
        {
            older.revoked = true;
        }
        Ok(self.issue(
            hub_id,
            provisioning_token.to_owned(),
            lifetime,
            Some(token.to_owned()),
        ))
    }

    pub fn revoke_tokens(&mut self, hub_id: &str) {
        for token in self
            .tokens
            .values_mut()
            .filter(|token| token.hub_id == hub_id)
        {
            token.revoked = true;
        }
    }
}

impl DeviceEntry {
    /// A new password for the hub.
    pub fn issue_sas(&mut self, hub_host: &str, lifetime: Duration, clock: Clock) -> String {
        self.sas.retain(|sas| !is_past(sas.expires));
        let hub_id = format!("{}:{}", self.public.workspace_id, self.public.device_id);
        let resource = format!("{hub_host}/devices/{hub_id}");
        let signature = secrets::token("");
        let value = format!(
            "SharedAccessSignature sr={}&sig={signature}%3D&se={}",
            utf8_percent_encode(&resource, NON_ALPHANUMERIC),
            clock.unix_seconds(lifetime),
        );
        self.signatures.push(signature);
        self.sas.push(Sas {
            value: value.clone(),
            expires: Instant::now().checked_add(lifetime),
        });
        value
    }

    pub fn valid_sas(&self, value: &str) -> Option<&Sas> {
        self.sas
            .iter()
            .find(|sas| sas.value == value && !is_past(sas.expires))
    }
}

pub(crate) fn is_past(time: Option<Instant>) -> bool {
    time.is_some_and(|time| time <= Instant::now())
}
