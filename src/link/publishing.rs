//! Messages to bytes: which go out on the connection that stands, as the window and the suspects allow.

use super::LinkParts;
use super::connection::Connection;
use super::suspects::{Step, Suspects, Verdict};
use super::transport::TransportError;
use crate::clock::Moment;
use crate::outbox::SetAside;

/// What may wait to be sent before more Messages are taken: a wide window of large ones would
/// otherwise be copied into the output at once.
const OUTPUT_BYTES: usize = 64 << 10;

/// Sends what may be sent.
pub(super) fn publish(
    connection: &mut Connection,
    parts: &LinkParts,
    suspects: &mut Suspects,
    now: Moment,
) -> Result<(), TransportError> {
    if suspects.is_trying() {
        // What is written here does not count as unsettled.
        connection.transport.write(&mut connection.session, now)?;
    }
    let settled = connection.is_settled();
    let session = &mut connection.session;
    let step = suspects.step(now, settled, |place| {
        if place >= session.in_flight().count()
            && let Some(message) = parts.outbox.take_behind()
        {
            session.take_in(message);
        }
        place < session.in_flight().count()
    });
    match step {
        Step::All => return publish_ready(connection, parts, now),
        Step::Nothing => {}
        Step::Ping => session.ping()?,
        Step::One(place) => session.send(place)?,
        Step::SetAside(verdicts) => {
            set_aside(verdicts, connection, parts);
            parts.outbox.record();
            return publish_ready(connection, parts, now);
        }
    }
    connection.transport.write(&mut connection.session, now)
}

/// Sends again what is in flight from the connection before, then takes Messages while the window has
/// places.
fn publish_ready(
    connection: &mut Connection,
    parts: &LinkParts,
    now: Moment,
) -> Result<(), TransportError> {
    let Connection {
        session, transport, ..
    } = connection;
    loop {
        while session.output().len() < OUTPUT_BYTES {
            let next = match session.in_flight().next_unsent() {
                Some((place, id)) => parts.outbox.has_place(id).then_some(place),
                None => parts.outbox.take().map(|message| {
                    session.take_in(message);
                    session.in_flight().count() - 1
                }),
            };
            let Some(place) = next else { break };
            session.send(place)?;
        }
        let full = session.output().len() >= OUTPUT_BYTES;
        transport.write(session, now)?;
        // If the socket takes no more, it says so when it does again.
        if !full || session.output().len() >= OUTPUT_BYTES {
            return Ok(());
        }
    }
}

/// Takes Messages out of the flight, and lets the outbox set them aside with its next record.
pub(super) fn set_aside(verdicts: Vec<Verdict>, connection: &mut Connection, parts: &LinkParts) {
    for verdict in verdicts {
        let reason = reason(&verdict);
        log::error!("a Message is set aside: {reason}");
        connection.session.forget(verdict.id);
        parts.outbox.set_aside_in_flight(SetAside {
            id: verdict.id,
            reason,
            identity: connection.session.device().clone(),
            now_ms: parts.clock.wall_ms(),
        });
    }
}

fn reason(verdict: &Verdict) -> String {
    let time = humantime::format_duration(std::time::Duration::from_secs(verdict.time.as_secs()));
    let witness = match verdict.witness {
        true => "; without it the connection lasted, and the hub took the Message behind it",
        false => "; without it the connection lasted",
    };
    format!(
        "the hub closed the connection each of the {} times that it got this Message alone, within {time}{witness}",
        verdict.refusals
    )
}
