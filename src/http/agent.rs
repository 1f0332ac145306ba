//! One HTTP client for all calls of a device: its limits, and how it is interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{Request, header};

use super::failure::{body_failure, failure};
use super::time::ServerTime;
use crate::net::trust::Trust;
use crate::{Error, Result};

/// The published SDK's limit for one request, from the name's resolution to the answer's last byte.
pub(crate) const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!("spotflow-device-rust/", env!("CARGO_PKG_VERSION"));
const ANSWER_SIZE_MAX: u64 = 64 * 1024;
const HEADER_SIZE_MAX: usize = 16 * 1024;
const BUFFER_SIZE: usize = 16 * 1024;

// Time limits of a transfer. There is none for the whole: 64 MB over 2 KB/s take nine hours.
const TRANSFER_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The system lets a writer go on when a third of the socket's send buffer is free again; a modem's
/// deep queue lets that buffer grow to hundreds of KB, and a third of it takes a minute at 2 KB/s.
const TRANSFER_WRITE_TIMEOUT: Duration = Duration::from_secs(120);
/// The answer comes only after all that is left in that buffer.
const TRANSFER_ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// What an HTTP server answered.
pub(crate) struct Answer {
    pub status: u16,
    /// From the header `Date`.
    pub time: Option<ServerTime>,
    pub body: Vec<u8>,
}

/// Sends requests over HTTPS, one connection each: idle ones would cost a gateway's mobile link more
/// than a handshake. Clones are the same client, and [`cancel`](Agent::cancel) stops them all.
#[derive(Clone)]
pub(crate) struct Agent {
    inner: ureq::Agent,
    cancelled: Arc<AtomicBool>,
}

impl Agent {
    pub fn new(trust: &Trust) -> Agent {
        let config = Config::builder()
            .https_only(true)
            // A proxy of the environment would carry these calls, and not the MQTT link.
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .max_response_header_size(HEADER_SIZE_MAX)
            .input_buffer_size(2 * BUFFER_SIZE)
            .output_buffer_size(BUFFER_SIZE)
            .user_agent(USER_AGENT)
            .timeout_global(Some(CONTROL_TIMEOUT))
            .tls_config(trust.ureq())
            .build();
        Agent {
            inner: config.new_agent(),
            cancelled: Arc::default(),
        }
    }

    /// Makes a control call within `timeout`. An answer of any status is a success here.
    pub fn call(
        &self,
        action: &'static str,
        request: Request<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Answer> {
        // Only the agent's own settings share one TLS configuration; others are built per request.
        let request = if timeout == CONTROL_TIMEOUT {
            request
        } else {
            self.inner
                .configure_request(request)
                .timeout_global(Some(timeout))
                .build()
        };
        self.finish(action, self.inner.run(request))
    }

    /// Makes a request with a large body, for as long as the body makes progress.
    pub fn transfer(&self, action: &'static str, request: Request<&[u8]>) -> Result<Answer> {
        let request = self
            .inner
            .configure_request(request)
            .timeout_global(None)
            .timeout_resolve(Some(TRANSFER_CONNECT_TIMEOUT))
            .timeout_connect(Some(TRANSFER_CONNECT_TIMEOUT))
            .timeout_per_write(Some(TRANSFER_WRITE_TIMEOUT))
            .timeout_recv_response(Some(TRANSFER_ANSWER_TIMEOUT))
            .timeout_recv_body(Some(CONTROL_TIMEOUT))
            .build();
        self.finish(action, self.inner.run(request))
    }

    /// Interrupts all requests, now and from now on: they end with [`Error::Closed`].
    ///
    /// Resolving a name and connecting cannot be interrupted: a control call may still take up to its
    /// time limit, a transfer up to a minute. Don't wait for them.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.inner.clone().shutdown();
    }

    fn finish(
        &self,
        action: &'static str,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer> {
        let answer = response
            .map_err(|error| failure(action, error))
            .and_then(|response| read(action, response));
        // A cut connection can look like the end of an answer: the flag decides.
        if self.cancelled.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        answer
    }
}

fn read(action: &'static str, mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let time = response
        .headers()
        .get(header::DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(ServerTime::from_http_date);
    let body = response
        .body_mut()
        .with_config()
        .limit(ANSWER_SIZE_MAX)
        .read_to_vec()
        .map_err(|error| body_failure(action, error))?;
    Ok(Answer {
        status: response.status().as_u16(),
        time,
        body,
    })
}

#[cfg(test)]
mod tests;
