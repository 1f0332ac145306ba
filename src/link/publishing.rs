//! Messages to bytes: which go out on the connection that stands, as the window, the suspects and the pace allow.

use std::time::Duration;

use super::connection::Connection;
use super::exchange::Exchange;
use super::suspects::{Step, Verdict};
use super::transport_error::TransportError;
use crate::outbox::SetAside;
use crate::pacing::pacer::Turn;
use crate::store::rows::lane;

/// What may wait to be sent before more Messages are taken: a wide window of large ones would
/// otherwise be copied into the output at once.
const OUTPUT_BYTES: usize = 64 << 10;

impl Exchange<'_> {
    /// Sends what may be sent.
    pub(super) fn publish(&mut self) -> Result<(), TransportError> {
        if self.suspects.is_trying() {
            // What is written here does not count as unsettled.
            self.connection.write(self.now)?;
        }
        let (now, settled) = (self.now, self.connection.is_settled());
        let (session, outbox) = (&mut self.connection.session, &self.parts.outbox);
        let step = self.suspects.step(now, settled, |place| {
            if place >= session.in_flight().count()
                && let Some(message) = outbox.take_behind(&mut Turn::free(now))
            {
                session.take_in(message);
            }
            place < session.in_flight().count()
        });
        match step {
            Step::All => return self.publish_ready(),
            Step::Nothing => {}
            Step::Ping => session.ping()?,
            // One, in a minute or so: that is no matter of pace.
            Step::One(place) => {
                session.send(place)?;
            }
            Step::SetAside(verdicts) => {
                self.set_aside(verdicts);
                self.parts.outbox.record();
                return self.publish_ready();
            }
        }
        self.connection.write(self.now)
    }

    /// Sends again what is in flight from the connection before, then takes Messages while the window has
    /// places, at their pace.
    fn publish_ready(&mut self) -> Result<(), TransportError> {
        let (outbox, pacer, now) = (&self.parts.outbox, &self.parts.pacer, self.now);
        let Connection {
            session,
            transport,
            paced_until,
            ..
        } = &mut *self.connection;
        loop {
            while session.output().len() < OUTPUT_BYTES {
                let mut turn = self.throttling.turn(pacer.turn(now), now);
                let next = match session.in_flight().next_unsent() {
                    Some((place, id)) => {
                        (outbox.has_place(id) && turn.may_repeat()).then_some((place, id))
                    }
                    None => outbox.take(&mut turn).map(|message| {
                        let id = message.id;
                        session.take_in(message);
                        (session.in_flight().count() - 1, id)
                    }),
                };
                *paced_until = turn.held_until();
                let Some((place, id)) = next else { break };
                let bytes = session.send(place)?;
                pacer.sent(lane::priority(id), bytes, now);
                self.throttling.sent(now);
            }
            let full = session.output().len() >= OUTPUT_BYTES;
            transport.write(session, self.now)?;
            // If the socket takes no more, it says so when it does again.
            if !full || session.output().len() >= OUTPUT_BYTES {
                return Ok(());
            }
        }
    }

    /// Takes Messages out of the flight, and lets the outbox set them aside with its next record.
    pub(super) fn set_aside(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            let reason = reason(&verdict);
            log::error!("a Message is set aside: {reason}");
            let session = &mut self.connection.session;
            session.forget(verdict.id);
            self.parts.outbox.set_aside_in_flight(SetAside {
                id: verdict.id,
                reason,
                identity: session.device().clone(),
                now_ms: self.parts.clock.wall_ms(),
            });
        }
    }
}

fn reason(verdict: &Verdict) -> String {
    let time = humantime::format_duration(Duration::from_secs(verdict.time.as_secs()));
    let witness = if verdict.witness {
        "; without it the connection lasted, and the hub took the Message behind it"
    } else {
        "; without it the connection lasted"
    };
    format!(
        "the hub closed the connection each of the {} times that it got this Message alone, within {time}{witness}",
        verdict.refusals
    )
}
