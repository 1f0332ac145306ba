//! Which way is tried when: MQTT at a port of its own, or over WebSocket at that of HTTPS. Pure: time is passed in.
//!
//! An attempt begins with the way that worked last, and goes on with the other one when nothing comes of it. Port 8883
//! is the better way where both are open, so it is what an attempt begins with at first. That it failed and WebSocket came
//! through does not prove that it is closed: in an outage all is silent, and one of the two is being tried when that ends.
//! So it is tried again after minutes, and ever more rarely from then on; but only when a connection has to be made
//! anyway, as one that works is not given up for it.

use std::time::Duration;

use crate::clock::Moment;
use crate::store::rows::last_way::LastWay;
use crate::transport::{Carrier, Transport};

/// While WebSocket is what works, the port of MQTT is tried again after this time, then after twice as long, and so on:
/// where it is closed, each try takes until that is clear.
const TLS_AGAIN_FIRST: Duration = Duration::from_secs(5 * 60);
/// In the end it is tried so often.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a way may be silent while there is another one.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// The same once an attempt came to nothing on either: the way may be a slow one.
const MORE_PATIENCE: Duration = Duration::from_secs(8);

/// What a connection that was made means for those to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub carrier: Carrier,
    /// Another one than the connection before, or the run before.
    pub is_other: bool,
    /// To be stored.
    pub remember: Option<LastWay>,
}

/// The ways of one client.
pub(super) struct Ways {
    choice: Transport,
    /// What works, as far as is known.
    best: Carrier,
    /// When an attempt begins with MQTT's own port, whatever is the best.
    tls_due: Moment,
    /// How long that was put off when it failed last and WebSocket came through.
    tls_put_off: Option<Duration>,
    /// The way that is being tried, or stands.
    current: Carrier,
    /// What is left to try in this attempt.
    other: Option<Carrier>,
    /// The last attempt, if there was one, came through.
    came_through: bool,
    /// Of the connection before.
    used: Carrier,
}

impl Ways {
    /// `last` is what was remembered.
    pub fn new(choice: Transport, last: Option<LastWay>, now: Moment, wall_ms: i64) -> Ways {
        let best = match (choice, last) {
            (Transport::WebSocket, _) => Carrier::WebSocket,
            (Transport::Automatic, Some(last)) => last.carrier,
            (Transport::Mqtt | Transport::Automatic, _) => Carrier::Tls,
        };
        // A time that is yet to come was told by a clock that was wrong, then or now.
        let age_ms = last.map_or(0, |last| wall_ms.saturating_sub(last.tls_tried_at_ms));
        let age = duration(age_ms);
        let blocked = last.filter(|last| last.carrier == Carrier::WebSocket);
        let tls_put_off =
            blocked.map(|last| duration(last.tls_again_ms).clamp(TLS_AGAIN_FIRST, DAY));
        Ways {
            choice,
            best,
            tls_due: now + tls_put_off.unwrap_or_default().saturating_sub(age),
            tls_put_off,
            current: best,
            other: None,
            came_through: true,
            used: last.map_or(Carrier::Tls, |last| last.carrier),
        }
    }

    /// An attempt begins: the way to try first.
    pub fn begin(&mut self, now: Moment) -> Carrier {
        self.current = self.best;
        self.other = None;
        if self.choice == Transport::Automatic {
            if now >= self.tls_due {
                self.current = Carrier::Tls;
            }
            self.other = Some(self.current.other());
        }
        self.current
    }

    /// The way that is being tried, or stands.
    pub fn current(&self) -> Carrier {
        self.current
    }

    /// How long it may be silent before the connection stands; `None` when there is no other to try.
    pub fn patience(&self) -> Option<Duration> {
        let patience = if self.came_through {
            PATIENCE
        } else {
            MORE_PATIENCE
        };
        self.other.map(|_| patience)
    }

    /// Nothing came of the current way: another one for the same attempt, if there is one.
    pub fn go_on(&mut self) -> Option<Carrier> {
        self.current = self.other.take()?;
        Some(self.current)
    }

    /// Neither came through.
    pub fn attempt_failed(&mut self) {
        self.came_through = false;
    }

    /// The hub accepted a connection.
    pub fn arrived(&mut self, now: Moment, wall_ms: i64) -> Arrival {
        let carrier = self.current;
        self.came_through = true;
        let is_other = self.used != carrier;
        self.used = carrier;
        let tried_tls = carrier == Carrier::Tls || self.other.is_none();
        let mut remember = None;
        if self.choice == Transport::Automatic {
            let is_news = self.best != carrier || (carrier == Carrier::WebSocket && tried_tls);
            if tried_tls {
                self.tls_put_off = match carrier {
                    Carrier::Tls => None,
                    Carrier::WebSocket => Some(self.put_off_longer()),
                };
                self.tls_due = now + self.tls_put_off.unwrap_or_default();
            }
            self.best = carrier;
            remember = is_news.then(|| LastWay {
                carrier,
                tls_tried_at_ms: wall_ms,
                tls_again_ms: millis(self.tls_put_off.unwrap_or_default()),
            });
        }
        Arrival {
            carrier,
            is_other,
            remember,
        }
    }

    /// Port 8883 has failed once more while WebSocket came through.
    fn put_off_longer(&self) -> Duration {
        let longer = |put_off: Duration| (put_off * 2).min(DAY);
        self.tls_put_off.map_or(TLS_AGAIN_FIRST, longer)
    }
}

/// What a clock that was set back made negative is none.
fn duration(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
