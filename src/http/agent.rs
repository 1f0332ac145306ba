//! One HTTP client for all calls of a device: its limits, and how it is interrupted.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

pub(crate) use super::answer::Answer;
use super::exchange::{Limits, exchange};
use super::failure::failure;
use super::request::Request;
use super::waiting::Cancellation;
use crate::Result;
use crate::net::trust::Trust;

/// The published SDK's limit for one request, from the name's resolution to the answer's last byte.
pub(crate) const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// There is no limit for the whole: 64 MB over 2 KB/s take nine hours.
const TRANSFER: Limits = Limits {
    whole: None,
    look_up: Duration::from_secs(30),
    connect: Duration::from_secs(30),
    // The system lets a writer go on when a third of the socket's send buffer is free again; a modem's
    // deep queue lets that buffer grow to hundreds of KB, and a third of it takes a minute at 2 KB/s.
    write_stall: Duration::from_secs(120),
    // The answer comes only after all that is left in that buffer.
    head: Duration::from_secs(300),
    body: CONTROL_TIMEOUT,
};

/// Sends requests over HTTPS, one connection each; follows no redirects, and no proxy of the
/// environment, which would carry these calls and not the MQTT link. Clones are the same client, and
/// [`cancel`](Agent::cancel) stops them all.
#[derive(Clone)]
pub(crate) struct Agent {
    tls: Arc<ClientConfig>,
    cancellation: Arc<Cancellation>,
}

impl Agent {
    pub fn new(trust: &Trust) -> Agent {
        Agent {
            tls: trust.rustls(),
            cancellation: Arc::default(),
        }
    }

    /// Makes a control call within `timeout`. An answer of any status is a success here.
    pub fn call(
        &self,
        action: &'static str,
        request: &Request<'_>,
        timeout: Duration,
    ) -> Result<Answer> {
        let limits = Limits {
            whole: Some(timeout),
            look_up: timeout,
            connect: timeout,
            write_stall: timeout,
            head: timeout,
            body: timeout,
        };
        self.run(action, request, &limits)
    }

    /// Makes a request with a large body, for as long as the body makes progress.
    pub fn transfer(&self, action: &'static str, request: &Request<'_>) -> Result<Answer> {
        self.run(action, request, &TRANSFER)
    }

    /// Interrupts all requests, now and from now on: they end with [`Error::Closed`](crate::Error),
    /// at once. Only the system's resolver cannot be interrupted: its thread is left behind.
    pub fn cancel(&self) {
        self.cancellation.cancel();
    }

    fn run(&self, action: &'static str, request: &Request<'_>, limits: &Limits) -> Result<Answer> {
        let answer = exchange(request, limits, Arc::clone(&self.tls), &self.cancellation);
        answer.map_err(|cause| failure(action, cause))
    }
}

#[cfg(test)]
mod tests;
