//! Step 3 of the link: bytes to events, events to those whom they concern, Messages to bytes.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::LinkParts;
use super::connection::Connection;
use super::mailbox::{CloudReceipt, Mailbox};
use super::session::{Event, SessionError};
use super::suspects::Suspects;
use super::throttling::{THROTTLED, Throttling};
use super::transport_error::TransportError;
use super::ways::{Arrival, Ways};
use crate::clock::Moment;
use crate::methods::Call;

/// One pass over the connection, with all that it takes.
pub(super) struct Exchange<'a> {
    pub connection: &'a mut Connection,
    pub parts: &'a LinkParts,
    pub mailbox: &'a Arc<Mailbox>,
    pub suspects: &'a mut Suspects,
    pub ways: &'a mut Ways,
    pub throttling: &'a mut Throttling,
    pub now: Moment,
}

impl Exchange<'_> {
    /// Does all that can be done without waiting. `Break` says that the link has left the hub, as it wanted.
    pub fn run(mut self) -> Result<ControlFlow<()>, TransportError> {
        self.connection.paced_until = None;
        // Bytes that came with the connection's end count: what they acknowledge is acknowledged.
        let read = self.connection.read(self.now);
        self.handle_all()?;
        read?;
        // Before the look at the time: what others had put there since has not waited until now.
        self.connection.write(self.now)?;
        // Behind the read: after a suspend, what came before it is still to be read.
        if self.connection.is_late(self.now) {
            return Err(TransportError::TimedOut);
        }
        self.connection.session.tick(self.now)?;
        if self.connection.leave_by.is_some() {
            return self.leave();
        }
        if self.connection.session.is_connected() {
            self.drive_twin()?;
            self.publish()?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What one read brought is recorded together, also if it ends the connection.
    fn handle_all(&mut self) -> Result<(), TransportError> {
        let mut has_acknowledged = false;
        let mut handled = Ok(());
        while handled.is_ok()
            && let Some(event) = self.connection.session.next_event()
        {
            has_acknowledged |= matches!(event, Event::Acknowledged(_));
            handled = self.handle(event);
        }
        if has_acknowledged {
            self.parts.outbox.record();
        }
        handled
    }

    fn handle(&mut self, event: Event) -> Result<(), TransportError> {
        let (parts, now) = (self.parts, self.now);
        match event {
            Event::Connected => {
                self.connection.connected_at = Some(now);
                self.suspects.connected(now);
                self.arrived();
                parts.supervisor.connection_changed(true, None);
            }
            Event::Refused(refusal) => {
                return Err(SessionError::Refused(refusal).into());
            }
            Event::Acknowledged(id) => {
                self.connection.has_acknowledged = true;
                // Before the acknowledgement, so that both are recorded together.
                let verdicts = self.suspects.acknowledged(id, now);
                self.set_aside(verdicts);
                parts.outbox.acknowledge(id);
                self.throttling.acknowledged(now);
            }
            Event::TwinAnswer(answer) => {
                if answer.status == THROTTLED && parts.pacer.heeds_throttling() {
                    self.throttling.refused(now);
                }
                let twin = &mut self.connection.twin;
                twin.answered(&answer, &parts.properties, now);
            }
            Event::DesiredPatch(payload) => {
                let twin = &mut self.connection.twin;
                twin.desired_patch(&payload, &parts.properties);
            }
            Event::CloudMessage {
                packet_id,
                properties,
                payload,
            } => {
                if let Some(inbox) = &parts.inbox {
                    let mailbox = Arc::clone(self.mailbox);
                    let receipt = CloudReceipt {
                        connection: self.connection.number,
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
                        connection: self.connection.number,
                        cancellation: self.connection.calls.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Says by which way, and has it remembered.
    fn arrived(&mut self) {
        let wall_ms = self.parts.clock.wall_ms();
        let Arrival {
            carrier,
            is_other,
            remember,
        } = self.ways.arrived(self.now, wall_ms);
        if is_other {
            log::info!("connected to the hub, from now on by {carrier}");
        } else {
            log::info!("connected to the hub");
        }
        self.parts.status.connected(carrier.transport());
        if let Some(way) = remember {
            self.parts.supervisor.remember(way);
        }
    }

    /// Asks for the twin and tells the Reported Properties, unless a Message is probed.
    fn drive_twin(&mut self) -> Result<(), SessionError> {
        if self.suspects.wants_silence() {
            return Ok(());
        }
        let Connection { twin, session, .. } = &mut *self.connection;
        twin.drive(session, &self.parts.properties, self.now)
    }

    /// Waits for what is in flight, within its limit; then DISCONNECT, and the end once it is sent.
    fn leave(&mut self) -> Result<ControlFlow<()>, TransportError> {
        let (connection, now) = (&mut *self.connection, self.now);
        let overdue = connection.leave_by.is_some_and(|limit| now >= limit);
        if !connection.said_goodbye && (connection.session.is_quiet() || overdue) {
            connection.said_goodbye = true;
            connection.leave_by = Some(now + super::LEAVE_LIMIT);
            connection.session.disconnect()?;
            connection.write(now)?;
            connection.transport.say_goodbye()?;
        }
        connection.write(now)?;
        let overdue = connection.leave_by.is_some_and(|limit| now >= limit);
        if connection.said_goodbye && (connection.is_flushed() || overdue) {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }
}
