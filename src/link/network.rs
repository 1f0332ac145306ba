//! What the link does when the system tells of its network, instead of waiting for its own timers and TCP's.

use std::time::Duration;

use super::transport_error::TransportError;
use super::{Link, Phase};
use crate::clock::Moment;
use crate::net::changes::Changes;
use crate::outage::{HURRY_EVERY, Hurries};

/// What is owed for a shorter time may just be on its way; on a slow link, so many round trips.
const SILENCE_MIN: Duration = Duration::from_secs(1);
const ROUND_TRIPS: u32 = 4;

impl Link {
    pub(super) fn heed_network(&mut self, changes: Changes, now: Moment) {
        if changes.lost {
            self.network_lost(now);
        }
        if changes.back {
            self.network_back(now);
        }
    }

    /// A connection that may be affected is tested, by a ping: without an answer TCP ends it soon, or the network's
    /// return does.
    fn network_lost(&mut self, now: Moment) {
        self.network_lost_at = Some(now);
        let Phase::Open(connection) = &mut self.phase else {
            return;
        };
        let is_idle =
            connection.connected_at.is_some() && connection.session.silence(now).is_none();
        if is_idle
            && self.hurries.take(now)
            && let Err(error) = connection.session.ping()
        {
            self.fail(error.into(), now);
        }
    }

    /// Ends the wait for it; and a connection on which nothing has moved since it was lost is made anew.
    fn network_back(&mut self, now: Moment) {
        self.parts.supervisor.network_back(now);
        match self.standing(now).on_return(&mut self.hurries, now) {
            OnReturn::Nothing => {}
            OnReturn::Soon(at) => {
                if let Phase::BackingOff { until } = &mut self.phase {
                    *until = (*until).min(at);
                }
            }
            OnReturn::AtOnce => {
                log::debug!("the network has changed: connecting at once");
                if let Phase::Open(_) = self.phase {
                    self.fail(TransportError::NetworkBack, now);
                }
                if let Phase::BackingOff { .. } | Phase::Dialing(_) = self.phase {
                    self.start_attempt(now);
                }
            }
        }
    }

    fn standing(&self, now: Moment) -> Standing {
        match &self.phase {
            Phase::Idle => Standing::Idle,
            Phase::BackingOff { .. } => Standing::BackingOff {
                is_outage: self.reconnect.is_outage(),
            },
            Phase::Dialing(_) => Standing::Dialing,
            Phase::Open(connection) if connection.connected_at.is_none() => Standing::Connecting {
                has_heard: connection.transport.has_heard(),
            },
            Phase::Open(connection) => Standing::Connected(Connected {
                silence: connection.session.silence(now),
                round_trip: connection.took,
                since_loss: self.network_lost_at.map(|at| now.since(at)),
                has_few_unanswered: connection.transport.has_few_unanswered(),
            }),
        }
    }
}

/// Where the link stands when the network is said to be back. Pure from here on.
#[derive(Debug, Clone, Copy)]
enum Standing {
    /// It wants no connection.
    Idle,
    BackingOff {
        /// The hub could not be reached. One that is reached, and of no use, is something else.
        is_outage: bool,
    },
    Dialing,
    Connecting {
        /// Anything came from the hub.
        has_heard: bool,
    },
    Connected(Connected),
}

#[derive(Debug, Clone, Copy)]
struct Connected {
    /// For how long the hub has owed a sign of life.
    silence: Option<Duration>,
    round_trip: Duration,
    /// How long ago the network was said to be lost.
    since_loss: Option<Duration>,
    /// So that silence is no sign of a queue on the way.
    has_few_unanswered: bool,
}

/// What the link does.
#[derive(Debug, PartialEq, Eq)]
enum OnReturn {
    Nothing,
    /// It may be the news that matters, so a back-off waits only until the next hurry is given.
    Soon(Moment),
    /// Another attempt.
    AtOnce,
}

impl Standing {
    fn on_return(self, hurries: &mut Hurries, now: Moment) -> OnReturn {
        if !self.waits_for_network() {
            OnReturn::Nothing
        } else if hurries.take(now) {
            OnReturn::AtOnce
        } else {
            OnReturn::Soon(now + HURRY_EVERY)
        }
    }

    fn waits_for_network(self) -> bool {
        match self {
            Standing::Idle => false,
            Standing::BackingOff { is_outage } => is_outage,
            Standing::Dialing => true,
            Standing::Connecting { has_heard } => !has_heard,
            Standing::Connected(it) => it.silence.is_some_and(|silence| {
                let is_since_loss = it.since_loss.is_some_and(|since| silence >= since);
                silence >= SILENCE_MIN.max(ROUND_TRIPS * it.round_trip)
                    && (is_since_loss || it.has_few_unanswered)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What the link does if it has not hurried for long.
    fn on_return(standing: Standing) -> OnReturn {
        standing.on_return(&mut Hurries::new(Moment::START), Moment::START)
    }

    #[test]
    fn the_return_of_the_network_ends_every_wait_for_it_and_no_other() {
        for waits in [
            Standing::BackingOff { is_outage: true },
            Standing::Dialing,
            Standing::Connecting { has_heard: false },
        ] {
            assert_eq!(on_return(waits), OnReturn::AtOnce, "{waits:?}");
        }
        for does_not in [
            Standing::Idle,
            Standing::BackingOff { is_outage: false },
            Standing::Connecting { has_heard: true },
        ] {
            assert_eq!(on_return(does_not), OnReturn::Nothing, "{does_not:?}");
        }
    }

    #[test]
    fn a_connection_that_is_silent_is_made_anew_unless_what_it_waits_for_may_be_on_its_way() {
        const SILENT: Connected = Connected {
            silence: Some(SECOND),
            round_trip: Duration::from_millis(250),
            since_loss: None,
            has_few_unanswered: true,
        };
        let queued = Connected {
            has_few_unanswered: false,
            ..SILENT
        };
        let lost = |seconds: u32| Connected {
            since_loss: Some(SECOND * seconds),
            ..queued
        };
        for silent in [SILENT, lost(1), lost(0)] {
            let standing = Standing::Connected(silent);
            assert_eq!(on_return(standing), OnReturn::AtOnce, "{silent:?}");
        }
        let owes_nothing = Connected {
            silence: None,
            ..SILENT
        };
        let is_slow = Connected {
            round_trip: Duration::from_millis(251),
            ..SILENT
        };
        let has_just_asked = Connected {
            silence: Some(Duration::from_millis(999)),
            round_trip: Duration::ZERO,
            ..SILENT
        };
        for lives in [owes_nothing, is_slow, has_just_asked, queued, lost(2)] {
            let standing = Standing::Connected(lives);
            assert_eq!(on_return(standing), OnReturn::Nothing, "{lives:?}");
        }
    }

    #[test]
    fn a_network_that_comes_and_goes_all_the_time_is_heeded_only_so_often() {
        let mut hurries = Hurries::new(Moment::START);
        let mut back = |seconds: u32| {
            let waits = Standing::BackingOff { is_outage: true };
            waits.on_return(&mut hurries, Moment::START + SECOND * seconds)
        };
        for _ in 0..3 {
            assert_eq!(back(0), OnReturn::AtOnce);
        }
        for seconds in [0, 9] {
            let soon = Moment::START + SECOND * seconds + HURRY_EVERY;
            assert_eq!(back(seconds), OnReturn::Soon(soon));
        }
        assert_eq!(back(10), OnReturn::AtOnce);
        assert!(matches!(back(10), OnReturn::Soon(_)));
    }
}
