//! What the link does when the system tells of its network, instead of waiting for its own timers and TCP's.

use std::time::Duration;

use super::transport_error::TransportError;
use super::{Link, Phase};
use crate::clock::Moment;
use crate::net::changes::Changes;
use crate::outage::HURRY_EVERY;

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
        if !self.waits_for_network(now) {
            return;
        }
        if !self.hurries.take(now) {
            // It may be the news that matters, so it waits only until the next hurry is given.
            if let Phase::BackingOff { until } = &mut self.phase {
                *until = (*until).min(now + HURRY_EVERY);
            }
            return;
        }
        log::debug!("the network has changed: connecting at once");
        if let Phase::Open(_) = self.phase {
            self.fail(TransportError::NetworkBack, now);
        }
        if let Phase::BackingOff { .. } | Phase::Dialing(_) = self.phase {
            self.start_attempt(now);
        }
    }

    fn waits_for_network(&self, now: Moment) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::BackingOff { .. } => self.reconnect.is_outage(),
            Phase::Dialing(_) => true,
            Phase::Open(connection) if connection.connected_at.is_none() => {
                !connection.transport.has_heard()
            }
            Phase::Open(connection) => {
                let silence = connection.session.silence(now);
                silence.is_some_and(|silence| {
                    let since_loss = self.network_lost_at.map(|at| now.since(at));
                    let is_since_loss = since_loss.is_some_and(|since| silence >= since);
                    silence >= SILENCE_MIN.max(ROUND_TRIPS * connection.took)
                        && (is_since_loss || connection.transport.has_few_unanswered())
                })
            }
        }
    }
}
