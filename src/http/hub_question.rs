//! Whether the hub takes a device's password, asked without connecting as the device, which would end its client's
//! connection: how an upload went that the hub has never heard of. It changes nothing there.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::agent::{Agent, CallLimits};
use super::registration::HubCredentials;
use super::request::{HTTPS_PORT, Method, Request};
use super::word::{Asked, is_own_word, somebody_else};
use crate::net::host::Host;
use crate::{Error, Result};

const ACTION: &str = "ask the hub";
const NOBODYS_UPLOAD: &str = "00000000-0000-0000-0000-000000000000";
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// The HTTP status of the hub's answer: 400 or 404, if it takes the password.
pub(crate) fn ask_hub(
    agent: &Agent,
    credentials: &HubCredentials,
    timeout: Duration,
) -> Result<u16> {
    let unusable = |_| Error::protocol(ACTION, "the hub's credentials are unusable");
    let host = Host::parse(&credentials.host_name, HTTPS_PORT).map_err(unusable)?;
    let device = credentials.device.to_string();
    let device = utf8_percent_encode(&device, PATH);
    let body = json!({ "correlationId": NOBODYS_UPLOAD, "isSuccess": false, "statusCode": 500, "statusDescription": "" }).to_string();
    let request = Request {
        method: Method::Post,
        host: &host,
        target: format!("/devices/{device}/files/notifications?api-version=2020-03-13").into(),
        headers: &[
            ("authorization", credentials.sas.expose()),
            ("content-type", "application/json"),
            ("accept", "application/json"),
        ],
        body: body.as_bytes(),
    };
    let answer = agent.call(ACTION, &request, CallLimits::within(timeout))?;
    if !is_own_word(Asked::HubOrStorage, &answer) {
        return Err(somebody_else(ACTION, &answer));
    }
    Ok(answer.status)
}
