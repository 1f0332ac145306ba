//! The broker's faults: what a test told it to do wrong.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::Message;

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
}

impl Faults {
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
