//! File uploads, a call at a time.
#![allow(dead_code, reason = "each test file uses its own part")]

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use serde_json::{Value, json};
use spotflow_emulator::Platform;

use super::{Answer, Credentials, call};

const VERSION: &str = "api-version=2020-03-13";

pub fn hub_call(
    platform: &Platform,
    credentials: &Credentials,
    path: &str,
    body: &Value,
) -> Answer {
    let url = format!(
        "https://{}/devices/{}/{path}",
        platform.hub_host_name(),
        credentials.hub_id
    );
    let headers = [
        ("authorization", credentials.sas.as_str()),
        ("content-type", "application/json"),
    ];
    call(
        platform,
        "POST",
        &url,
        &headers,
        body.to_string().as_bytes(),
    )
}

pub fn open(platform: &Platform, credentials: &Credentials, blob_name: &str) -> Answer {
    hub_call(
        platform,
        credentials,
        &format!("files?{VERSION}"),
        &json!({ "blobName": blob_name }),
    )
}

pub fn put(platform: &Platform, place: &Value, content: &[u8]) -> u16 {
    let url = url(place);
    call(
        platform,
        "PUT",
        &url,
        &[("x-ms-blob-type", "BlockBlob")],
        content,
    )
    .status
}

pub fn notify(platform: &Platform, credentials: &Credentials, place: &Value, success: bool) -> u16 {
    let body = json!({
        "correlationId": place["correlationId"],
        "isSuccess": success,
        "statusCode": 200,
        "statusDescription": "Done",
    });
    hub_call(
        platform,
        credentials,
        &format!("files/notifications?{VERSION}"),
        &body,
    )
    .status
}

/// Where the place is, with its SAS.
pub fn url(place: &Value) -> String {
    let part = |name: &str| place[name].as_str().unwrap().to_owned();
    let (host, container) = (part("hostName"), part("containerName"));
    let (blob, sas) = (part("blobName"), part("sasToken"));
    format!("https://{host}/{container}/{blob}{sas}")
}

/// A block's id, of one length for all.
pub fn id(number: u32) -> String {
    BASE64_URL_SAFE.encode(format!("{number:06}"))
}

pub fn put_block(platform: &Platform, place: &Value, id: &str, content: &[u8]) -> Answer {
    let url = format!("{}&comp=block&blockid={id}", url(place));
    call(platform, "PUT", &url, &[], content)
}

pub fn put_list(platform: &Platform, place: &Value, ids: &[&str]) -> Answer {
    let blocks: String = ids
        .iter()
        .map(|id| format!("<Latest>{id}</Latest>"))
        .collect();
    let list = format!(r#"<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>"#);
    let url = format!("{}&comp=blocklist", url(place));
    call(platform, "PUT", &url, &[], list.as_bytes())
}
