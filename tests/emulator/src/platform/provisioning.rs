//! Provisioning Tokens and the technician's part in provisioning.

use std::time::Duration;

use super::Platform;
use crate::error::{Error, Timeout};
use crate::news::Event;
use crate::provisioning::{Operation, OperationState, ProvisioningToken, is_device_id};
use crate::secrets;
use crate::state::State;

impl Platform {
    /// Makes another Provisioning Token, with a Device ID in it or not, of the same Workspace or another.
    pub fn add_provisioning_token(
        &self,
        device_id: Option<&str>,
        workspace_id: Option<&str>,
    ) -> String {
        let token = secrets::token("pt-");
        let workspace_id = workspace_id
            .unwrap_or(&self.core.settings.workspace_id)
            .to_owned();
        let device_id = device_id.map(str::to_owned);
        self.core.change(|state| {
            let entry = ProvisioningToken {
                workspace_id,
                device_id,
                revoked: false,
            };
            state.provisioning.tokens.insert(token.clone(), entry);
        });
        token
    }

    /// From now on the Provisioning Token is answered with 401. Registered devices stay registered.
    pub fn revoke_provisioning_token(&self, token: &str) {
        self.core.change(|state| {
            if let Some(token) = state.provisioning.tokens.get_mut(token) {
                token.revoked = true;
            }
        });
    }

    /// All Provisioning Operations there ever were, the oldest first.
    pub fn operations(&self) -> Vec<Operation> {
        self.core.change(|state| {
            let operations = state.provisioning.operations.iter_mut();
            operations
                .map(|entry| {
                    entry.expire_if_due();
                    entry.public.clone()
                })
                .collect()
        })
    }

    /// Waits for a Provisioning Operation that waits for a decision.
    ///
    /// # Errors
    /// If there is none in time.
    pub fn wait_for_operation(&self, timeout: Duration) -> Result<Operation, Timeout> {
        self.core.wait(
            timeout,
            |state| state.provisioning.pending(),
            |state| {
                format!(
                    "a pending operation; there were {} others",
                    state.provisioning.operations.len()
                )
            },
        )
    }

    /// Approves an operation, named by its id or its verification code, under the Device ID given here, else
    /// the one that the device asked for, else the Provisioning Token's, else one made up. Returns it.
    ///
    /// # Errors
    /// If there is no such operation, it is closed already, or the Device ID is none.
    pub fn approve(&self, operation: &str, device_id: Option<&str>) -> Result<String, Error> {
        if let Some(bad) = device_id.filter(|id| !is_device_id(id)) {
            return Err(Error::InvalidDeviceId(bad.to_owned()));
        }
        self.core.change(|state| {
            let device_id = state.device_id_for(operation, device_id);
            decide(
                state,
                operation,
                OperationState::Approved {
                    device_id: device_id.clone(),
                },
            )?;
            Ok(device_id)
        })
    }

    /// Refuses an operation, named by its id or its verification code.
    ///
    /// # Errors
    /// If there is no such operation or it is closed already.
    pub fn refuse(&self, operation: &str) -> Result<(), Error> {
        self.core
            .change(|state| decide(state, operation, OperationState::Refused))
    }

    /// Has an operation expire now.
    ///
    /// # Errors
    /// If there is no such operation or it is closed already.
    pub fn expire_operation(&self, operation: &str) -> Result<(), Error> {
        self.core
            .change(|state| decide(state, operation, OperationState::Expired))
    }
}

fn decide(state: &mut State, operation: &str, decision: OperationState) -> Result<(), Error> {
    let entry = state
        .provisioning
        .find(operation)
        .ok_or_else(|| Error::UnknownOperation(operation.to_owned()))?;
    if entry.public.state != OperationState::Pending {
        return Err(Error::OperationClosed(entry.public.id.clone()));
    }
    entry.public.state = decision;
    let operation = entry.public.clone();
    state.events.push(Event::OperationClosed(operation));
    Ok(())
}

impl State {
    /// Which Device ID the operation leads to.
    pub(crate) fn device_id_for(&mut self, operation: &str, decided: Option<&str>) -> String {
        let entry = self.provisioning.find(operation);
        let (requested, token) = entry
            .map(|entry| {
                (
                    entry.public.requested_device_id.clone(),
                    entry.provisioning_token.clone(),
                )
            })
            .unwrap_or_default();
        decided
            .map(str::to_owned)
            .or(requested)
            .or_else(|| self.provisioning.tokens.get(&token)?.device_id.clone())
            .unwrap_or_else(|| {
                format!("device-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
            })
    }
}
