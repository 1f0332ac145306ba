//! Provisioning Tokens and Provisioning Operations: who may ask to become a device, and what was decided.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::secrets;

/// Whether Provisioning Operations wait for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Approval {
    /// Approved when the device polls for the first time.
    #[default]
    Auto,
    /// Approved or refused by [`Platform::approve`](crate::Platform::approve) and
    /// [`Platform::refuse`](crate::Platform::refuse).
    Manual,
}

/// A device's request to be let in.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The operation's id.
    pub id: String,
    /// What the technician compares with the device's display.
    pub verification_code: String,
    /// The Device ID that the device asked for.
    pub requested_device_id: Option<String>,
    /// When the operation expires (RFC 3339), as the device was told.
    pub expiration_time: String,
    /// Where the operation stands.
    pub state: OperationState,
}

/// Where a Provisioning Operation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationState {
    /// Waits for a decision.
    Pending,
    /// Approved under this Device ID.
    Approved {
        /// What the device is called.
        device_id: String,
    },
    /// Refused by the operator.
    Refused,
    /// Nobody decided in time.
    Expired,
}

pub(crate) struct ProvisioningToken {
    pub workspace_id: String,
    pub device_id: Option<String>,
    pub revoked: bool,
}

pub(crate) struct OperationEntry {
    pub public: Operation,
    pub provisioning_token: String,
    pub expires: Option<Instant>,
    /// Given out at the first poll after approval, and again if that answer got lost.
    pub registration_token: Option<String>,
}

#[derive(Default)]
pub(crate) struct Provisioning {
    pub tokens: HashMap<String, ProvisioningToken>,
    pub operations: Vec<OperationEntry>,
}

impl Provisioning {
    pub fn valid_token(&self, token: &str) -> Option<&ProvisioningToken> {
        self.tokens.get(token).filter(|token| !token.revoked)
    }

    pub fn init(
        &mut self,
        token: &str,
        requested_device_id: Option<String>,
        lifetime: Duration,
        clock: Clock,
    ) -> Operation {
        let operation = Operation {
            id: uuid::Uuid::new_v4().to_string(),
            verification_code: secrets::verification_code(),
            requested_device_id,
            expiration_time: clock.rfc3339(lifetime),
            state: OperationState::Pending,
        };
        self.operations.push(OperationEntry {
            public: operation.clone(),
            provisioning_token: token.to_owned(),
            expires: Instant::now().checked_add(lifetime),
            registration_token: None,
        });
        operation
    }

    /// The operation with that id or verification code, its state brought up to now.
    pub fn find(&mut self, id_or_code: &str) -> Option<&mut OperationEntry> {
        let entry = self.operations.iter_mut().rev().find(|entry| {
            entry.public.id == id_or_code || entry.public.verification_code == id_or_code
        })?;
        entry.expire_if_due();
        Some(entry)
    }

    pub fn pending(&mut self) -> Option<Operation> {
        self.operations.iter_mut().find_map(|entry| {
            entry.expire_if_due();
            (entry.public.state == OperationState::Pending).then(|| entry.public.clone())
        })
    }
}

impl OperationEntry {
    pub fn expire_if_due(&mut self) {
        let due = self
            .expires
            .is_some_and(|expires| expires <= Instant::now());
        if due && self.public.state == OperationState::Pending {
            self.public.state = OperationState::Expired;
        }
    }
}

/// The Platform's rule for Device IDs.
pub(crate) fn is_device_id(id: &str) -> bool {
    (4..=90).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
