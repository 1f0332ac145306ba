//! The upload thread: brings large content up ahead of its turn, one Message at a time, oldest
//! first; lives only while there is some. What is uploaded becomes a link in the outbox.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::error::{Chain, Error};
use crate::failure_log::FailureLog;
use crate::http::agent::Agent;
use crate::http::upload::{UploadError, upload};
use crate::http::{HubCredentials, HubDeviceId};
use crate::outbox::Outbox;
use crate::status::StatusBoard;
use crate::sync::Mutex;
use crate::worker::Worker;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_secs(120);
/// Content that the hub or its storage refuses so often in a row, with back-off in between, for a
/// reason that is the content's own (a 4xx, but for credentials, limits and time-outs), is set aside.
pub(crate) const REFUSALS_MAX: u32 = 5;

/// The content that was refused last, and how often in a row.
#[derive(Default)]
struct Refusals {
    id: i64,
    count: u32,
}

/// Uploads large content.
pub(crate) struct Uploader {
    this: Weak<Uploader>,
    outbox: Arc<Outbox>,
    agent: Agent,
    status: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    worker: Arc<Worker>,
    credentials: Mutex<Option<HubCredentials>>,
    /// Asks for other credentials; must not block.
    renew_credentials: Box<dyn Fn() + Send + Sync>,
}

impl Uploader {
    pub fn new(
        outbox: Arc<Outbox>,
        agent: Agent,
        status: Arc<StatusBoard>,
        clock: Arc<dyn Clock>,
        renew_credentials: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Uploader> {
        Arc::new_cyclic(|this| Uploader {
            this: this.clone(),
            outbox,
            agent,
            status,
            clock,
            worker: Arc::default(),
            credentials: Mutex::default(),
            renew_credentials,
        })
    }

    /// Uploads with these from now on; `None` while the identity changes.
    pub fn use_credentials(&self, credentials: Option<HubCredentials>) {
        *self.credentials.lock() = credentials;
        self.start();
    }

    /// Starts the thread if there is something to upload and it is not running.
    pub fn start(&self) {
        if self.credentials.lock().is_none() || self.outbox.next_upload().is_none() {
            return;
        }
        let Some(uploader) = self.this.upgrade() else {
            return;
        };
        let started = self
            .worker
            .start("spotflow-upload", move || uploader.run(), || {});
        if let Err(error) = started {
            log::error!("cannot upload: {}", Chain(&error));
        }
    }

    fn run(&self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
        let mut failures = FailureLog::new(module_path!());
        let mut refusals = Refusals::default();
        while !self.worker.is_closed() {
            match self.upload_next(&mut refusals) {
                Ok(true) => {
                    backoff.reset();
                    failures.works();
                }
                Ok(false) | Err(Error::Closed) => return,
                Err(error) => {
                    let delay = backoff.next_delay(0.5 + fastrand::f64() / 2.0);
                    self.status.failed(&error);
                    failures.failed(
                        "large content is not uploaded",
                        Chain(&error).to_string(),
                        "; will retry",
                    );
                    if !self.worker.sleep(Instant::now() + delay) {
                        return;
                    }
                }
            }
        }
    }

    /// Brings the oldest content up; `false` if there is nothing to bring.
    fn upload_next(&self, refusals: &mut Refusals) -> Result<bool, Error> {
        let Some(id) = self.outbox.next_upload() else {
            return Ok(false);
        };
        let Some(credentials) = self.credentials.lock().clone() else {
            return Ok(false);
        };
        let Some(content) = self.outbox.content(id)? else {
            return Ok(false);
        };
        let name = uuid::Uuid::new_v4().to_string();
        match upload(&self.agent, &credentials, &name, &content) {
            Ok(()) => {
                let link = format!("{{\"link\":\"{name}\"}}");
                self.outbox.uploaded(id, Bytes::from(link))?;
                Ok(true)
            }
            Err(UploadError::CredentialsRefused(error)) => {
                (self.renew_credentials)();
                Err(error)
            }
            Err(UploadError::Transient(error)) => Err(error),
            Err(UploadError::Permanent(error)) => {
                if refusals.id != id {
                    *refusals = Refusals { id, count: 0 };
                }
                refusals.count += 1;
                if refusals.count < REFUSALS_MAX {
                    return Err(error);
                }
                self.set_aside(id, &error, credentials.device)?;
                Ok(true)
            }
        }
    }

    /// One bad Message does not stop the rest.
    fn set_aside(&self, id: i64, error: &Error, device: HubDeviceId) -> Result<(), Error> {
        let reason = format!("refused {REFUSALS_MAX} times: {}", Chain(error));
        log::error!("a Message is set aside: {reason}");
        self.status.failed(error);
        let total = self
            .outbox
            .move_aside(id, reason, device, self.clock.wall_ms())?;
        self.status.set_aside_is(total);
        Ok(())
    }

    /// Ends the thread; the agent's cancel interrupts its request.
    pub fn close(&self) {
        self.worker.close();
    }

    /// Waits for the thread's end until the deadline.
    pub fn join(&self, deadline: Instant) {
        self.worker.join("upload", deadline);
    }
}
