//! The upload thread: brings large content up ahead of its turn, one Message at a time, oldest
//! first; lives only while there is some. What is uploaded becomes a link in the outbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::error::{Chain, Error};
use crate::failure_log::FailureLog;
use crate::http::HubCredentials;
use crate::http::agent::Agent;
use crate::http::upload::{UploadError, UploadHub};
use crate::identity::HubDeviceId;
use crate::link::mailbox::Mailbox;
use crate::outbox::{Outbox, SetAside};
use crate::status::StatusBoard;
use crate::store::rows::open_upload::OpenUpload;
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

/// The upload that the hub has open, as far as that is known.
#[derive(Default)]
struct Open {
    is_loaded: bool,
    upload: Option<OpenUpload>,
    /// All that is left is to tell the hub that the content is up.
    content_is_up: Option<ContentIsUp>,
}

/// Content in the hub's storage.
struct ContentIsUp {
    id: i64,
    blob_name: String,
    /// The hub has refused the credentials that the notification came with.
    was_refused: bool,
}

/// What the uploader works with.
pub(crate) struct UploaderParts {
    pub outbox: Arc<Outbox>,
    pub agent: Agent,
    pub status: Arc<StatusBoard>,
    pub clock: Arc<dyn Clock>,
    /// Asked for other credentials.
    pub mailbox: Arc<Mailbox>,
}

/// Uploads large content.
pub(crate) struct Uploader {
    parts: UploaderParts,
    worker: Arc<Worker>,
    credentials: Mutex<Option<HubCredentials>>,
    /// Of the one thread that uploads.
    open: Mutex<Open>,
}

impl Uploader {
    pub fn new(parts: UploaderParts) -> Uploader {
        Uploader {
            parts,
            worker: Arc::default(),
            credentials: Mutex::default(),
            open: Mutex::default(),
        }
    }

    /// Uploads with these from now on; `None` while the identity changes.
    pub fn use_credentials(self: &Arc<Self>, credentials: Option<HubCredentials>) {
        *self.credentials.lock() = credentials;
        self.start();
    }

    /// Starts the thread if there is something to upload and it is not running.
    pub fn start(self: &Arc<Self>) {
        if self.credentials.lock().is_none() || self.parts.outbox.uploads.next().is_none() {
            return;
        }
        let uploader = Arc::clone(self);
        self.worker
            .start("spotflow-upload", move || uploader.run(), || {});
    }

    fn run(&self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
        let mut failures = FailureLog::new(module_path!());
        let mut refusals = Refusals::default();
        while !self.worker.is_closed() {
            match self.upload_next(&mut refusals) {
                Ok(true) => {
                    backoff.reset();
                    failures.succeeded();
                }
                Ok(false) | Err(Error::Closed) => return,
                Err(error) => {
                    let delay = backoff.next_delay(0.5 + fastrand::f64() / 2.0);
                    self.parts.status.failed(&error);
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
        let Some(id) = self.parts.outbox.uploads.next() else {
            return Ok(false);
        };
        let Some(credentials) = self.credentials.lock().clone() else {
            return Ok(false);
        };
        match self.bring_up(id, &credentials) {
            Ok(None) => Ok(false),
            Ok(Some(blob_name)) => {
                let link = format!("{{\"link\":\"{blob_name}\"}}");
                self.parts.outbox.uploads.uploaded(id, Bytes::from(link))?;
                Ok(true)
            }
            Err(UploadError::CredentialsRefused(error)) => {
                self.parts.mailbox.renew_credentials();
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

    /// Brings this content up, by all three steps or by those that are left; returns the name by which
    /// the Platform finds it, or `None` if the Message is gone.
    fn bring_up(
        &self,
        id: i64,
        credentials: &HubCredentials,
    ) -> Result<Option<String>, UploadError> {
        let device = credentials.device.to_string();
        let hub = UploadHub::new(&self.parts.agent, credentials).map_err(UploadError::Transient)?;
        let (left_open, content_is_up) = self.left_open(&device);
        match (left_open, content_is_up) {
            (Some(upload), Some(up)) if up.id == id => {
                return self.notify_success(&hub, upload, up).map(Some);
            }
            // Once: if the hub does not hear it now either, it will find out by itself.
            (Some(upload), _) => {
                notify_failure(&hub, &upload);
            }
            _ => {}
        }
        let content = self
            .parts
            .outbox
            .uploads
            .content(id)
            .map_err(UploadError::Transient)?;
        let Some(content) = content else {
            return Ok(None);
        };
        let blob_name = uuid::Uuid::new_v4().to_string();
        let place = hub.ask_for_place(&blob_name)?;
        let upload = OpenUpload {
            correlation_id: place.correlation_id.clone(),
            device,
        };
        if let Err(error) = self.parts.outbox.uploads.opened(upload.clone()) {
            // After a kill the hub would have to find out by itself; the content goes up all the same.
            log::debug!("an open upload is not stored: {}", Chain(&error));
        }
        if let Err(error) = place.put(&self.parts.agent, &content) {
            if !notify_failure(&hub, &upload) {
                self.open.lock().upload = Some(upload);
            }
            return Err(error);
        }
        let up = ContentIsUp {
            id,
            blob_name,
            was_refused: false,
        };
        self.notify_success(&hub, upload, up).map(Some)
    }

    /// What is to be ended before another upload is opened.
    fn left_open(&self, device: &str) -> (Option<OpenUpload>, Option<ContentIsUp>) {
        let mut open = self.open.lock();
        if !std::mem::replace(&mut open.is_loaded, true) {
            open.upload = self
                .parts
                .outbox
                .uploads
                .left_open()
                .unwrap_or_else(|error| {
                    log::debug!("an open upload is not known: {}", Chain(&error));
                    None
                });
        }
        let upload = open.upload.take().filter(|open| open.device == device);
        (upload, open.content_is_up.take())
    }

    /// Step 3. If the hub does not hear it, only that is tried again, so that an outage does not cost the
    /// content's way each time. If it refuses it, also with other credentials, the content goes up once
    /// more; so often at most as a hub may refuse content.
    fn notify_success(
        &self,
        hub: &UploadHub<'_>,
        upload: OpenUpload,
        mut up: ContentIsUp,
    ) -> Result<String, UploadError> {
        let error = match hub.notify_success(&upload.correlation_id) {
            Ok(()) => return Ok(up.blob_name),
            Err(error) => error,
        };
        let mut open = self.open.lock();
        open.upload = Some(upload);
        match error {
            UploadError::CredentialsRefused(error) if up.was_refused => {
                Err(UploadError::Permanent(error))
            }
            UploadError::Permanent(error) => Err(UploadError::Permanent(error)),
            error => {
                up.was_refused |= matches!(error, UploadError::CredentialsRefused(_));
                open.content_is_up = Some(up);
                Err(error)
            }
        }
    }

    /// One bad Message does not stop the rest.
    fn set_aside(&self, id: i64, error: &Error, device: HubDeviceId) -> Result<(), Error> {
        let reason = format!("refused {REFUSALS_MAX} times: {}", Chain(error));
        log::error!("a Message is set aside: {reason}");
        self.parts.status.failed(error);
        self.parts.outbox.shelf.set_aside(SetAside {
            id,
            reason,
            identity: device,
            now_ms: self.parts.clock.wall_ms(),
        })
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

/// Gives a place back; returns whether the hub knows.
fn notify_failure(hub: &UploadHub<'_>, upload: &OpenUpload) -> bool {
    hub.notify_failure(&upload.correlation_id)
        .inspect_err(|error| log::debug!("a failed upload was not notified: {}", error.error()))
        .is_ok()
}
