//! Direct methods: the cloud calls a function of the device, and gets its answer.
//!
//! ```text
//! 1 receive   the link hands in a call, with the connection that brought it; nothing blocks it
//! 2 admit     the name is known, and there is a place in the queue: else it is answered at once
//! 3 run       a thread of the pool reads the body and calls the handler
//! 4 answer    the link publishes the answer, if that connection still stands
//! ```
//!
//! The hub delivers a call at most once, and drops an answer that comes late or on another connection. So a call
//! whose connection has ended is cancelled: its handler can ask, and its answer is dropped here.

mod call;
mod pool;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use call::{Answer, Answers, Call, Cancellation};
pub use call::{MethodError, MethodRequest, MethodResponse};

use crate::clock::{Clock, Moment};
use crate::error::{Chain, Error, Result};
use pool::{Pool, Refused};

/// IoT Hub waits for an answer at most for so long
/// (<https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-direct-methods>).
const GIVEN_UP_AFTER: Duration = Duration::from_secs(300);
/// Calls that wait for a thread. More are refused: a caller is better told than kept waiting.
const QUEUE_LENGTH: usize = 64;
/// Threads at most, unless the application says otherwise.
pub(crate) const THREADS: usize = 4;
pub(crate) const THREADS_MAX: usize = 64;

const OK: u16 = 200;
const BAD_REQUEST: u16 = 400;
const NOT_FOUND: u16 = 404;
const FAILED: u16 = 500;
const BUSY: u16 = 503;

/// What an application does when a method is called.
pub(crate) type Handler =
    dyn Fn(&MethodRequest) -> Result<MethodResponse, MethodError> + Send + Sync;

/// Which handlers there are, and how many calls run at once.
pub(crate) struct MethodOptions {
    pub by_name: Vec<(String, Arc<Handler>)>,
    /// For all other names.
    pub others: Option<Arc<Handler>>,
    pub threads: usize,
}

impl Default for MethodOptions {
    fn default() -> MethodOptions {
        MethodOptions {
            by_name: Vec::new(),
            others: None,
            threads: THREADS,
        }
    }
}

impl MethodOptions {
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.others.is_none()
    }

    pub fn validate(&self) -> Result<()> {
        if !(1..=THREADS_MAX).contains(&self.threads) {
            let rule = format!("must be 1 to {THREADS_MAX}, but is {}", self.threads);
            return Err(Error::invalid("method_threads", rule));
        }
        let mut names: Vec<&str> = self.by_name.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        for name in &names {
            if name.is_empty() || name.starts_with('!') || name.chars().any(char::is_control) {
                let rule = format!(
                    "a method's name is not empty, has no control characters, and does not begin with `!`, which the \
                     Platform keeps for itself; {name:?} does not obey"
                );
                return Err(Error::invalid("on_method", rule));
            }
        }
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                let rule = format!("the method {:?} has two handlers", pair[0]);
                Err(Error::invalid("on_method", rule))
            }
            None => Ok(()),
        }
    }
}

/// A method of the Platform's own, which no handler of the application is asked for.
pub(crate) trait PlatformMethod: Send + Sync {
    /// Begins with `!`.
    fn name(&self) -> &'static str;
    /// Must not block; answers later, or never.
    fn call(&self, call: Call);
}

/// The handlers, and the calls that wait for them or run.
pub(crate) struct Methods {
    by_name: HashMap<String, Arc<Handler>>,
    others: Option<Arc<Handler>>,
    own: Option<Box<dyn PlatformMethod>>,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    answers: Arc<dyn Answers>,
    closing: Cancellation,
}

impl Methods {
    /// Starts no thread: those of the pool live only while there are calls.
    pub fn new(
        options: MethodOptions,
        own: Option<Box<dyn PlatformMethod>>,
        answers: Arc<dyn Answers>,
        clock: Arc<dyn Clock>,
    ) -> Methods {
        Methods {
            by_name: options.by_name.into_iter().collect(),
            others: options.others,
            own,
            pool: Pool::new(options.threads, QUEUE_LENGTH),
            clock,
            answers,
            closing: Cancellation::default(),
        }
    }

    /// For the link: a call came. Never blocks.
    pub fn receive(&self, call: Call) {
        if let Some(own) = &self.own
            && own.name() == call.name
        {
            return own.call(call);
        }
        // What begins with `!` is the Platform's, and no application's to answer.
        let others = self.others.as_ref().filter(|_| !call.name.starts_with('!'));
        let handler = self.by_name.get(&call.name).or(others);
        let Some(handler) = handler.map(Arc::clone) else {
            log::warn!(
                "the cloud called {}, which this device does not have",
                call.label()
            );
            return self
                .answers
                .answer(call.refusal(NOT_FOUND, "this device has no such method"));
        };
        let job = Job {
            call,
            handler,
            since: self.clock.now(),
            clock: Arc::clone(&self.clock),
            answers: Arc::clone(&self.answers),
            closing: self.closing.clone(),
        };
        let label = job.call.label();
        let busy = job.call.refusal(BUSY, "too many calls are under way");
        match self.pool.submit(move || job.run()) {
            Ok(()) => {}
            Err(Refused::Busy) => {
                log::warn!("too many calls of methods are under way: one of {label} is refused");
                self.answers.answer(busy);
            }
            Err(Refused::Closed) => {}
        }
    }

    /// Runs no further call, and waits until the deadline for those that run; not for one that closes the client
    /// itself.
    pub fn close(&self, deadline: Instant) {
        self.closing.cancel();
        let (dropped, have_ended) = self.pool.close(deadline);
        if dropped > 0 {
            log::info!("the client is closed: {dropped} calls of methods that waited are not run");
        }
        if !have_ended {
            log::warn!("a method is still running; its thread is left behind");
        }
    }

    /// Whether a handler is asking.
    pub fn is_own_thread(&self) -> bool {
        self.pool.is_own_thread()
    }
}

/// A call that was admitted.
struct Job {
    call: Call,
    handler: Arc<Handler>,
    since: Moment,
    clock: Arc<dyn Clock>,
    answers: Arc<dyn Answers>,
    closing: Cancellation,
}

impl Job {
    fn run(self) {
        if self.call.is_cancelled() {
            let label = self.call.label();
            return log::info!("the connection of a call ended before it ran: {label} is not run");
        }
        if self.clock.now().since(self.since) >= GIVEN_UP_AFTER {
            let label = self.call.label();
            return log::warn!(
                "a call waited for so long that the hub has given it up: {label} is not run"
            );
        }
        let answer = self.answer();
        if self.call.is_cancelled() {
            let label = self.call.label();
            return log::warn!("the connection of a call ended: the answer of {label} is dropped");
        }
        self.answers.answer(answer);
    }

    fn answer(&self) -> Answer {
        let label = self.call.label();
        let request = match self.call.request(&self.closing) {
            Ok(request) => request,
            Err(error) => {
                log::warn!("{label} was called with a body that is no JSON: {error}");
                return self.call.refusal(BAD_REQUEST, "the body is no JSON");
            }
        };
        let failed = || self.call.refusal(FAILED, "the method failed");
        match catch_unwind(AssertUnwindSafe(|| (self.handler)(&request))) {
            Ok(Ok(response)) => self.call.response(&response).unwrap_or_else(|rule| {
                log::error!("the answer of {label} {rule}");
                self.call
                    .refusal(FAILED, &format!("the method's answer {rule}"))
            }),
            // What the application says of it stays on the device.
            Ok(Err(error)) => {
                log::error!("{label} failed: {}", Chain(&*error));
                failed()
            }
            Err(_) => {
                log::error!("{label} panicked");
                failed()
            }
        }
    }
}

#[cfg(test)]
mod tests;
