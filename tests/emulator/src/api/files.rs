//! IoT Hub's file upload: hands out places in the storage, and hears what became of it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::state::{self, Core};
use crate::storage;

/// The oldest version whose file upload is as here; any later one will do.
const API_VERSION_MIN: &str = "2018-06-30";

/// An error as IoT Hub tells it.
pub(crate) struct HubError(u16, u32, String);

impl IntoResponse for HubError {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "errorCode": code, "message": message });
        (status, [("iothub-errorcode", code.to_string())], Json(body)).into_response()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    blob_name: String,
}

/// Step 1: gives out a place to upload to.
pub(crate) async fn open(
    State(core): State<Arc<Core>>,
    Path(hub_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, HubError> {
    core.change(|state| {
        check(state, &hub_id, query.as_deref(), &headers)?;
        let Open { blob_name } = parse(&body)?;
        if blob_name.is_empty() || blob_name.len() > 1024 {
            return Err(HubError(
                400,
                400_000,
                "the blob's name must have 1 to 1024 bytes".to_owned(),
            ));
        }
        let uploads = &mut state.storage.uploads;
        let active = uploads.active(&hub_id);
        if active >= storage::ACTIVE_MAX {
            return Err(HubError(
                403,
                403_006,
                format!("{active} uploads are active"),
            ));
        }
        let lifetime = core.settings.upload_sas_lifetime;
        let (correlation_id, signature) = uploads.open(&hub_id, &blob_name, lifetime);
        let expiry = core.clock.rfc3339(lifetime);
        let expiry = utf8_percent_encode(&expiry, NON_ALPHANUMERIC);
        Ok(Json(json!({
            "correlationId": correlation_id,
            "hostName": core.hub_host,
            "containerName": storage::CONTAINER,
            "blobName": format!("{hub_id}/{blob_name}"),
            "sasToken": format!("?sv=2018-03-28&sr=b&sig={signature}&se={expiry}&sp=rw"),
        })))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notify {
    correlation_id: String,
    is_success: bool,
}

/// Step 3: how it went, which ends the upload.
pub(crate) async fn notify(
    State(core): State<Arc<Core>>,
    Path(hub_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, HubError> {
    core.change(|state| {
        check(state, &hub_id, query.as_deref(), &headers)?;
        let Notify {
            correlation_id,
            is_success,
        } = parse(&body)?;
        if state
            .storage
            .uploads
            .notified(&hub_id, &correlation_id, is_success)
        {
            Ok(StatusCode::NO_CONTENT)
        } else {
            Err(HubError(404, 404_000, "there is no such upload".to_owned()))
        }
    })
}

fn check(
    state: &state::State,
    hub_id: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), HubError> {
    let mut pairs = query.unwrap_or("").split('&');
    let version = pairs.find_map(|pair| pair.strip_prefix("api-version="));
    if version.is_none_or(|version| version < API_VERSION_MIN) {
        let needed = format!("api-version={API_VERSION_MIN} or later is needed");
        return Err(HubError(400, 400_000, needed));
    }
    let sas = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let device = state.registry.devices.get(hub_id);
    if device.is_some_and(|device| device.valid_sas(sas).is_some()) {
        Ok(())
    } else {
        Err(HubError(401, 401_002, "the SAS is not valid".to_owned()))
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, HubError> {
    serde_json::from_slice(body).map_err(|error| HubError(400, 400_000, error.to_string()))
}
