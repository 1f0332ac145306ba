//! The MQTT broker with IoT Hub's manners.
//!
//! A packet's way: `connection` reads and decodes a batch of packets; under the lock, `session` handles them and
//! leaves the answers in the connection's output; `connection` writes that. Other threads leave output there too
//! and wake the connection. So everything but `connection` is plain state without I/O.

mod cloud;
mod connect;
pub(crate) mod connection;
mod events;
mod link;
pub(crate) mod methods;
mod packet_log;
mod session;
pub(crate) mod topics;
mod twin;
mod twin_requests;
pub(crate) mod websocket;

use std::collections::HashMap;

use rmqtt_codec::v3::QoS;

pub(crate) use cloud::{CloudQueue, encoded_properties};
pub(crate) use link::{Link, Live};
pub use methods::{DropReason, DroppedAnswer, MethodAnswer, MethodCall, MethodOutcome};
pub(crate) use methods::{Methods, NewAnswer, NewCall};
pub(crate) use packet_log::PacketLog;
pub use packet_log::{Direction, PacketKind, PacketSeen};
pub(crate) use twin::{Twin, with_version};

use crate::registry::Registry;

/// What the hub keeps for a device, whether it is connected or not.
#[derive(Default)]
pub(crate) struct Mailbox {
    /// The number of its live connection.
    pub connection: Option<u64>,
    pub session: Option<Session>,
    pub twin: Twin,
    pub reported_patches: Vec<serde_json::Value>,
    pub cloud: CloudQueue,
    pub packets: PacketLog,
}

/// A device's subscriptions, which outlive the connection if it asked for that.
#[derive(Default)]
pub(crate) struct Session {
    pub subscriptions: Vec<(String, QoS)>,
}

impl Session {
    pub fn granted(&self, filter: &str) -> Option<QoS> {
        self.subscriptions
            .iter()
            .find(|(subscribed, _)| subscribed == filter)
            .map(|(_, qos)| *qos)
    }
}

/// What MQTT goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS, usually on port 8883.
    Mqtt,
    /// A WebSocket over TLS, usually on port 443.
    WebSocket,
}

/// One MQTT connection, past or present.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connection {
    /// Counts the CONNECT packets that the hub received, from 1.
    pub number: u64,
    /// What it came over.
    pub transport: Transport,
    /// The client identifier, `{workspaceId}:{deviceId}` if it was right.
    pub client_id: String,
    /// The user name of the CONNECT packet.
    pub user_name: Option<String>,
    /// The keep-alive in seconds.
    pub keep_alive: u16,
    /// The clean session flag.
    pub clean_session: bool,
    /// Whether the hub said that it still had the session.
    pub session_present: bool,
    /// The CONNACK's return code.
    pub code: u8,
    /// Why it ended; nothing while it lives.
    pub end: Option<String>,
}

#[derive(Default)]
pub(crate) struct Connections {
    pub live: HashMap<u64, Live>,
    /// All that ever were, in order: connection n is at index n - 1.
    pub history: Vec<Connection>,
}

impl Connections {
    /// Has the connection closed, after what is in its output was written.
    pub fn close(&mut self, number: u64, reason: &str) {
        if let Some(live) = self.live.get_mut(&number) {
            live.close(reason);
        }
    }

    pub fn close_all(&mut self, reason: &str) {
        for live in self.live.values_mut() {
            live.close(reason);
        }
    }

    /// Takes a connection off the list once its socket is closed.
    pub fn ended(&mut self, registry: &mut Registry, number: u64, reason: &str) {
        let Some(live) = self.live.remove(&number) else {
            return;
        };
        let reason = live.closing.as_deref().unwrap_or(reason);
        if let Some(entry) = index(number).and_then(|index| self.history.get_mut(index)) {
            entry.end = Some(reason.to_owned());
        }
        let Some(device) = registry.devices.get_mut(&live.hub_id) else {
            return;
        };
        if device.mailbox.connection == Some(number) {
            device.mailbox.connection = None;
            if live.clean_session {
                device.mailbox.session = None;
            }
            device.mailbox.cloud.connection_lost();
        }
    }
}

fn index(number: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(1)?).ok()
}
