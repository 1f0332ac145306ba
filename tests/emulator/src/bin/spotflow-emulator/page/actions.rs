//! What a person tells the Platform by the page's forms.

use std::collections::HashMap;
use std::time::Duration;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, LOCATION, REFERER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as Unknown, StrDeserializer};
use spotflow_emulator::{AckMode, HttpAnswer, Platform, Way};

use super::Page;
use crate::command::{BlockageName, RouteName, WayName};

type Failure = Box<dyn std::error::Error>;

const METHOD_TIMEOUT: Duration = Duration::from_secs(30);
/// MQTT's return code for a server that is unavailable.
const UNAVAILABLE: u8 = 3;

/// The fields of a form.
struct Fields(HashMap<String, String>);

impl Fields {
    fn text(&self, name: &str) -> Result<&str, Failure> {
        let field = self.0.get(name).map(String::as_str);
        field.ok_or_else(|| format!("{name} is missing").into())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, Failure> {
        let text = self.text(name)?.trim();
        text.parse()
            .map_err(|_| format!("{name}: {text:?} is no such number").into())
    }

    /// One of the names that the control lines know, too.
    fn choice<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        let text: StrDeserializer<'_, Unknown> = self.text(name)?.into_deserializer();
        Ok(T::deserialize(text)?)
    }
}

/// Has an order executed. The script is told in text what came of it; without it the page comes again.
pub(super) async fn execute(
    State(page): State<Page>,
    Path(action): Path<String>,
    headers: HeaderMap,
    Form(fields): Form<HashMap<String, String>>,
) -> Response {
    // Some orders wait, for a port or for a device's answer.
    let executed = tokio::task::spawn_blocking(move || {
        let told = perform(&page.platform, &action, &Fields(fields));
        page.feed.changed();
        told.map_err(|error| error.to_string())
    });
    let (status, told) = match executed.await {
        Ok(Ok(told)) => (StatusCode::OK, told),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, format!("Not done: {error}")),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Not done.".to_owned()),
    };
    let accepts_text = headers
        .get(ACCEPT)
        .is_some_and(|accepts| accepts == "text/plain");
    if accepts_text {
        return (status, told).into_response();
    }
    let notice = utf8_percent_encode(&told, NON_ALPHANUMERIC);
    let back = format!("{}?notice={notice}", came_from(&headers));
    (StatusCode::SEE_OTHER, [(LOCATION, back)]).into_response()
}

/// The path of the page that the form is on.
fn came_from(headers: &HeaderMap) -> String {
    let referer = headers.get(REFERER).and_then(|value| value.to_str().ok());
    let uri: Option<Uri> = referer.and_then(|referer| referer.parse().ok());
    uri.map_or_else(|| "/".to_owned(), |uri| uri.path().to_owned())
}

fn perform(platform: &Platform, action: &str, fields: &Fields) -> Result<String, Failure> {
    match action {
        "decide" => decide(platform, fields),
        "desired" => {
            let properties = serde_json::from_str(fields.text("properties")?)?;
            let version = platform.set_desired(fields.text("device")?, &properties)?;
            Ok(format!("Set, version {version}."))
        }
        "send" => {
            platform.send_cloud_message(fields.text("device")?, fields.text("text")?, &[])?;
            Ok("Sent, or waiting for the device.".to_owned())
        }
        "call" => call(platform, fields),
        "forward" => {
            let (device, port) = (fields.text("device")?, fields.number("port")?);
            let local = platform.forward(0, device, port)?;
            Ok(format!("{local} leads to port {port} of the device."))
        }
        "stop-forwarding" => {
            platform.stop_forwarding(fields.number("port")?);
            Ok("Stopped.".to_owned())
        }
        "device" => order(platform, fields),
        _ => fault(platform, action, fields),
    }
}

fn decide(platform: &Platform, fields: &Fields) -> Result<String, Failure> {
    let operation = fields.text("operation")?;
    match fields.text("decision")? {
        "approve" => {
            let device = Some(fields.text("device")?.trim()).filter(|device| !device.is_empty());
            let device = platform.approve(operation, device)?;
            Ok(format!("Approved as {device}."))
        }
        _ => {
            platform.refuse(operation)?;
            Ok("Refused.".to_owned())
        }
    }
}

fn call(platform: &Platform, fields: &Fields) -> Result<String, Failure> {
    let (device, method) = (fields.text("device")?, fields.text("method")?);
    let payload = fields.text("payload")?.trim();
    let answer = platform.call_method(device, method, payload, METHOD_TIMEOUT)?;
    let body = String::from_utf8_lossy(&answer.payload);
    Ok(format!("{method} answered {}: {body}", answer.status))
}

fn order(platform: &Platform, fields: &Fields) -> Result<String, Failure> {
    let device = fields.text("device")?;
    let done = match fields.text("order")? {
        "cut" => {
            platform.close_connection(device)?;
            "Cut."
        }
        "expire-sas" => {
            platform.expire_sas(device)?;
            "Its password has expired."
        }
        "revoke" => {
            platform.revoke_registration_tokens(device)?;
            "Revoked."
        }
        "reset-twin" => {
            platform.reset_twin(device)?;
            "Forgotten."
        }
        "delete" => {
            platform.delete_device(device)?;
            "Deleted."
        }
        other => return Err(format!("there is no order {other:?}").into()),
    };
    Ok(done.to_owned())
}

fn fault(platform: &Platform, action: &str, fields: &Fields) -> Result<String, Failure> {
    match action {
        "switch" => switch(platform, fields.text("fault")?)?,
        "acknowledge" => platform.acknowledge(match fields.text("mode")? {
            "withhold" => AckMode::Withhold,
            "second" => AckMode::After(Duration::from_secs(1)),
            _ => AckMode::Immediately,
        }),
        "block" => {
            let way: Way = fields.choice::<WayName>("way")?.into();
            match fields.text("blockage")? {
                "open" => platform.unblock(way)?,
                _ => platform.block(way, fields.choice::<BlockageName>("blockage")?.into())?,
            }
        }
        "http" => {
            let route = fields.choice::<RouteName>("route")?.into();
            let (status, count) = (fields.number("status")?, fields.number("count")?);
            if fields.text("html").is_ok() {
                let answer = HttpAnswer::html(status, "Somebody else answers");
                platform.http_answer(route, answer, Some(count));
            } else {
                platform.http_status(route, status, None, count);
            }
        }
        "mend" => mend(platform)?,
        other => return Err(format!("there is no order {other:?}").into()),
    }
    Ok("Done. It holds until everything is taken back.".to_owned())
}

fn switch(platform: &Platform, fault: &str) -> Result<(), Failure> {
    match fault {
        "silent" => platform.go_silent(true),
        "cut-all" => platform.close_connections(),
        "refuse-connects" => platform.refuse_connects(UNAVAILABLE, None),
        "throttle" => platform.throttle_messages(1.0, 1),
        "disable" => platform.disable_workspace(true),
        "expire-upload-sas" => platform.expire_upload_sas(),
        other => return Err(format!("there is no fault {other:?}").into()),
    }
    Ok(())
}

/// Ends every fault that the page can switch on.
fn mend(platform: &Platform) -> Result<(), Failure> {
    platform.acknowledge(AckMode::Immediately);
    platform.go_silent(false);
    platform.refuse_connects(0, None);
    platform.stop_throttling();
    platform.disable_workspace(false);
    platform.clear_http_faults();
    for way in [Way::Mqtt, Way::WebSocket, Way::Https] {
        platform.unblock(way)?;
    }
    Ok(())
}
