//! What a program says about how fast Messages and uploads may go, and the rules for it.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::message::lanes::Lanes;
use crate::message::priority::Priority;

/// The shortest burst, also the one unless changed: a wait that ends late by less is made up for.
const BURST_MIN: Duration = Duration::from_millis(100);
const BURST_MAX: Duration = Duration::from_secs(3600);

/// How fast something may go, for [`Pacing`]. Without a limit, the default, as fast as it can.
///
/// ```
/// use std::time::Duration;
/// use spotflow_device::Pace;
///
/// let pace = Pace::new()
///     .messages_per_second(50.0)
///     .bytes_per_second(20_000)
///     .burst(Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Pace {
    messages_per_second: Option<f64>,
    bytes_per_second: Option<u64>,
    burst: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            messages_per_second: None,
            bytes_per_second: None,
            burst: BURST_MIN,
        }
    }
}

impl Pace {
    /// No limit.
    pub fn new() -> Pace {
        Pace::default()
    }

    /// At most so many Messages a second: above 0, and finite. 0.1 is one in ten seconds.
    ///
    /// ```
    /// # use spotflow_device::Pace;
    /// let one_a_minute = Pace::new().messages_per_second(1.0 / 60.0);
    /// ```
    pub fn messages_per_second(mut self, messages: f64) -> Pace {
        self.messages_per_second = Some(messages);
        self
    }

    /// At most so many bytes a second: 1 or more. Counted are the MQTT packets of Messages, that is, the payload after
    /// compression, the topic with its properties and some 7 bytes, and what uploads send of HTTP; not TLS and TCP.
    ///
    /// A Message goes as a whole, however large it is, and then others wait until it is paid for.
    ///
    /// ```
    /// # use spotflow_device::Pace;
    /// let pace = Pace::new().bytes_per_second(20_000);
    /// ```
    pub fn bytes_per_second(mut self, bytes: u64) -> Pace {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// After a pause, one Message goes at once, and beyond it as much as the limits give in this time: 0.1 s, which is
    /// the default, to an hour. What is left of a longer pause is lost.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use spotflow_device::Pace;
    /// // 301 at once, and one in ten seconds from then on.
    /// let pace = Pace::new().messages_per_second(0.1).burst(Duration::from_secs(3000));
    /// ```
    pub fn burst(mut self, burst: Duration) -> Pace {
        self.burst = burst;
        self
    }

    /// How many Messages, and how many bytes, may go in a second.
    pub(crate) fn per_second(&self) -> (Option<f64>, Option<u64>) {
        (self.messages_per_second, self.bytes_per_second)
    }

    pub(super) fn limits(&self) -> (Option<f64>, Option<f64>, Duration) {
        let bytes = self.bytes_per_second.map(|bytes| bytes as f64);
        (self.messages_per_second, bytes, self.burst)
    }

    fn is_limited(&self) -> bool {
        self.messages_per_second.is_some() || self.bytes_per_second.is_some()
    }

    /// `whose` is added to the rule.
    fn validate(&self, whose: &str) -> Result<()> {
        let is_pace = |rate: f64| rate.is_finite() && rate > 0.0;
        if let Some(messages) = self.messages_per_second
            && !is_pace(messages)
        {
            let rule = format!("must be above 0 and finite, but is {messages}{whose}");
            return Err(Error::invalid("pacing.messages_per_second", rule));
        }
        if self.bytes_per_second == Some(0) {
            let rule = format!("must be at least 1, but is 0{whose}");
            return Err(Error::invalid("pacing.bytes_per_second", rule));
        }
        if !(BURST_MIN..=BURST_MAX).contains(&self.burst) {
            let rule = format!(
                "must be {BURST_MIN:?} to {BURST_MAX:?}, but is {:?}{whose}",
                self.burst
            );
            return Err(Error::invalid("pacing.burst", rule));
        }
        Ok(())
    }
}

/// How fast Messages and uploads may go: no limits unless set.
///
/// There is a [`Pace`] for all together, and one for each [`Priority`]; a Message goes when both let it. A priority that
/// has to wait holds up no other. Uploads share the bytes: those of content with a priority count for that, and for all.
/// Large content waits piece by piece, so that Messages go between the pieces. It goes up one at a time: a slow pace makes
/// content of a higher priority wait for the block that is under way, of 1 MiB at most.
///
/// Everything else goes at once: keep-alive, properties, methods, cloud-to-device messages, tunnels. What a lost
/// connection repeats counts, and waits only for the pace of all. Nothing wakes up for a pace while there is nothing to
/// send.
///
/// To go to another priority and back costs two [changes of lane](Priority): where two priorities have a backlog, and
/// the higher one is paced to one Message a second, that is two each second.
///
/// # When the hub throttles
///
/// IoT Hub closes the connection of a device that sends more than the hub was paid for. That looks like any other close;
/// but when the hub does it for the second time within a minute while Messages are on their way, the client goes at half
/// of the pace at which it got rid of Messages between the two, pauses included, and never below one Message a second.
/// Each 5 s an eighth of that pace is added. It goes freely again at twice the pace, or when closes go on that the pace
/// cannot explain. A twin request that is answered with 429 does the same at once. The log says so, at warn level. None
/// of that needs a limit to be set, and [`slow_down_when_throttled`](Self::slow_down_when_throttled) turns it off.
///
/// ```
/// use spotflow_device::{DeviceClient, Pace, Pacing, Priority};
///
/// let pacing = Pacing::new()
///     .all(Pace::new().bytes_per_second(20_000))
///     .lane(Priority::Bulk, Pace::new().bytes_per_second(2_000).messages_per_second(1.0));
/// let builder = DeviceClient::builder("CAEaBA...", "spotflow.db").pacing(pacing);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Pacing {
    all: Pace,
    lanes: Lanes<Pace>,
    slow_down_when_throttled: bool,
}

impl Default for Pacing {
    fn default() -> Pacing {
        Pacing {
            all: Pace::default(),
            lanes: Lanes::each(|_| Pace::default()),
            slow_down_when_throttled: true,
        }
    }
}

impl Pacing {
    /// No limits.
    pub fn new() -> Pacing {
        Pacing::default()
    }

    /// The pace of all Messages and uploads together.
    ///
    /// ```
    /// # use spotflow_device::{Pace, Pacing};
    /// let pacing = Pacing::new().all(Pace::new().messages_per_second(50.0));
    /// ```
    pub fn all(mut self, pace: Pace) -> Pacing {
        self.all = pace;
        self
    }

    /// The pace of those with this priority.
    ///
    /// ```
    /// # use spotflow_device::{Pace, Pacing, Priority};
    /// let pacing = Pacing::new().lane(Priority::Low, Pace::new().bytes_per_second(2_000));
    /// ```
    pub fn lane(mut self, priority: Priority, pace: Pace) -> Pacing {
        self.lanes[priority] = pace;
        self
    }

    /// Whether the client goes more slowly by itself for a while [when the hub throttles](Self#when-the-hub-throttles);
    /// it does unless changed.
    ///
    /// ```
    /// # use spotflow_device::Pacing;
    /// let pacing = Pacing::new().slow_down_when_throttled(false);
    /// ```
    pub fn slow_down_when_throttled(mut self, wanted: bool) -> Pacing {
        self.slow_down_when_throttled = wanted;
        self
    }

    pub(super) fn of_all(&self) -> &Pace {
        &self.all
    }

    pub(super) fn of_lane(&self, priority: Priority) -> &Pace {
        &self.lanes[priority]
    }

    pub(super) fn is_limited(&self) -> bool {
        self.all.is_limited() || self.lanes.iter().any(|(_, pace)| pace.is_limited())
    }

    pub(super) fn heeds_throttling(&self) -> bool {
        self.slow_down_when_throttled
    }

    pub(crate) fn validate(&self) -> Result<()> {
        self.all.validate("")?;
        self.lanes.iter().try_for_each(|(priority, pace)| {
            pace.validate(&format!(" for the priority {}", priority.name()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pace: Pace) -> String {
        let of_all = Pacing::new().all(pace).validate().unwrap_err().to_string();
        let lane = Pacing::new().lane(Priority::Bulk, pace).validate();
        let of_lane = lane.unwrap_err().to_string();
        assert_eq!(of_lane, format!("{of_all} for the priority bulk"));
        of_all
    }

    #[test]
    fn what_is_no_pace_is_refused_with_the_argument_and_the_rule() {
        for (messages, shown) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(
                refused(Pace::new().messages_per_second(messages)),
                format!("pacing.messages_per_second: must be above 0 and finite, but is {shown}")
            );
        }
        assert_eq!(
            refused(Pace::new().bytes_per_second(0)),
            "pacing.bytes_per_second: must be at least 1, but is 0"
        );
        for (burst, shown) in [
            (Duration::ZERO, "0ns"),
            (Duration::from_millis(99), "99ms"),
            (Duration::from_secs(3601), "3601s"),
        ] {
            assert_eq!(
                refused(Pace::new().burst(burst)),
                format!("pacing.burst: must be 100ms to 3600s, but is {shown}")
            );
        }
    }

    #[test]
    fn whatever_is_above_zero_is_a_pace() {
        for messages in [f64::MIN_POSITIVE, 0.1, f64::MAX] {
            let pace = Pace::new().messages_per_second(messages);
            let pace = pace.bytes_per_second(u64::MAX).burst(BURST_MAX);
            Pacing::new().all(pace).validate().unwrap();
        }
    }
}
