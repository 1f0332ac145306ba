//! Provisioning: a technician approves the device once.

use std::fmt;
use std::time::{Duration, Instant};

use super::{Registrar, RegistrationFailure};
use crate::backoff::Backoff;
use crate::callbacks::guard;
use crate::error::{Chain, Error};
use crate::failure_log::FailureLog;
use crate::http::api::Completion;
use crate::secret::Secret;

/// Between polls for the approval: soon at first, then as the published SDK, every 5 s.
const POLL_SECONDS: [u64; 4] = [1, 2, 3, 5];

const POLL_INTERVAL: Duration = Duration::from_secs(5);
const POLL_INTERVAL_CAP: Duration = Duration::from_secs(60);
/// Behind an operation that has expired; more behind one that expired at once, as with a Platform whose clock is wrong.
const OPERATION_PAUSE: Duration = Duration::from_secs(1);

/// What a technician needs to approve the device.
///
/// The verification code shows that the operation in the portal is the one of this device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProvisioningOperation {
    /// The operation's id.
    pub id: String,
    /// The code to compare.
    pub verification_code: String,
    /// Until when it can be approved: RFC 3339, as the Platform sent it. Then a new one is started.
    pub expiration_time: String,
}

impl fmt::Display for ProvisioningOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Provisioning Operation {}: approve it with the verification code {} until {}",
            self.id, self.verification_code, self.expiration_time
        )
    }
}

pub(crate) type DisplayCallback = Box<dyn Fn(&ProvisioningOperation) + Send + Sync>;

/// The default way to show an operation.
pub(crate) fn display_on_stdout(operation: &ProvisioningOperation) {
    println!("{operation}");
}

impl Registrar {
    /// Starts operations until one is approved; returns the Registration Token, which is stored.
    pub(super) fn provision(&self) -> Result<Secret, RegistrationFailure> {
        let mut backoff = Backoff::new(OPERATION_PAUSE, POLL_INTERVAL_CAP);
        loop {
            let begun = Instant::now();
            if let Some(token) = self.run_operation()? {
                self.save_approved_token(token.clone())?;
                return Ok(token);
            }
            log::info!("the Provisioning Operation expired: starting another");
            if begun.elapsed() >= POLL_INTERVAL_CAP {
                backoff.reset();
            }
            let pause = backoff.next_delay(0.5 + fastrand::f64() / 2.0);
            if !self.worker.sleep(Instant::now() + pause) {
                return Err(RegistrationFailure::Final(Error::Closed));
            }
        }
    }

    /// One operation, from its start to its approval; `None` if it expired.
    fn run_operation(&self) -> Result<Option<Secret>, RegistrationFailure> {
        let (token, requested) = {
            let state = self.state.lock();
            let device = &state.device;
            (
                device.provisioning_token.clone(),
                device.requested_device_id.clone(),
            )
        };
        let operation = self
            .api()
            .init_provisioning(&token, requested.as_deref())
            .map_err(|error| match error {
                Error::InvalidToken { .. } | Error::Refused { status: 400, .. } => {
                    RegistrationFailure::Final(error)
                }
                error => RegistrationFailure::Retry(error),
            })?;
        let operation = ProvisioningOperation {
            id: operation.id,
            verification_code: operation.verification_code,
            expiration_time: operation.expiration_time,
        };
        log::info!(
            "waiting for the approval of Provisioning Operation {}",
            operation.id
        );
        guard("provisioning", || (self.parts.display)(&operation));
        self.state.lock().open_operation = Some(operation.id.clone());
        let approved = self.poll(&token, &operation.id);
        self.state.lock().open_operation = None;
        approved
    }

    fn poll(&self, token: &Secret, id: &str) -> Result<Option<Secret>, RegistrationFailure> {
        let mut pauses = POLL_SECONDS.iter();
        let mut interval = Duration::ZERO;
        let mut backoff = Backoff::new(POLL_INTERVAL, POLL_INTERVAL_CAP);
        let mut failures = FailureLog::new(module_path!());
        loop {
            interval = pauses
                .next()
                .map_or(interval, |seconds| Duration::from_secs(*seconds));
            let mut pause = interval;
            match self.parts.api.complete_provisioning(token, id) {
                Ok(answer) => match answer {
                    Completion::Approved(issued) => return Ok(Some(issued.registration_token)),
                    Completion::Refused => {
                        return Err(RegistrationFailure::Final(Error::ProvisioningRefused));
                    }
                    Completion::Expired => return Ok(None),
                    Completion::Pending => backoff.reset(),
                },
                Err(error @ (Error::InvalidToken { .. } | Error::Closed)) => {
                    return Err(RegistrationFailure::Final(error));
                }
                Err(error) => {
                    // The operation lives on at the Platform: an outage does not cost the approval.
                    self.parts.status.failed(&error);
                    failures.failed(
                        "cannot ask for the approval",
                        Chain(&error).to_string(),
                        "; will retry",
                    );
                    pause += backoff.next_delay(fastrand::f64());
                }
            }
            if !self.worker.sleep(Instant::now() + pause) {
                return Err(RegistrationFailure::Final(Error::Closed));
            }
        }
    }
}
