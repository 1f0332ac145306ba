//! Who the device is: provisioning, registration, and keeping tokens fresh.
//!
//! All of it is HTTP, in a thread that lives only while a call is made or an approval awaited. When
//! something is due is decided here; the link's timers only ask ([`Registrar::tick`]).
//!
//! ```text
//!   stored Registration Token? ── no ──> provision: init, display, poll for approval ─┐
//!            │ yes                                                                    │
//!            v                                                                        v
//!         register <──────────────────── Registration Token ──────────────────────────┘
//!            │ 200                  │ 401: provision        │ else: again, after a back-off
//!            │                      │ refused for good: start fails; later, again in an hour
//!            v
//!   credentials for the hub; again at half of their life. Token refreshed at half of its life.
//! ```

mod provisioning;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use provisioning::ProvisioningOperation;
pub(crate) use provisioning::{DisplayCallback, display_on_stdout};

use crate::clock::{Clock, Moment};
use crate::error::{Chain, Error, Result};
use crate::failure_log::{FailureLog, retry_in};
use crate::http::HubCredentials;
use crate::http::api::{Api, REGISTRATION_TOKEN};
use crate::http::registration::Registration;
use crate::identity::HubDeviceId;
use crate::link::mailbox::Mailbox;
use crate::outbox::{IdentityChange, Outbox};
use crate::properties::{self, Properties};
use crate::secret::Secret;
use crate::status::StatusBoard;
use crate::store::rows;
use crate::store::rows::device::DeviceRow;
use crate::store::{Durability, Store, Transaction};
use crate::sync::{Condvar, Mutex};
use crate::uploader::Uploader;
use crate::wait::{InterruptCheck, deadline_after, wait_for};
use crate::worker::Worker;
use schedule::Schedule;

/// How long start waits for the Platform when it can also go on offline.
const OFFLINE_START_LIMIT: Duration = Duration::from_secs(10);
/// After the system had no thread to give.
const THREAD_RETRY: Duration = Duration::from_secs(1);
/// How often a start that waits says what for.
const WAITING_INTERVAL: Duration = Duration::from_secs(30);

/// What the registrar works with.
pub(crate) struct RegistrarParts {
    pub api: Api,
    pub store: Arc<Store>,
    pub outbox: Arc<Outbox>,
    pub properties: Arc<Properties>,
    pub uploader: Arc<Uploader>,
    pub status: Arc<StatusBoard>,
    pub mailbox: Arc<Mailbox>,
    pub clock: Arc<dyn Clock>,
    pub display: DisplayCallback,
}

/// Gets and renews the device's credentials.
pub(crate) struct Registrar {
    parts: RegistrarParts,
    worker: Arc<Worker>,
    /// Shared with the store, which asks for the device when it was damaged.
    state: Arc<Mutex<State>>,
    changed: Condvar,
    failures: Mutex<FailureLog>,
}

struct State {
    device: DeviceRow,
    /// The Platform answered the stored Registration Token with 401. It stays stored until another
    /// replaces it: should the 401 have been a mistake, the next start needs no approval.
    token_refused: bool,
    schedule: Schedule,
    progress: Progress,
    /// The Provisioning Operation that somebody has to approve.
    open_operation: Option<String>,
}

impl State {
    /// What a start waits for.
    fn awaited(&self) -> String {
        match (&self.open_operation, &self.progress) {
            (Some(id), _) => format!("the approval of Provisioning Operation {id}"),
            (None, Progress::Failed(error)) => {
                format!("the Platform, and tries again: {}", Chain(error))
            }
            (None, _) => "the Platform's answer".to_owned(),
        }
    }

    fn usable_token(&self) -> Option<Secret> {
        let token = self.device.registration_token.clone();
        token.filter(|_| !self.token_refused)
    }

    fn can_go_offline(&self) -> bool {
        self.usable_token().is_some()
            && self.device.identity.is_some()
            && !self.device.identity_is_open
    }
}

/// How far the start has come.
enum Progress {
    /// The first call is not answered yet.
    Trying,
    /// The Platform could not be reached, or did not register the device, this time.
    Failed(Error),
    Registered,
    /// There is no way on but that somebody changes his mind: a bad token, or a refused operation.
    GaveUp(Error),
}

/// A failure, and whether another attempt can help soon.
enum RegistrationFailure {
    Retry(Error),
    Final(Error),
}

impl From<Error> for RegistrationFailure {
    fn from(error: Error) -> RegistrationFailure {
        RegistrationFailure::Retry(error)
    }
}

impl Registrar {
    pub fn new(parts: RegistrarParts, device: DeviceRow) -> Registrar {
        let now = parts.clock.now();
        let state = Arc::new(Mutex::new(State {
            device,
            token_refused: false,
            schedule: Schedule::register_at_once(now),
            progress: Progress::Trying,
            open_operation: None,
        }));
        let kept = Arc::clone(&state);
        parts.store.on_recovery(move |writer, recovery| {
            let device = kept.lock().device.clone();
            if device.registration_token.is_some() {
                rows::device::save(writer, &device)?;
                recovery.has_registration = true;
            }
            Ok(())
        });
        Registrar {
            parts,
            worker: Arc::default(),
            state,
            changed: Condvar::new(),
            failures: Mutex::new(FailureLog::new(module_path!())),
        }
    }

    /// Waits until the device is registered, or, if it was before, until it is clear that the
    /// Platform cannot be reached now; for no longer than the limit, if there is one.
    pub fn wait_started(
        &self,
        limit: Option<Duration>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<()> {
        let started = |state: &mut State| match &state.progress {
            Progress::Registered => Some(Ok(())),
            Progress::GaveUp(error) => Some(Err(error.clone())),
            Progress::Failed(_) if state.can_go_offline() => Some(Ok(())),
            Progress::Trying | Progress::Failed(_) => None,
        };
        let begun = Instant::now();
        let offline_at = begun + OFFLINE_START_LIMIT;
        let end = limit.and_then(deadline_after);
        loop {
            let state = self.state.lock();
            // Once the token is refused, only an approval helps, and a registration after it.
            let offline_at = state.can_go_offline().then_some(offline_at);
            let say_at = Some(Instant::now() + WAITING_INTERVAL);
            let deadline = [end, offline_at, say_at].into_iter().flatten().min();
            let (state, result) =
                wait_for(&self.state, state, &self.changed, deadline, check, started);
            if !matches!(result, Err(Error::TimedOut)) {
                return result;
            }
            let now = Instant::now();
            let is_over = |end: Option<Instant>| end.is_some_and(|end| now >= end);
            if state.can_go_offline() && (is_over(offline_at) || is_over(end)) {
                return Ok(());
            }
            if is_over(end) {
                return Err(Error::TimedOut);
            }
            if is_over(say_at) {
                let seconds = begun.elapsed().as_secs();
                log::warn!("the start has waited {seconds} s for {}", state.awaited());
            }
        }
    }

    /// Who the device is, as the Platform decided.
    pub fn identity(&self) -> Option<HubDeviceId> {
        self.state.lock().device.identity.clone()
    }

    /// The hub does not take the credentials: registers again.
    pub fn renew_credentials(&self) {
        let now = self.parts.clock.now();
        self.state.lock().schedule.register_soon(now);
        self.parts.mailbox.wake();
    }

    /// For the link: starts what is due; returns when something is due next.
    pub fn tick(self: &Arc<Self>, now: Moment) -> Option<Moment> {
        if self.worker.is_running() {
            // When it ends, the worker wakes the link, which then asks again.
            return None;
        }
        let next = self.state.lock().schedule.next_due();
        if next.is_none_or(|due| now < due) {
            return next;
        }
        let registrar = Arc::clone(self);
        let mailbox = Arc::clone(&self.parts.mailbox);
        let wake = move || mailbox.wake();
        let started = self
            .worker
            .start("spotflow-http", move || registrar.work(), wake);
        (!started).then(|| now + THREAD_RETRY)
    }

    /// Does what is due, once each.
    fn work(&self) {
        let now = self.parts.clock.now();
        let due = self.state.lock().schedule.take_due(now);
        if due.register {
            self.register();
        }
        if due.refresh && !self.worker.is_closed() {
            self.refresh();
        }
    }

    fn register(&self) {
        let progress = match self.try_register() {
            Ok(()) => {
                self.failures.lock().succeeded();
                Progress::Registered
            }
            Err(
                RegistrationFailure::Retry(Error::Closed)
                | RegistrationFailure::Final(Error::Closed),
            ) => return,
            Err(RegistrationFailure::Retry(error)) => {
                self.parts.status.failed(&error);
                let now = self.parts.clock.now();
                let was_answered =
                    matches!(error, Error::Unavailable { .. } | Error::Refused { .. });
                let delay = self.state.lock().schedule.registration_failed(
                    was_answered,
                    now,
                    fastrand::f64(),
                );
                let then = retry_in(delay);
                self.failures
                    .lock()
                    .failed("not registered", Chain(&error).to_string(), &then);
                Progress::Failed(error)
            }
            Err(RegistrationFailure::Final(error)) => {
                self.parts.status.failed(&error);
                log::error!(
                    "cannot register, and will not ask again for an hour: {}",
                    Chain(&error)
                );
                let now = self.parts.clock.now();
                let mut state = self.state.lock();
                state.schedule.registration_refused(now);
                // Should it be taken again by then, no approval is needed.
                state.token_refused = false;
                Progress::GaveUp(error)
            }
        };
        self.state.lock().progress = progress;
        self.changed.notify_all();
    }

    /// The network says that it is back.
    pub fn network_is_back(&self, now: Moment) {
        self.state.lock().schedule.network_is_back(now);
    }

    /// For calls that a registration needs.
    fn api(&self) -> Api {
        let now = self.parts.clock.now();
        self.parts.api.after(self.state.lock().schedule.outage(now))
    }

    fn try_register(&self) -> Result<(), RegistrationFailure> {
        let stored = self.state.lock().usable_token();
        let token = match stored {
            Some(token) => token,
            None => self.provision()?,
        };
        match self.api().register(&token) {
            Ok(answer) => Ok(self.adopt(answer)?),
            Err(Error::InvalidToken { .. }) => {
                log::warn!(
                    "the Platform does not accept the {REGISTRATION_TOKEN} any more: provisioning again"
                );
                self.state.lock().token_refused = true;
                let token = self.provision()?;
                let answer = self.api().register(&token)?;
                Ok(self.adopt(answer)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The device is registered: from now on it is who the Platform says, and connects with these
    /// credentials.
    fn adopt(&self, registration: Registration) -> Result<()> {
        let Registration {
            credentials,
            token_lifetime,
        } = registration;
        let before = self.identity();
        if before.as_ref() != Some(&credentials.device) {
            self.change_identity(before, &credentials.device)?;
        } else if self.state.lock().device.identity_is_open {
            self.change_device(|device| device.identity_is_open = false)?;
        }
        let now = self.parts.clock.now();
        {
            let mut state = self.state.lock();
            let token_lifetime = token_lifetime.remaining();
            state
                .schedule
                .registered(now, credentials.lifetime, token_lifetime);
        }
        self.use_credentials(credentials);
        Ok(())
    }

    fn use_credentials(&self, credentials: HubCredentials) {
        self.parts
            .uploader
            .use_credentials(Some(credentials.clone()));
        self.parts.mailbox.use_credentials(credentials);
    }

    /// What was stored under the identity before is not sent under the new one, but set aside.
    fn change_identity(&self, before: Option<HubDeviceId>, now: &HubDeviceId) -> Result<()> {
        log::info!(
            "registered as device {} in workspace {}",
            now.device_id,
            now.workspace_id
        );
        let Some(before) = before else {
            return self.change_device(|device| {
                device.identity = Some(now.clone());
                device.identity_is_open = false;
            });
        };
        log::warn!("the device was {before} before");
        self.parts.uploader.use_credentials(None);
        self.parts.mailbox.detach();
        let mut device = self.state.lock().device.clone();
        device.identity = Some(now.clone());
        device.identity_is_open = false;
        let row = device.clone();
        let properties = Arc::clone(&self.parts.properties);
        let moved = self.parts.outbox.shelf.set_all_aside(IdentityChange {
            before,
            now_ms: self.parts.clock.wall_ms(),
            also: move |writer: &mut Transaction| {
                properties::forget_platform_side(writer)?;
                rows::device::save(writer, &row)
            },
            committed: move || properties.forget_platform_side(),
        })?;
        self.state.lock().device = device;
        if moved > 0 {
            log::warn!("{moved} Messages stored under the identity before are set aside");
        }
        Ok(())
    }

    /// Gets a new Registration Token for the one that will expire.
    fn refresh(&self) {
        let (provisioning, registration) = {
            let state = self.state.lock();
            let Some(token) = state.usable_token() else {
                return;
            };
            (state.device.provisioning_token.clone(), token)
        };
        let refreshed = self.parts.api.refresh(&provisioning, &registration);
        let now = self.parts.clock.now();
        match refreshed {
            Ok(answer) => {
                let token = answer.registration_token;
                if let Err(error) =
                    self.change_device(|device| device.registration_token = Some(token))
                {
                    log::warn!("cannot store the refreshed token: {}", Chain(&error));
                }
                let lifetime = answer.lifetime.remaining();
                self.state.lock().schedule.refreshed(now, lifetime);
                log::info!("the {REGISTRATION_TOKEN} was refreshed");
            }
            Err(Error::Closed) => {}
            Err(error @ (Error::Refused { .. } | Error::InvalidToken { .. })) => {
                // The token in use still holds; when it does not, a 401 leads to provisioning.
                self.state.lock().schedule.refresh_refused(now);
                log::warn!(
                    "the {REGISTRATION_TOKEN} is not refreshed: {}",
                    Chain(&error)
                );
                self.parts.status.failed(&error);
            }
            Err(error) => {
                log::warn!(
                    "the {REGISTRATION_TOKEN} is not refreshed yet: {}",
                    Chain(&error)
                );
                self.parts.status.failed(&error);
                self.state
                    .lock()
                    .schedule
                    .refresh_failed(now, fastrand::f64());
            }
        }
    }

    fn change_device(&self, change: impl FnOnce(&mut DeviceRow)) -> Result<()> {
        let mut device = self.state.lock().device.clone();
        change(&mut device);
        let row = device.clone();
        // In memory first: a token that cannot be stored is still the one that holds.
        self.state.lock().device = device;
        self.parts.store.execute(
            Durability::PowerSafe,
            move |writer| rows::device::save(writer, &row),
            |()| {},
        )
    }

    /// Stores the token of a new approval: as whom it registers the device is not known yet.
    fn save_approved_token(&self, token: Secret) -> Result<()> {
        self.state.lock().token_refused = false;
        self.change_device(|device| {
            device.registration_token = Some(token);
            device.identity_is_open = true;
        })
    }

    /// Whether the callback that displays an operation is asking.
    pub fn is_own_thread(&self) -> bool {
        self.worker.is_own_thread()
    }

    /// Asks the thread to end; the agent's cancel interrupts its request.
    pub fn close(&self) {
        self.worker.close();
        let mut state = self.state.lock();
        if !matches!(state.progress, Progress::Registered) {
            state.progress = Progress::GaveUp(Error::Closed);
        }
        self.changed.notify_all();
    }

    /// Waits for the thread's end until the deadline.
    pub fn join(&self, deadline: Instant) {
        self.worker.join("HTTP", deadline);
    }
}
