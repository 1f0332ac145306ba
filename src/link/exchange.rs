//! Step 3 of the link: bytes to events, events to the rooms they concern, Messages to bytes.

use std::sync::Arc;

use super::LinkParts;
use super::connection::Connection;
use super::mailbox::{CloudReceipt, Mailbox};
use super::publishing::{publish, set_aside};
use super::session::{Event, SessionError};
use super::suspects::Suspects;
use super::transport::TransportError;
use crate::clock::Moment;
use crate::methods::Call;

/// How the connection goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stands, or is still being made.
    Open,
    /// The link has said goodbye, as it wanted.
    Left,
}

/// Does all that can be done without waiting.
pub(super) fn exchange(
    connection: &mut Connection,
    parts: &LinkParts,
    mailbox: &Arc<Mailbox>,
    suspects: &mut Suspects,
    now: Moment,
) -> Result<Outcome, TransportError> {
    if connection.is_late(now) {
        return Err(TransportError::TimedOut);
    }
    // Bytes that came with the connection's end count: what they acknowledge is acknowledged.
    let read = connection.transport.read(&mut connection.session, now);
    handle_all(connection, parts, mailbox, suspects, now)?;
    read?;
    // Behind the read: after a suspend, what came before it is still to be read.
    connection.session.tick(now)?;
    if connection.leave_by.is_some() {
        return leave(connection, now);
    }
    if connection.session.is_connected() {
        if !suspects.wants_silence() {
            connection
                .twin
                .drive(&mut connection.session, &parts.properties, now)?;
        }
        publish(connection, parts, suspects, now)?;
    } else {
        connection.transport.write(&mut connection.session, now)?;
    }
    Ok(Outcome::Open)
}

/// What one read brought is recorded together, also if it ends the connection.
fn handle_all(
    connection: &mut Connection,
    parts: &LinkParts,
    mailbox: &Arc<Mailbox>,
    suspects: &mut Suspects,
    now: Moment,
) -> Result<(), TransportError> {
    let mut has_acknowledged = false;
    let mut handled = Ok(());
    while handled.is_ok()
        && let Some(event) = connection.session.next_event()
    {
        has_acknowledged |= matches!(event, Event::Acknowledged(_));
        handled = handle(event, connection, parts, mailbox, suspects, now);
    }
    if has_acknowledged {
        parts.outbox.record();
    }
    handled
}

fn handle(
    event: Event,
    connection: &mut Connection,
    parts: &LinkParts,
    mailbox: &Arc<Mailbox>,
    suspects: &mut Suspects,
    now: Moment,
) -> Result<(), TransportError> {
    match event {
        Event::Connected => {
            connection.connected_at = Some(now);
            suspects.connected(now);
            log::info!("connected to the hub");
            parts.status.connected();
            parts.supervisor.connection_changed(true, None);
        }
        Event::Refused(refusal) => {
            return Err(SessionError::Refused(refusal).into());
        }
        Event::Acknowledged(id) => {
            connection.has_acknowledged = true;
            // Before the acknowledgement, so that both are recorded together.
            set_aside(suspects.acknowledged(id, now), connection, parts);
            parts.outbox.acknowledge(id);
        }
        Event::TwinAnswer {
            request,
            status,
            version,
            payload,
        } => connection
            .twin
            .answered(request, status, version, &payload, &parts.properties, now),
        Event::DesiredPatch(payload) => connection.twin.desired_patch(&payload, &parts.properties),
        Event::CloudMessage {
            packet_id,
            properties,
            payload,
        } => {
            if let Some(inbox) = &parts.inbox {
                let mailbox = Arc::clone(mailbox);
                let receipt = CloudReceipt {
                    connection: connection.number,
                    packet_id,
                };
                let acknowledge = move || mailbox.acknowledge_cloud_message(receipt);
                inbox.accept(properties, payload, Box::new(acknowledge));
            }
        }
        Event::MethodCall {
            name,
            request_id,
            body,
        } => {
            if let Some(methods) = &parts.methods {
                methods.receive(Call {
                    name,
                    body,
                    request_id,
                    connection: connection.number,
                    cancellation: connection.calls.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Waits for what is in flight, within its limit; then DISCONNECT, and the end once it is sent.
fn leave(connection: &mut Connection, now: Moment) -> Result<Outcome, TransportError> {
    let overdue = connection.leave_by.is_some_and(|limit| now >= limit);
    if !connection.said_goodbye && (connection.session.is_quiet() || overdue) {
        connection.said_goodbye = true;
        connection.leave_by = Some(now + super::LEAVE_LIMIT);
        connection.session.disconnect()?;
        connection.transport.write(&mut connection.session, now)?;
        connection.transport.close_notify();
    }
    connection.transport.write(&mut connection.session, now)?;
    let flushed = connection.transport.is_flushed(&mut connection.session);
    let overdue = connection.leave_by.is_some_and(|limit| now >= limit);
    if connection.said_goodbye && (flushed || overdue) {
        return Ok(Outcome::Left);
    }
    Ok(Outcome::Open)
}
