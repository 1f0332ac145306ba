//! Large content on its way to the hub's blob store.
//!
//! ```text
//! 1  POST hub   .../files                where to?      -> host, container, blob, sasToken
//! 2  PUT  blob  /container/blob?sasToken content           (as a whole, or in blocks)
//! 3  POST hub   .../files/notifications  done or failed    (frees one of the device's 10 places)
//! ```

mod blocks;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::{Agent, CALL_TIMEOUT, CallLimits, StreamedBody};
use super::answer::Answer;
use super::registration::HubCredentials;
use super::request::{HTTPS_PORT, Method, Request};
use super::word::{Asked, is_own_word, somebody_else};
use crate::net::host::Host;
use crate::secret::Secret;
use crate::{Error, Result};

const ACTION: &str = "upload large content";
const API_VERSION: &str = "api-version=2020-03-13";

/// What may stand in a path besides letters and digits. `/` and `:` are part of the names.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':');

/// Why content was not uploaded, by what to do about it.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The hub does not accept the SAS or know the device: register again, then try again.
    CredentialsRefused(Error),
    /// Nothing is wrong with the content: try again later.
    Transient(Error),
    /// This content will not be taken.
    Permanent(Error),
    /// This storage takes no blocks; it may take the content as a whole.
    BlocksRefused(Error),
}

impl UploadError {
    pub fn error(&self) -> &Error {
        match self {
            UploadError::CredentialsRefused(error)
            | UploadError::Transient(error)
            | UploadError::Permanent(error)
            | UploadError::BlocksRefused(error) => error,
        }
    }
}

/// The hub's end of the upload: steps 1 and 3.
pub(crate) struct UploadHub<'a> {
    agent: &'a Agent,
    host: Host,
    files_path: String,
    sas: &'a Secret,
}

impl<'a> UploadHub<'a> {
    pub fn new(agent: &'a Agent, credentials: &'a HubCredentials) -> Result<UploadHub<'a>> {
        let unusable = |_| Error::protocol(ACTION, "the hub's credentials are unusable");
        let device = credentials.device.to_string();
        Ok(UploadHub {
            agent,
            host: Host::parse(&credentials.host_name, HTTPS_PORT).map_err(unusable)?,
            files_path: format!("/devices/{}/files", utf8_percent_encode(&device, PATH)),
            sas: &credentials.sas,
        })
    }

    /// Step 1.
    pub fn ask_for_place(&self, blob_name: &str) -> Result<Place, UploadError> {
        let answer = self.post("", &json!({ "blobName": blob_name }))?;
        // What serde_json says about it could repeat the sasToken.
        serde_json::from_slice(&answer.body).map_err(|_| {
            UploadError::Transient(Error::protocol(ACTION, "not the expected JSON of a place"))
        })
    }

    /// Step 3, after step 2.
    pub fn notify_success(&self, correlation_id: &str) -> Result<(), UploadError> {
        self.notify(&json!({
            "correlationId": correlation_id,
            "isSuccess": true,
            "statusCode": 200,
            "statusDescription": "Done",
        }))
    }

    /// Step 3, instead of step 2.
    pub fn notify_failure(&self, correlation_id: &str) -> Result<(), UploadError> {
        self.notify(&json!({
            "correlationId": correlation_id,
            "isSuccess": false,
            "statusCode": 500,
            "statusDescription": "Failed",
        }))
    }

    fn notify(&self, notification: &Value) -> Result<(), UploadError> {
        self.post("/notifications", notification).map(drop)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Answer, UploadError> {
        let body = body.to_string();
        let request = Request {
            method: Method::Post,
            host: &self.host,
            target: format!("{}{path}?{API_VERSION}", self.files_path).into(),
            headers: &[
                ("authorization", self.sas.expose()),
                ("content-type", "application/json"),
                ("accept", "application/json"),
            ],
            body: body.as_bytes(),
        };
        let answer = self
            .agent
            .call(ACTION, &request, CallLimits::within(CALL_TIMEOUT));
        let answer = own_word(answer)?;
        match answer.status {
            200..=299 => Ok(answer),
            // 404: a hub that does not know the device, after a fail-over or as it was created anew.
            403 if has_no_free_place(&answer.body) => Err(UploadError::Transient(unavailable(403))),
            401 | 403 | 404 => Err(UploadError::CredentialsRefused(refused(answer.status))),
            status => Err(refusal(status)),
        }
    }
}

/// Where the content goes. No Debug: it holds the upload link's secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    pub correlation_id: String,
    host_name: String,
    container_name: String,
    blob_name: String,
    sas_token: String,
}

impl Place {
    /// Step 2, as a whole: uploads, for as long as that makes progress.
    pub fn put(&self, agent: &Agent, content: StreamedBody<'_>) -> Result<(), UploadError> {
        let headers = [
            ("x-ms-blob-type", "BlockBlob"),
            ("content-type", "application/octet-stream"),
        ];
        let answer = self.request("", &headers, &[], |request| {
            agent.transfer_from(ACTION, request, content)
        });
        match answer?.status {
            200..=299 => Ok(()),
            // The sasToken has run out; the next try gets a new one.
            403 => Err(UploadError::Transient(unavailable(403))),
            status => Err(refusal(status)),
        }
    }

    /// What the storage says to a PUT; `query` is added to that of the link.
    fn write(
        &self,
        agent: &Agent,
        query: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<Answer, UploadError> {
        self.request(query, headers, body, |request| {
            agent.transfer(ACTION, request)
        })
    }

    fn request(
        &self,
        query: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
        make: impl FnOnce(&Request<'_>) -> Result<Answer>,
    ) -> Result<Answer, UploadError> {
        let no_address = || Error::protocol(ACTION, "the hub named no usable address");
        let (host, target) = self
            .address()
            .ok_or_else(|| UploadError::Transient(no_address()))?;
        let request = Request {
            method: Method::Put,
            host: &host,
            target: format!("{target}{query}").into(),
            headers: &[headers, &[("accept", "*/*")]].concat(),
            body,
        };
        own_word(make(&request))
    }

    /// The host, and the path with the signature.
    fn address(&self) -> Option<(Host, String)> {
        let host = Host::parse(&self.host_name, HTTPS_PORT).ok()?;
        let query = self.sas_token.strip_prefix('?').unwrap_or(&self.sas_token);
        let is_query = |b: u8| b.is_ascii_graphic() && !b"#\"<>\\".contains(&b);
        let target = || {
            let container = utf8_percent_encode(&self.container_name, PATH);
            let blob = utf8_percent_encode(&self.blob_name, PATH);
            (host, format!("/{container}/{blob}?{query}"))
        };
        query.bytes().all(is_query).then(target)
    }
}

/// The answer, if it is that of the hub or its storage: a portal's success would be content that is nowhere.
fn own_word(answer: Result<Answer>) -> Result<Answer, UploadError> {
    let answer = answer.map_err(UploadError::Transient)?;
    if !is_own_word(Asked::HubOrStorage, &answer) {
        return Err(UploadError::Transient(somebody_else(ACTION, &answer)));
    }
    Ok(answer)
}

fn refusal(status: u16) -> UploadError {
    match status {
        408 | 429 | 500..=599 => UploadError::Transient(unavailable(status)),
        400..=499 => UploadError::Permanent(refused(status)),
        _ => UploadError::Transient(Error::protocol(ACTION, format!("HTTP status {status}"))),
    }
}

/// IoT Hub's `DeviceMaximumActiveFileUploadLimitExceeded`: uploads that were not notified, as by a
/// device that lost power, hold their places until the hub gives up on them.
fn has_no_free_place(body: &[u8]) -> bool {
    const CODE: &[u8] = b"403006";
    body.windows(CODE.len()).any(|window| window == CODE)
}

// Explanations are left out: the hub's and the blob store's may repeat the link or the signature.

fn refused(status: u16) -> Error {
    Error::Refused {
        action: ACTION,
        status,
        detail: None,
    }
}

fn unavailable(status: u16) -> Error {
    Error::Unavailable {
        action: ACTION,
        status,
        detail: None,
    }
}

#[cfg(test)]
mod tests;
