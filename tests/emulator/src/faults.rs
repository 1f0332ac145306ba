//! The broker's faults: what a test told it to do wrong.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::Message;
use crate::throttle::Throttle;

/// When the hub acknowledges Messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// At once.
    #[default]
    Immediately,
    /// So long after each arrived, which is like a network's round trip: many can be under way.
    /// The timer is good to about a millisecond.
    After(Duration),
    /// Not before [`Platform::release_acknowledgements`](crate::Platform::release_acknowledgements).
    Withhold,
}

/// Where a connection is cut; see [`Platform::cut_after_messages`](crate::Platform::cut_after_messages).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutPoint {
    /// The Message is recorded, its acknowledgement never sent.
    BeforeAck,
    /// The acknowledgement is sent, and nothing after it.
    AfterAck,
}

/// A way to the Platform that can be blocked; see [`Platform::block`](crate::Platform::block).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Way {
    /// MQTT to the hub. With [`Builder::standard_ports`](crate::Builder::standard_ports) that is the port 8883;
    /// else it shares a port with HTTP, and is blocked as soon as a connection turns out to be MQTT.
    Mqtt,
    /// MQTT over WebSocket to the hub, which shares a port with HTTP: blocked as soon as it is asked for.
    WebSocket,
    /// The ports for HTTP, which serve the API, uploads, WebSockets, and MQTT where it has no port of its own.
    Https,
}

/// How a way is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blockage {
    /// Nothing listens. Where the port is shared the connection is closed, a WebSocket is answered with 403.
    Refused,
    /// Connections are taken, and nothing is ever said, not even for TLS. They go on when the blockage ends.
    Silent,
    /// Connections are closed once the device has said something: amid the TLS handshake, or after it where the
    /// port is shared.
    Cut,
    /// Something else answers: HTTP without TLS; with TLS where the port is shared, and HTML to WebSockets.
    Foreign,
}

pub(crate) type Poison = Box<dyn Fn(&Message) -> bool + Send + Sync>;

#[derive(Default)]
pub(crate) struct Faults {
    pub acks: AckMode,
    /// Messages until the cut.
    pub cut: Option<(u64, CutPoint)>,
    /// Return code, and for how many connects; nothing: for all.
    pub refuse: Option<(u8, Option<u64>)>,
    pub close_after_connack: bool,
    /// Status, and for how many requests.
    pub twin_status: Option<(u16, u64)>,
    pub withhold_twin_answers: bool,
    /// What reads of the twin are answered with instead of it, one after the other.
    pub false_twins: VecDeque<Bytes>,
    pub poison: Option<Poison>,
    pub throttle: Option<Throttle>,
    /// The size of frames to devices that use WebSockets; nothing: as large as what is to be sent.
    pub websocket_frame_bytes: Option<usize>,
    pub blocked: HashMap<Way, Blockage>,
}

impl Faults {
    pub fn blockage(&self, way: Way) -> Option<Blockage> {
        self.blocked.get(&way).copied()
    }

    /// Counts a Message; says how to cut the connection if it is the one to cut at.
    pub fn cut_at_this_message(&mut self) -> Option<CutPoint> {
        let (remaining, point) = self.cut.as_mut()?;
        *remaining = remaining.saturating_sub(1);
        let point = *point;
        if *remaining > 0 {
            return None;
        }
        self.cut = None;
        Some(point)
    }

    /// Counts a CONNECT; says with which code to refuse it.
    pub fn refuse_this_connect(&mut self) -> Option<u8> {
        let (code, count) = self.refuse.as_mut()?;
        let code = *code;
        if let Some(count) = count {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.refuse = None;
            }
        }
        Some(code)
    }

    /// Counts a twin request; says with which status to fail it.
    pub fn fail_this_twin_request(&mut self) -> Option<u16> {
        let (status, count) = self.twin_status.as_mut()?;
        let status = *status;
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.twin_status = None;
        }
        Some(status)
    }
}
