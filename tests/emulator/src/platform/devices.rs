//! Devices, their credentials and their connections.

use std::time::Duration;

use super::Platform;
use crate::error::{Error, Timeout};
use crate::hub::{Connection, Connections, Link, PacketSeen};
use crate::news::Event;
use crate::registry::{Device, DeviceEntry, Registry};
use crate::state::State;
use crate::traffic::Traffic;

impl State {
    /// A device by its name.
    pub(crate) fn device(&mut self, name: &str) -> Result<&mut DeviceEntry, Error> {
        let unknown = || Error::UnknownDevice(name.to_owned());
        let hub_id = self.registry.hub_id(name).ok_or_else(unknown)?;
        self.registry.devices.get_mut(&hub_id).ok_or_else(unknown)
    }

    /// A device's connection, if it is connected and not about to be closed.
    pub(crate) fn link(&mut self, device: &str) -> Result<Link<'_>, Error> {
        link(&mut self.registry, &mut self.connections, device)
    }

    fn is_connected(&self, name: &str) -> bool {
        let device = self
            .registry
            .hub_id(name)
            .and_then(|hub_id| self.registry.devices.get(&hub_id));
        let number = device.and_then(|device| device.mailbox.connection);
        let live = number.and_then(|number| self.connections.live.get(&number));
        live.is_some_and(|live| live.closing.is_none())
    }
}

/// The same where the rest of the state is in use.
pub(crate) fn link<'a>(
    registry: &'a mut Registry,
    connections: &'a mut Connections,
    device: &str,
) -> Result<Link<'a>, Error> {
    let hub_id = registry
        .hub_id(device)
        .ok_or_else(|| Error::UnknownDevice(device.to_owned()))?;
    let not_connected = || Error::NotConnected(device.to_owned());
    let entry = registry
        .devices
        .get_mut(&hub_id)
        .ok_or_else(not_connected)?;
    let mailbox = &mut entry.mailbox;
    let number = mailbox.connection.ok_or_else(not_connected)?;
    let live = connections
        .live
        .get_mut(&number)
        .filter(|live| live.closing.is_none());
    Ok(Link {
        live: live.ok_or_else(not_connected)?,
        mailbox,
    })
}

impl Platform {
    /// The devices that the Platform knows.
    pub fn devices(&self) -> Vec<Device> {
        let state = self.core.look();
        state
            .registry
            .devices
            .values()
            .map(|device| device.public.as_ref().clone())
            .collect()
    }

    /// Deletes a device: its Registration Tokens and its password are refused, its connection is closed, its twin
    /// and what waits for it are gone.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn delete_device(&self, device: &str) -> Result<(), Error> {
        self.core.change(|state| {
            let unknown = || Error::UnknownDevice(device.to_owned());
            let hub_id = state.registry.hub_id(device).ok_or_else(unknown)?;
            state.registry.revoke_tokens(&hub_id);
            let entry = state.registry.devices.remove(&hub_id).ok_or_else(unknown)?;
            if let Some(number) = entry.mailbox.connection {
                state.connections.close(number, "the device was deleted");
            }
            Ok(())
        })
    }

    /// From now on the device's Registration Tokens are answered with 401.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn revoke_registration_tokens(&self, device: &str) -> Result<(), Error> {
        self.core.change(|state| {
            let hub_id = state
                .registry
                .hub_id(device)
                .ok_or(Error::UnknownDevice(device.to_owned()))?;
            state.registry.revoke_tokens(&hub_id);
            Ok(())
        })
    }

    /// Has all passwords expire that the device has for the hub, which closes its connection.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn expire_sas(&self, device: &str) -> Result<(), Error> {
        self.core.change(|state| {
            let entry = state.device(device)?;
            entry.sas.clear();
            if let Some(number) = entry.mailbox.connection {
                state.connections.close(number, "the SAS expired");
            }
            Ok(())
        })
    }

    /// Disables all Workspaces, or enables them again: the API answers 423.
    pub fn disable_workspace(&self, disabled: bool) {
        self.core
            .change(|state| state.workspace_disabled = disabled);
    }

    /// Whether the device is connected to the hub.
    pub fn connected(&self, device: &str) -> bool {
        self.core.look().is_connected(device)
    }

    /// Waits until the device is connected to the hub, or is not.
    ///
    /// # Errors
    /// If it does not come to that in time.
    pub fn wait_for_connected(
        &self,
        device: &str,
        connected: bool,
        timeout: Duration,
    ) -> Result<(), Timeout> {
        self.core.wait(
            timeout,
            |state| (state.is_connected(device) == connected).then_some(()),
            |state| {
                let connects = state.connections.history.len();
                format!("{device:?} connected: {connected}; there were {connects} CONNECTs")
            },
        )
    }

    /// All CONNECTs that the hub received, the oldest first, refused ones too.
    pub fn connections(&self) -> Vec<Connection> {
        self.core.look().connections.history.clone()
    }

    /// How many CONNECTs the hub received, refused ones too.
    pub fn connection_count(&self) -> usize {
        self.core.look().connections.history.len()
    }

    /// Waits until the hub received so many CONNECTs, refused ones too.
    ///
    /// # Errors
    /// If there are fewer when the time is over.
    pub fn wait_for_connections(
        &self,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Connection>, Timeout> {
        self.core.wait(
            timeout,
            |state| {
                (state.connections.history.len() >= count)
                    .then(|| state.connections.history.clone())
            },
            |state| {
                format!(
                    "{count} CONNECTs; there were {}",
                    state.connections.history.len()
                )
            },
        )
    }

    /// The topic filters that the device's session holds.
    pub fn subscriptions(&self, device: &str) -> Vec<String> {
        self.core.change(|state| {
            let Ok(device) = state.device(device) else {
                return Vec::new();
            };
            let session = device.mailbox.session.iter();
            session
                .flat_map(|session| {
                    session
                        .subscriptions
                        .iter()
                        .map(|(filter, _)| filter.clone())
                })
                .collect()
        })
    }

    /// Waits until the device's session holds so many subscriptions.
    ///
    /// # Errors
    /// If it holds fewer when the time is over.
    pub fn wait_for_subscriptions(
        &self,
        device: &str,
        count: usize,
        timeout: Duration,
    ) -> Result<(), Timeout> {
        let subscribed = |state: &mut State| {
            let device = state.device(device).ok()?;
            Some(device.mailbox.session.as_ref()?.subscriptions.len())
        };
        self.core.wait(
            timeout,
            |state| {
                subscribed(state)
                    .filter(|subscribed| *subscribed >= count)
                    .map(|_| ())
            },
            |_| format!("{count} subscriptions of {device:?}"),
        )
    }

    /// The control packets from and to the device, the oldest first; the last few thousand are kept.
    pub fn packets(&self, device: &str) -> Vec<PacketSeen> {
        self.core.change(|state| {
            state
                .device(device)
                .map(|device| device.mailbox.packets.all())
                .unwrap_or_default()
        })
    }

    /// Waits until the control packets from and to the device are as the predicate wants them.
    ///
    /// # Errors
    /// If they are not in time. A device that is not there yet is waited for, too.
    pub fn wait_for_packets(
        &self,
        device: &str,
        mut wanted: impl FnMut(&[PacketSeen]) -> bool,
        timeout: Duration,
    ) -> Result<(), Timeout> {
        self.core.wait(
            timeout,
            |state| wanted(state.device(device).ok()?.mailbox.packets.slice()).then_some(()),
            |_| format!("packets of {device:?}"),
        )
    }

    /// What went over all connections, HTTP and MQTT, in the order in which they came, if it is recorded:
    /// see [`Builder::record_traffic`](crate::Builder::record_traffic).
    pub fn traffic(&self) -> Vec<Traffic> {
        self.core.traffic.all()
    }

    /// What happened after the first `seen` events, and how many there ever were; waits for news if there are none,
    /// at most for `timeout`. Messages are no events: see [`Platform::wait_for_messages_after`].
    pub fn wait_for_events(&self, seen: u64, timeout: Duration) -> (Vec<Event>, u64) {
        let news = |state: &mut State| {
            let (events, happened) = state.events.after(seen);
            (happened > seen).then_some((events, happened))
        };
        self.core
            .wait(timeout, news, |_| String::new())
            .unwrap_or((Vec::new(), seen))
    }
}
