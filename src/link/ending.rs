//! How a connection ends, or does not come about, and what follows: another address or way, or a back-off.

use std::io;
use std::time::Duration;

use super::attempt::Others;
use super::connection::Connection;
use super::reconnect::Ended;
use super::rivals::Loss;
use super::session::SessionError;
use super::suspects::{End, Suspects};
use super::transport_error::TransportError;
use super::{Link, Phase};
use crate::clock::Moment;
use crate::error::{Chain, Error};
use crate::failure_log::retry_in;

impl Link {
    /// The connection failed: another address or way of the same attempt, or another attempt later.
    pub(super) fn fail(&mut self, mut error: TransportError, now: Moment) {
        let Phase::Open(connection) = &mut self.phase else {
            return;
        };
        let hub_has_spoken = matches!(error, TransportError::Session(SessionError::Refused(_)));
        if hub_has_spoken {
            // It is not asked once more at another address.
            connection.other_addresses.clear();
        }
        let end = end_of(connection, &error);
        if is_amid_messages(connection, end)
            && !self.suspects.is_trying()
            && self.parts.pacer.heeds_throttling()
        {
            self.throttling.closed(now);
        }
        let refused = lost(&mut self.suspects, connection, end, now);
        let other_addresses = match connection.connected_at {
            None => std::mem::take(&mut connection.other_addresses),
            Some(_) => Vec::new(),
        };
        if let Some(at) = connection.connected_at {
            let ended = Ended {
                lasted: now.since(at),
                has_acknowledged: connection.has_acknowledged,
            };
            self.reconnect.ended(ended, now);
            let loss = Loss {
                lasted: ended.lasted,
                is_closed: matches!(error, TransportError::Closed),
                is_settled: connection.is_settled(),
            };
            let is_taken = self.rivals.lost(loss);
            if is_taken {
                error = TransportError::TakenAway;
            }
            if !is_taken || self.rivals.may_tell(now) {
                self.failures.succeeded();
            }
        } else {
            self.rivals.not_connected();
        }
        if refused {
            self.reconnect.start_over();
        }
        let host = connection.host.clone();
        let has_connected = connection.connected_at.is_some();
        if !has_connected {
            self.parts.dialer.disappointed(&host);
        }
        if let TransportError::Session(SessionError::Refused(refusal)) = &error
            && refusal.renew_credentials
        {
            self.credentials = None;
            self.parts.supervisor.renew_credentials();
        }
        let error = error.into_error();
        self.close_connection(Some(&error));
        if self.closing {
            self.phase = Phase::Idle;
        } else if has_connected {
            self.back_off(&error, now);
        } else if hub_has_spoken {
            self.attempt_failed(&error, now);
        } else if other_addresses.is_empty() {
            self.way_failed(error, now);
        } else {
            let others = Others {
                addresses: other_addresses,
                failure: error,
            };
            self.dial(host, Some(others), now);
        }
    }

    /// The connection was left as planned; with credentials and no wish to end, the next follows.
    pub(super) fn left(&mut self, now: Moment) {
        self.reconnect.start_over();
        self.close_connection(None);
        self.phase = Phase::Idle;
        self.start_attempt(now);
    }

    /// Drops the connection, if there is one, and keeps what is in flight for the next.
    pub(super) fn close_connection(&mut self, error: Option<&Error>) {
        if let Phase::Open(connection) = std::mem::replace(&mut self.phase, Phase::Idle) {
            let Connection {
                mut transport,
                session,
                connected_at,
                calls,
                ..
            } = *connection;
            calls.cancel();
            transport.deregister(self.poller.registry());
            self.in_flight = session.into_in_flight();
            self.parts.properties.connection_lost();
            if let Some(inbox) = &self.parts.inbox {
                inbox.connection_lost();
            }
            if connected_at.is_some() {
                self.parts.status.disconnected(error);
                self.parts.supervisor.connection_changed(false, error);
            }
        }
    }

    /// There was no connection at all.
    pub(super) fn attempt_failed(&mut self, error: &Error, now: Moment) {
        self.ways.attempt_failed();
        self.suspects.not_connected();
        self.rivals.not_connected();
        self.back_off(error, now);
    }

    /// Waits before the next attempt; the log says each reason once.
    pub(super) fn back_off(&mut self, error: &Error, now: Moment) {
        let delay = if self.suspects.wants_witness() {
            Duration::ZERO
        } else {
            self.reconnect.next_delay(now, fastrand::f64())
        };
        self.phase = Phase::BackingOff { until: now + delay };
        self.parts.status.failed(error);
        let then = retry_in(delay);
        self.failures
            .failed("not connected", Chain(error).to_string(), &then);
    }
}

/// Tells the suspects how the connection ended, unless the link was leaving it; returns whether the hub
/// refused a Message.
fn lost(suspects: &mut Suspects, connection: &Connection, end: End, now: Moment) -> bool {
    if connection.connected_at.is_none() || connection.leave_by.is_some() {
        return false;
    }
    suspects.lost(end, connection.session.in_flight().oldest_sent(), now)
}

fn end_of(connection: &mut Connection, error: &TransportError) -> End {
    match error {
        TransportError::Closed if connection.is_flushed() => End::Closed,
        TransportError::Closed => End::Broken,
        TransportError::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => End::Broken,
        _ => End::Failed,
    }
}

/// Whether the hub may have ended it because of what was sent. One that closes before it has read everything breaks it.
fn is_amid_messages(connection: &Connection, end: End) -> bool {
    connection.leave_by.is_none()
        && end != End::Failed
        && connection.session.in_flight().oldest_sent().is_some()
}
