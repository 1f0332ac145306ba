//! The upload thread: brings large content up ahead of its turn, one Message at a time, the oldest of the highest lane
//! first; lives only while there is some. What is uploaded becomes a link in the outbox.
//!
//! Here is what comes after success and failure; the way of one content is in [`steps`], who waits for whom in [`turns`],
//! and for how long in [`waits`].

mod steps;
mod turns;
mod waits;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::clock::Clock;
use crate::error::{Chain, Error};
use crate::failure_log::FailureLog;
use crate::http::HubCredentials;
use crate::http::agent::Agent;
use crate::http::upload::UploadError;
use crate::identity::HubDeviceId;
use crate::link::mailbox::Mailbox;
use crate::message::lanes::Lanes;
use crate::outage::Hurries;
use crate::outbox::{Outbox, SetAside};
use crate::pacing::upload::UploadPace;
use crate::status::{StatusBoard, UploadStatus};
use crate::store::rows::lane;
use crate::sync::Mutex;
use crate::worker::Worker;
pub(crate) use steps::ProgressListener;
use steps::Steps;
use turns::Turns;
use waits::{Failed, is_of_network};

/// Content that the hub or its storage refuses so often in a row, with back-off in between, for a
/// reason that is the content's own (a 4xx, but for credentials, limits and time-outs), is set aside.
pub(crate) const REFUSALS_MAX: u32 = 5;

/// What has come of the attempts with a lane's content.
struct Attempts {
    refusals: Refusals,
    failures: FailureLog,
}

impl Attempts {
    fn new() -> Attempts {
        Attempts {
            refusals: Refusals::default(),
            failures: FailureLog::new(module_path!()),
        }
    }
}

/// The content that was refused last, and how often in a row.
#[derive(Default)]
struct Refusals {
    id: i64,
    count: u32,
}

/// What the uploader works with.
pub(crate) struct UploaderParts {
    pub outbox: Arc<Outbox>,
    pub agent: Agent,
    /// That of the agent's transfers.
    pub pace: Arc<UploadPace>,
    pub progress: Option<Arc<dyn ProgressListener>>,
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
    hurries: Mutex<Hurries>,
    turns: Mutex<Turns>,
    steps: Steps,
}

impl Uploader {
    pub fn new(parts: UploaderParts) -> Uploader {
        Uploader {
            steps: Steps::new(
                Arc::clone(&parts.outbox),
                parts.agent.clone(),
                parts.progress.clone(),
            ),
            hurries: Mutex::new(Hurries::new(parts.clock.now())),
            turns: Mutex::new(Turns::new()),
            parts,
            worker: Arc::default(),
            credentials: Mutex::default(),
        }
    }

    /// The content that is being uploaded, or was last and waits for its next attempt. Does not block.
    pub fn status(&self) -> Option<UploadStatus> {
        self.steps.status()
    }

    /// Uploads with these from now on; `None` while the identity changes.
    pub fn use_credentials(self: &Arc<Self>, credentials: Option<HubCredentials>) {
        *self.credentials.lock() = credentials;
        self.start();
    }

    /// Starts the thread if there is something to upload and it is not running. If it sleeps, as all that there was
    /// waits, it looks at what has come.
    pub fn start(self: &Arc<Self>) {
        let uploads = &self.parts.outbox.uploads;
        if self.credentials.lock().is_none() || uploads.next(|_| true).is_none() {
            return;
        }
        let uploader = Arc::clone(self);
        self.worker
            .start("spotflow-upload", move || uploader.run(), || {});
        if self.next().is_some() {
            self.worker.hurry();
        }
    }

    /// The network is back, or may be: an upload that waits for it need not wait longer, nor one that is being tried and
    /// fails.
    pub fn network_is_back(&self) {
        if self.worker.is_running() && self.hurries.lock().take(self.parts.clock.now()) {
            self.turns.lock().hurry();
            self.worker.hurry();
        }
    }

    fn run(&self) {
        let mut attempts = Lanes::each(|_| Attempts::new());
        *self.turns.lock() = Turns::new();
        while !self.worker.is_closed() {
            // What it meets is newer than this news.
            self.worker.forget_hurry();
            let Some(credentials) = self.credentials.lock().clone() else {
                return;
            };
            let Some(id) = self.next() else {
                let uploads = &self.parts.outbox.uploads;
                if uploads.next(|_| true).is_none() || !self.sleep() {
                    return;
                }
                continue;
            };
            let attempts = &mut attempts[lane::priority(id)];
            self.turns.lock().attempt(self.parts.clock.now());
            let ended = self.upload(id, &credentials, &mut attempts.refusals);
            self.parts.outbox.uploads.under_way(None);
            let (had_place, has_moved) = (self.steps.had_place(), self.steps.has_moved());
            match ended {
                Ok(true) => {
                    self.turns.lock().succeeded(id);
                    attempts.failures.succeeded();
                }
                Ok(false) | Err(Error::Closed) => return,
                Err(error) => {
                    let failed = Failed {
                        is_of_network: is_of_network(&error),
                        had_place,
                        has_moved,
                    };
                    let now = self.parts.clock.now();
                    self.turns.lock().failed(id, &failed, now, fastrand::f64());
                    self.parts.status.failed(&error);
                    attempts.failures.failed(
                        "large content is not uploaded",
                        Chain(&error).to_string(),
                        "; will retry",
                    );
                }
            }
        }
    }

    /// The content whose turn it is: the oldest of the highest lane that does not wait.
    fn next(&self) -> Option<i64> {
        let (turns, now) = (self.turns.lock(), self.parts.clock.now());
        let uploads = &self.parts.outbox.uploads;
        uploads.next(|id| turns.may_go(id, now))
    }

    /// Until somebody has waited enough, or there is news; returns whether the thread may go on.
    fn sleep(&self) -> bool {
        let wait = self.turns.lock().next_in(self.parts.clock.now());
        self.worker.sleep_unless_hurried(Instant::now() + wait)
    }

    /// Brings this content up; `false` if it is not there any more.
    fn upload(
        &self,
        id: i64,
        credentials: &HubCredentials,
        refusals: &mut Refusals,
    ) -> Result<bool, Error> {
        self.parts.pace.set_lane(lane::priority(id));
        let is_next = || self.next() == Some(id);
        match self.steps.bring_up(id, credentials, &is_next) {
            Ok(None) => {
                self.steps.ended();
                Ok(!is_next())
            }
            Ok(Some(blob_name)) => {
                let link = format!("{{\"link\":\"{blob_name}\"}}");
                // First: who sees the Message as sent sees no upload.
                self.steps.ended();
                self.parts.outbox.uploads.uploaded(id, Bytes::from(link))?;
                Ok(true)
            }
            Err(UploadError::CredentialsRefused(error)) => {
                self.parts.mailbox.renew_credentials();
                Err(error)
            }
            Err(UploadError::Transient(error)) => Err(error),
            Err(UploadError::Permanent(error) | UploadError::BlocksRefused(error)) => {
                if refusals.id != id {
                    *refusals = Refusals { id, count: 0 };
                }
                refusals.count += 1;
                if refusals.count < REFUSALS_MAX {
                    return Err(error);
                }
                self.steps.ended();
                self.set_aside(id, &error, credentials.device.clone())?;
                Ok(true)
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
