//! One HTTP client for all calls of a device: its limits, and how it is interrupted.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http;

use super::answer::{Answer, MediaType};
use super::error::{AnswerError, HttpError};
use super::request::Request;
use super::time::ServerTime;
use super::transport::{Course, HttpsConnector, NoResolver};
use crate::Result;
use crate::net::cancel::Cancellation;
use crate::net::dial::{DialLimits, Dialer};
use crate::net::trust::Trust;
use crate::outage::patience;
use crate::pacing::upload::UploadPace;

/// How long one step of a control call may take: to look up the name, to shake hands, to answer, to send the answer. The
/// published SDK gives so much to the whole of a request.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all of them may take: with a round trip of 2 s and 2 KB/s they take twelve seconds. So this is no limit for
/// silence, but for a server that never gets to the end.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The longer a server was out of reach, the more a call may take that waits for it to be back, up to this: a network that
/// is slower still gets through in the end.
const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(120);

const USER_AGENT: &str = concat!("spotflow-device-rust/", env!("CARGO_PKG_VERSION"));
const HEAD_BYTES_MAX: usize = 16 << 10;
/// More than any answer of the Platform.
const BODY_BYTES_MAX: usize = 64 << 10;

/// How long a call may take.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    /// From the lookup to the answer's last byte.
    whole: Option<Duration>,
    /// To resolve the name, and to shake hands.
    step: Option<Duration>,
    /// Between two moments at which the system took bytes to send.
    write_stall: Option<Duration>,
    /// From the request's last byte to the answer's head.
    head: Option<Duration>,
    /// From there to its end.
    body: Option<Duration>,
    /// For how long the server has been out of reach, if it has.
    outage: Option<Duration>,
}

impl Limits {
    fn of_dial(&self) -> DialLimits {
        let limits = self.outage.map_or(DialLimits::PATIENT, DialLimits::after);
        DialLimits {
            name: self.step.unwrap_or(limits.name),
            deadline: self.whole.map(|limit| Instant::now() + limit),
            ..limits
        }
    }
}

/// How long a control call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    /// From the lookup to the answer's last byte.
    pub whole: Duration,
    /// For how long the server has been out of reach, if the call waits for it to be back: then less time is spent on
    /// silence.
    pub outage: Option<Duration>,
}

impl CallLimits {
    /// For a call that nothing waits for.
    pub fn within(whole: Duration) -> CallLimits {
        CallLimits {
            whole,
            outage: None,
        }
    }

    /// The limits of its steps. In an outage none is longer than usual until a part of it is, and then no longer than the
    /// [hub's connection](patience) bears silence: so its end is noticed soon.
    fn of_steps(self) -> Limits {
        let usual = Limits {
            whole: Some(self.whole),
            step: Some(STEP_TIMEOUT),
            write_stall: None,
            head: Some(STEP_TIMEOUT),
            body: Some(STEP_TIMEOUT),
            outage: self.outage,
        };
        let Some(lasted) = self.outage else {
            return usual;
        };
        let step = STEP_TIMEOUT.max(patience(lasted));
        Limits {
            whole: Some(self.whole.max((lasted / 2).min(CALL_TIMEOUT_MAX))),
            step: Some(step),
            head: Some((lasted / 2).clamp(ANSWER_MIN, step)),
            body: Some(step),
            ..usual
        }
    }
}

/// An answer that takes a server longer than this is waited for all the same, however short the outage was: to ask
/// again would only be more work for it.
pub(super) const ANSWER_MIN: Duration = Duration::from_secs(5);

/// There is no limit for the whole: 64 MB over 2 KB/s take nine hours.
const TRANSFER: Limits = Limits {
    whole: None,
    step: None,
    // The system lets a writer go on when a third of the socket's send buffer is free again; a modem's
    // deep queue lets that buffer grow to hundreds of KB, and a third of it takes a minute at 2 KB/s.
    write_stall: Some(Duration::from_secs(120)),
    // The answer comes only after all that is left in that buffer.
    head: Some(Duration::from_secs(300)),
    body: Some(STEP_TIMEOUT),
    outage: None,
};

/// Sends requests over HTTPS, one connection each; follows no redirects. Clones are the same client, and
/// [`cancel`](Agent::cancel) stops them all.
#[derive(Clone)]
pub(crate) struct Agent {
    dialer: Arc<Dialer>,
    trust: Trust,
    cancellation: Arc<Cancellation>,
    /// Of transfers.
    pace: Option<Arc<UploadPace>>,
}

impl Agent {
    pub fn new(dialer: Arc<Dialer>, trust: Trust) -> Agent {
        warn_of_wire_log();
        Agent {
            dialer,
            trust,
            cancellation: Arc::default(),
            pace: None,
        }
    }

    /// The same client, whose transfers keep to this pace.
    pub fn at_pace(self, pace: Arc<UploadPace>) -> Agent {
        Agent {
            pace: Some(pace),
            ..self
        }
    }

    /// Makes a control call. An answer of any status is a success here.
    pub fn call(
        &self,
        action: &'static str,
        request: &Request<'_>,
        limits: CallLimits,
    ) -> Result<Answer> {
        let answer = self.run(request, None, limits.of_steps(), None);
        answer.map_err(|error| error.into_error(action))
    }

    /// Makes a request with a large body, for as long as the body makes progress.
    pub fn transfer(&self, action: &'static str, request: &Request<'_>) -> Result<Answer> {
        let _transfer = self.dialer.uplink.begin_transfer();
        let answer = self.run(request, None, TRANSFER, self.pace.clone());
        answer.map_err(|error| error.into_error(action))
    }

    /// The same with a body that is never in memory as a whole, in the place of the request's own.
    pub fn transfer_from(
        &self,
        action: &'static str,
        request: &Request<'_>,
        body: StreamedBody<'_>,
    ) -> Result<Answer> {
        let _transfer = self.dialer.uplink.begin_transfer();
        let answer = self.run(request, Some(body), TRANSFER, self.pace.clone());
        answer.map_err(|error| error.into_error(action))
    }

    /// Interrupts all requests, now and from now on: they end with [`Error::Closed`](crate::Error),
    /// at once. Only the system's resolver cannot be interrupted: its thread is left behind.
    pub fn cancel(&self) {
        self.cancellation.cancel();
    }

    fn run(
        &self,
        request: &Request<'_>,
        body: Option<StreamedBody<'_>>,
        limits: Limits,
        pace: Option<Arc<UploadPace>>,
    ) -> Result<Answer, HttpError> {
        let course = Arc::<Course>::default();
        let connector = HttpsConnector {
            dialer: Arc::clone(&self.dialer),
            host: request.host.clone(),
            limits: limits.of_dial(),
            handshake: limits.step,
            tls: self.trust.rustls(),
            cancellation: Arc::clone(&self.cancellation),
            course: Arc::clone(&course),
            pace,
        };
        let request = request.build().ok_or(HttpError::Unmade)?;
        // One for each call: it tells how that call went, and keeps nothing for another.
        let agent = ureq::Agent::with_parts(config(limits), connector, NoResolver);
        let response = match body {
            None => agent.run(request),
            Some(body) => {
                let mut request = request.map(drop);
                let headers = request.headers_mut();
                headers.insert(http::header::CONTENT_LENGTH, body.bytes.into());
                let reader = UntilAnswered {
                    body: body.reader,
                    course: &course,
                };
                let mut reader = reader.take(body.bytes);
                agent.run(request.map(|()| ureq::SendBody::from_reader(&mut reader)))
            }
        };
        let response = response.map_err(|error| course.explain(error.into()))?;
        read(response, &course)
    }
}

/// A body that is read while it is sent.
pub(crate) struct StreamedBody<'a> {
    /// Gives exactly so many bytes, or an error.
    pub bytes: u64,
    pub reader: &'a mut dyn Read,
}

/// Nothing of a body is sent any more once there is an answer, but ureq goes on reading it.
struct UntilAnswered<'a> {
    body: &'a mut dyn Read,
    course: &'a Course,
}

impl Read for UntilAnswered<'_> {
    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        if self.course.is_early() {
            part.fill(0);
            return Ok(part.len());
        }
        match self.body.read(part) {
            Ok(0) if !part.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        }
    }
}

/// ureq's logs hold no secret up to debug level. At trace level `ureq_proto` logs all bytes, and `ureq` no longer
/// shortens links: the latter is decided by the level of the module that prints them.
fn warn_of_wire_log() {
    const TARGETS: [&str; 2] = ["ureq_proto", "ureq::util"];
    let is_traced = |target| log::log_enabled!(target: target, log::Level::Trace);
    if TARGETS.into_iter().any(is_traced) {
        log::warn!(
            "the log targets ureq and ureq_proto are at trace level: what they log holds tokens and upload links"
        );
    }
}

fn config(limits: Limits) -> ureq::config::Config {
    ureq::Agent::config_builder()
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(HEAD_BYTES_MAX)
        .user_agent(USER_AGENT)
        // The dialer's matter; unless told, ureq asks the environment.
        .proxy(None)
        .timeout_global(limits.whole)
        .timeout_per_write(limits.write_stall)
        .timeout_recv_response(limits.head)
        .timeout_recv_body(limits.body)
        .build()
}

/// Reads the answer's body.
fn read(response: http::Response<ureq::Body>, course: &Course) -> Result<Answer, HttpError> {
    let status = response.status().as_u16();
    let is_refusal = status >= 300;
    if course.is_early() && !is_refusal {
        // An answer of success to half a request would be about half of the content.
        return Err(AnswerError::Early.into());
    }
    let date = response.headers().get(http::header::DATE);
    let time = date
        .and_then(|date| date.to_str().ok())
        .and_then(ServerTime::from_http_date);
    let media_type = MediaType::of(response.headers());
    let mut reader = response.into_body().into_reader();
    let mut body = Vec::new();
    let limit = u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    match reader.by_ref().take(limit).read_to_end(&mut body) {
        Ok(_) => {}
        // Closing on what it did not read, it loses the rest of what it says: its status counts.
        Err(_) if course.is_early() && !course.is_cancelled() => {}
        Err(error) => return Err(course.explain(ureq::Error::from(error).into())),
    }
    if body.len() > BODY_BYTES_MAX {
        return Err(AnswerError::TooLarge.into());
    }
    Ok(Answer {
        status,
        time,
        media_type,
        issuer: course.issuer(),
        body,
    })
}

#[cfg(test)]
mod tests;
