//! What happened, in order, for whoever watches: the program prints it, a test may follow it.

use std::collections::VecDeque;

use serde_json::Value;

use crate::hub::MethodCall;
use crate::provisioning::Operation;
use crate::registry::Device;
use crate::relay::Tunnel;

/// Older events are forgotten.
const EVENTS_KEPT_MAX: usize = 10_000;

/// Something that happened on the Platform, other than a Message.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A device asked to be let in.
    OperationStarted(Operation),
    /// An operation was approved, refused, or made to expire, by somebody.
    OperationClosed(Operation),
    /// A device was registered, for the first time or again.
    Registered {
        /// The device.
        device: Device,
    },
    /// A device connected to the hub.
    Connected {
        /// The device.
        device: Device,
    },
    /// The hub refused a CONNECT.
    ConnectRefused {
        /// The client identifier of the CONNECT.
        client_id: String,
        /// The CONNACK's return code.
        code: u8,
    },
    /// A connection ended.
    Disconnected {
        /// The device.
        device: Device,
    },
    /// A device subscribed.
    Subscribed {
        /// The device.
        device: Device,
        /// The topic filter.
        filter: String,
    },
    /// A device's Desired Properties were changed.
    Desired {
        /// The device.
        device: Device,
        /// Their new version.
        version: u64,
    },
    /// A direct method was called.
    MethodCalled(MethodCall),
    /// A technician is connected to a port of a device.
    TunnelOpened(Tunnel),
    /// That is over, or did not come about.
    TunnelEnded(Tunnel),
    /// A device changed its Reported Properties.
    Reported {
        /// The device.
        device: Device,
        /// The merge patch as it came.
        patch: Value,
        /// The version that it led to.
        version: u64,
    },
}

#[derive(Default)]
pub(crate) struct Events {
    events: VecDeque<Event>,
    happened: u64,
}

impl Events {
    pub fn push(&mut self, event: Event) {
        if self.events.len() == EVENTS_KEPT_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.happened += 1;
    }

    /// Those after the first `seen`, as far as they are kept, and how many ever happened.
    pub fn after(&self, seen: u64) -> (Vec<Event>, u64) {
        let news = usize::try_from(self.happened.saturating_sub(seen)).unwrap_or(usize::MAX);
        let skipped = self.events.len().saturating_sub(news);
        (
            self.events.iter().skip(skipped).cloned().collect(),
            self.happened,
        )
    }
}
