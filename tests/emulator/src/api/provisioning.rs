//! Provisioning, registration and the refresh of Registration Tokens.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::clock::time_span;
use crate::news::Event;
use crate::provisioning::{Approval, OperationState, is_device_id};
use crate::registry::RefreshRefused;
use crate::state::{self, Core};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Init {
    device_id: Option<String>,
}

pub(crate) async fn init(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let token = device_token(&headers)?;
    core.change(|state| {
        check_provisioning_token(state, token)?;
        let Init { device_id } = parse(&headers, &body)?;
        if let Some(id) = device_id.as_deref().filter(|id| !is_device_id(id)) {
            return Err(Problem::bad_request(format!("{id:?} is not a device ID")));
        }
        let lifetime = core.settings.operation_lifetime;
        let operation = state
            .provisioning
            .init(token, device_id, lifetime, core.clock);
        state
            .events
            .push(Event::OperationStarted(operation.clone()));
        Ok(Json(json!({
            "provisioningOperationId": operation.id,
            "verificationCode": operation.verification_code,
            "expirationTime": operation.expiration_time,
        })))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complete {
    provisioning_operation_id: String,
}

pub(crate) async fn complete(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let token = device_token(&headers)?;
    core.change(|state| {
        check_provisioning_token(state, token)?;
        let Complete {
            provisioning_operation_id: id,
        } = parse(&headers, &body)?;
        decide_automatically(&core, state, &id);
        let operation = state
            .provisioning
            .find(&id)
            .filter(|operation| operation.public.id == id && operation.provisioning_token == token)
            .ok_or_else(|| {
                gone(
                    "the provisioning operation is unknown",
                    "provisioningOperationNotFound",
                )
            })?;
        match operation.public.state.clone() {
            OperationState::Pending => Ok(StatusCode::ACCEPTED.into_response()),
            OperationState::Refused => Err(gone(
                "the provisioning operation was refused",
                "provisioningOperationCancelled",
            )),
            OperationState::Expired => Err(gone(
                "the provisioning operation has expired",
                "provisioningOperationExpired",
            )),
            OperationState::Approved { device_id } => {
                Ok(Json(give_registration_token(&core, state, &id, &device_id)).into_response())
            }
        }
    })
}

fn gone(detail: &str, kind: &str) -> Problem {
    Problem::new(410, "Gone", detail).of_type(format!("/problems/deviceProvisioning/{kind}"))
}

fn decide_automatically(core: &Core, state: &mut state::State, id: &str) {
    if core.settings.approval == Approval::Auto {
        let device_id = state.device_id_for(id, None);
        if let Some(operation) = state.provisioning.find(id)
            && operation.public.state == OperationState::Pending
        {
            operation.public.state = OperationState::Approved { device_id };
        }
    }
}

/// The approved device's Registration Token: the same again if the device asks again.
fn give_registration_token(
    core: &Core,
    state: &mut state::State,
    id: &str,
    device_id: &str,
) -> Value {
    let lifetime = core.settings.registration_token_lifetime;
    let Some(operation) = state.provisioning.find(id) else {
        return Value::Null;
    };
    let provisioning_token = operation.provisioning_token.clone();
    let token = match operation.registration_token.clone() {
        Some(token) => token,
        None => {
            let workspace_id = state
                .provisioning
                .valid_token(&provisioning_token)
                .map_or_else(
                    || core.settings.workspace_id.clone(),
                    |token| token.workspace_id.clone(),
                );
            let token =
                state
                    .registry
                    .register(&workspace_id, device_id, &provisioning_token, lifetime);
            if let Some(operation) = state.provisioning.find(id) {
                operation.registration_token = Some(token.clone());
            }
            token
        }
    };
    registration_token_answer(core, state, &token)
}

fn registration_token_answer(core: &Core, state: &state::State, token: &str) -> Value {
    let mut answer = json!({ "registrationToken": token });
    if let Some(remaining) = remaining_lifetime(state, token) {
        answer["expirationTime"] = core.clock.rfc3339(remaining).into();
    }
    answer
}

fn remaining_lifetime(state: &state::State, token: &str) -> Option<std::time::Duration> {
    let expires = state.registry.valid_token(token)?.expires?;
    Some(expires.saturating_duration_since(Instant::now()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Register {
    connection_string_type: String,
}

pub(crate) async fn register(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let token = device_token(&headers)?;
    core.change(|state| {
        let unauthorized = || Problem::unauthorized("the Registration Token is not valid");
        let hub_id = state.registry.valid_token(token).ok_or_else(unauthorized)?.hub_id.clone();
        check_workspace(state)?;
        let Register { connection_string_type } = parse(&headers, &body)?;
        if connection_string_type != "SharedAccessSignature" {
            return Err(Problem::bad_request(format!("connection string type {connection_string_type:?}")));
        }
        let remaining = remaining_lifetime(state, token).map(time_span);
        let device = state.registry.devices.get_mut(&hub_id).ok_or_else(unauthorized)?;
        let host = state.announced_hub.as_ref().unwrap_or(&core.hub_host);
        let lifetime = core.settings.sas_lifetime;
        let sas = device.issue_sas(host, lifetime, core.clock);
        state.events.push(Event::Registered { device: device.public.as_ref().clone() });
        Ok(Json(json!({
            "connectionString": format!("HostName={host};DeviceId={hub_id};SharedAccessSignature={sas}"),
            "iotHubHostName": host,
            "connectionStringType": "SharedAccessSignature",
            "connectionStringExpiration": core.clock.rfc3339(lifetime),
            "tokenRemainingLifetime": remaining,
        })))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refresh {
    registration_token: String,
}

pub(crate) async fn refresh(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let token = device_token(&headers)?;
    core.change(|state| {
        check_provisioning_token(state, token)?;
        let Refresh { registration_token } = parse(&headers, &body)?;
        let lifetime = core.settings.registration_token_lifetime;
        match state.registry.refresh(&registration_token, token, lifetime) {
            Ok(new) => Ok(Json(registration_token_answer(&core, state, &new))),
            Err(refused) => Err(refresh_problem(refused)),
        }
    })
}

fn refresh_problem(refused: RefreshRefused) -> Problem {
    match refused {
        RefreshRefused::Foreign => Problem::new(
            403,
            "Forbidden",
            "the Registration Token is not of this Provisioning Token",
        ),
        RefreshRefused::Expired => Problem::new(410, "Gone", "the Registration Token has expired"),
        RefreshRefused::Revoked => Problem::new(
            412,
            "Precondition Failed",
            "the Registration Token was revoked",
        ),
    }
}

fn device_token(headers: &HeaderMap) -> Result<&str, Problem> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("DeviceToken "))
        .ok_or_else(|| {
            Problem::unauthorized("an Authorization header with a DeviceToken is needed")
        })
}

fn check_provisioning_token(state: &state::State, token: &str) -> Result<(), Problem> {
    match state.provisioning.valid_token(token) {
        None => Err(Problem::unauthorized("the Provisioning Token is not valid")),
        Some(_) => check_workspace(state),
    }
}

fn check_workspace(state: &state::State) -> Result<(), Problem> {
    if state.workspace_disabled {
        Err(Problem::workspace_disabled())
    } else {
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.starts_with("application/json")) {
        return Err(Problem::new(
            415,
            "Unsupported Media Type",
            "the body must be application/json",
        ));
    }
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(error.to_string()))
}
