//! A stored Message in JSON: what `list` and `export` write, and `import` reads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::payload::{Decoded, decode};
use crate::identity::HubDeviceId;
use crate::message::priority::Priority;
use crate::message::property_bag;
use crate::message::rules::{MAX_PAYLOAD_BYTES, check_rendered};
use crate::message::terms;
use crate::store::rows::lane;
use crate::store::rows::listing::{StoredElsewhere, StoredMessage, bag};
use crate::tool::units;

pub(super) const PENDING: &str = "pending";
pub(super) const SET_ASIDE: &str = "set_aside";

/// How an exported payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadForm {
    /// Not at all.
    None,
    /// As it is stored, to be imported.
    Stored,
    /// Decompressed, and as JSON or text where it is that.
    Decoded,
}

/// The Message as a JSON object. `device` is whose file it is in.
pub(super) fn to_json(
    message: &StoredMessage,
    device: Option<&HubDeviceId>,
    form: PayloadForm,
) -> Value {
    let set_aside = message.set_aside.as_ref();
    let identity = set_aside.map_or(device, |it| Some(&it.identity));
    let mut json = Map::new();
    let mut put = |name: &str, value: Value| json.insert(name.to_owned(), value);
    put("id", message.id.into());
    put("state", state(message).into());
    put("priority", lane::priority(message.id).name().into());
    put("stored_at", units::time(message.stored_at_ms).into());
    if let Some(why) = set_aside {
        put("set_aside_at", units::time(why.at_ms).into());
        put("reason", why.reason.clone().into());
    }
    if let Some(identity) = identity {
        put("workspace_id", identity.workspace_id.clone().into());
        put("device_id", identity.device_id.clone().into());
    }
    let properties = property_bag::parse(bag(&message.properties));
    let mut named = Map::new();
    for (key, value) in properties {
        named.insert(key, value.into());
    }
    put("properties", Value::Object(named));
    if let Some(time_to_live) = terms::time_to_live(&message.properties) {
        let ms = u64::try_from(time_to_live.as_millis());
        put("time_to_live_ms", ms.unwrap_or(u64::MAX).into());
    }
    if terms::latest(&message.properties).is_some() {
        put("keeps_latest", true.into());
    }
    if let Some(key) = terms::latest_name(&message.properties) {
        put("latest_key", key.into());
    }
    put("is_uploaded", message.upload.into());
    put("payload_bytes", message.body_bytes.into());
    let body = message.body.as_deref().unwrap_or_default();
    let is_left_out = message.body.is_none() && message.content.is_some();
    match form {
        PayloadForm::None => {}
        _ if is_left_out => drop(put("is_payload_left_out", true.into())),
        PayloadForm::Stored => {
            put("property_bag", message.properties.clone().into());
            put("payload_base64", STANDARD.encode(body).into());
        }
        PayloadForm::Decoded => match decode(&message.properties, body) {
            Decoded::Json(value) => drop(put("payload", value)),
            Decoded::Text(text) => drop(put("payload", text.into())),
            Decoded::Bytes(bytes) => drop(put("payload_base64", STANDARD.encode(bytes).into())),
        },
    }
    if form == PayloadForm::Decoded {
        put("is_decoded", json!(true));
    }
    Value::Object(json)
}

pub(super) fn state(message: &StoredMessage) -> &'static str {
    if message.set_aside.is_some() {
        SET_ASIDE
    } else {
        PENDING
    }
}

/// A line that `export` wrote.
#[derive(Debug, Deserialize)]
struct Line {
    state: String,
    #[serde(default)]
    priority: Option<String>,
    stored_at: String,
    #[serde(default)]
    workspace_id: Option<String>,
    #[serde(default)]
    device_id: Option<String>,
    #[serde(default)]
    is_decoded: bool,
    #[serde(default)]
    is_uploaded: bool,
    #[serde(default)]
    is_payload_left_out: bool,
    #[serde(default)]
    property_bag: Option<String>,
    #[serde(default)]
    payload_base64: Option<String>,
}

/// An exported Message.
pub(super) struct Imported {
    pub is_set_aside: bool,
    /// Whose it was; nothing if that device had not registered yet.
    pub identity: Option<HubDeviceId>,
    pub message: StoredElsewhere,
}

impl Imported {
    /// Reads a line; the error is what is wrong with it, and repeats nothing of it.
    pub fn parse(line: &str) -> Result<Imported, String> {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            let column = error.column();
            format!("not a Message as `export` writes it (column {column})")
        })?;
        if line.is_decoded {
            return Err("it was exported with --decode, and is no copy of what was stored".into());
        }
        if line.is_payload_left_out {
            return Err(
                "it was exported without its payload, which is too large for a line".into(),
            );
        }
        let is_set_aside = match line.state.as_str() {
            PENDING => false,
            SET_ASIDE => true,
            _ => return Err(format!("its state is neither {PENDING} nor {SET_ASIDE}")),
        };
        let priority = match &line.priority {
            None => Priority::default(),
            Some(name) => Priority::named(name).ok_or("its priority is none")?,
        };
        let stored_at_ms = units::parse_time(&line.stored_at).ok_or("stored_at is no time")?;
        let properties = line.property_bag.ok_or("property_bag is missing")?;
        let payload = line.payload_base64.ok_or("payload_base64 is missing")?;
        let body = STANDARD
            .decode(payload)
            .map_err(|_| "payload_base64 is not base64")?;
        if body.len() > MAX_PAYLOAD_BYTES {
            return Err(format!(
                "its payload has more than {MAX_PAYLOAD_BYTES} bytes"
            ));
        }
        let is_bag = |byte: u8| byte.is_ascii_graphic() && !b"/+#".contains(&byte);
        if !bag(&properties).bytes().all(is_bag) {
            return Err("property_bag has characters that no topic has".into());
        }
        if !properties.is_ascii() || !terms::are_known(&properties) {
            return Err("property_bag has terms that are not known".into());
        }
        check_rendered(
            bag(&properties),
            if line.is_uploaded { 0 } else { body.len() },
        )?;
        let identity = line.workspace_id.zip(line.device_id);
        Ok(Imported {
            is_set_aside,
            identity: identity.map(|(workspace_id, device_id)| HubDeviceId {
                workspace_id,
                device_id,
            }),
            message: StoredElsewhere {
                priority,
                stored_at_ms,
                properties,
                body,
                upload: line.is_uploaded,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredMessage {
        StoredMessage {
            id: lane::id(Priority::Urgent, 7),
            stored_at_ms: 1_795_348_800_123,
            properties: "stream-name=a%20b&message-id=1".into(),
            upload: false,
            body_bytes: 3,
            body: Some(vec![0, 255, 10]),
            content: None,
            set_aside: None,
        }
    }

    #[test]
    fn what_is_exported_is_imported_as_it_was() {
        let device = HubDeviceId {
            workspace_id: "ws".into(),
            device_id: "dev".into(),
        };
        let line = to_json(&stored(), Some(&device), PayloadForm::Stored);
        assert_eq!(line["properties"]["stream-name"], "a b");
        let imported = Imported::parse(&line.to_string()).unwrap();
        assert!(!imported.is_set_aside);
        assert_eq!(imported.identity, Some(device));
        let message = imported.message;
        assert_eq!(message.priority, Priority::Urgent);
        assert_eq!(message.stored_at_ms, stored().stored_at_ms);
        assert_eq!(message.properties, stored().properties);
        assert_eq!(Some(message.body), stored().body);
    }

    #[test]
    fn what_the_device_alone_needs_to_know_of_it_is_told_and_imported_too() {
        for (terms, expected) in [
            ("", [Value::Null, Value::Null, Value::Null]),
            (
                "\ntime-to-live-ms=60000",
                [json!(60_000), Value::Null, Value::Null],
            ),
            ("\nlatest=g/s%20t/", [Value::Null, json!(true), Value::Null]),
            (
                "\ntime-to-live-ms=1\nlatest=//valve%207",
                [json!(1), json!(true), json!("valve 7")],
            ),
        ] {
            let mut message = stored();
            message.properties += terms;
            let line = to_json(&message, None, PayloadForm::Stored);
            let told = ["time_to_live_ms", "keeps_latest", "latest_key"];
            assert_eq!(told.map(|name| line[name].clone()), expected);
            assert_eq!(line["properties"]["message-id"], "1", "{terms:?}");
            let imported = Imported::parse(&line.to_string());
            let imported = imported.unwrap_or_else(|rule| panic!("{terms:?}: {rule}"));
            assert_eq!(imported.message.properties, message.properties);
        }
    }

    #[test]
    fn a_line_that_is_no_exported_message_is_refused_with_the_rule_and_without_its_content() {
        let good = to_json(&stored(), None, PayloadForm::Stored);
        let with = |name: &str, value: Value| {
            let mut line = good.clone();
            line[name] = value;
            let refused = Imported::parse(&line.to_string()).err().unwrap_or_default();
            assert!(!refused.contains("hunter2"), "{refused}");
            refused
        };
        assert!(with("state", "hunter2".into()).contains("neither pending"));
        assert!(with("priority", "hunter2".into()).contains("priority"));
        assert!(with("stored_at", "hunter2".into()).contains("stored_at"));
        assert!(with("payload_base64", "hunter2!".into()).contains("base64"));
        assert!(with("payload_base64", Value::Null).contains("missing"));
        assert!(with("property_bag", "a=hunter2/#".into()).contains("property_bag"));
        assert!(with("property_bag", "a=1\nhunter2\n".into()).contains("property_bag"));
        assert!(with("property_bag", "a".repeat(70_000).into()).contains("fit a topic"));
        assert!(
            with("payload_base64", STANDARD.encode(vec![0; 262_144]).into()).contains("packet")
        );
        let decoded = to_json(&stored(), None, PayloadForm::Decoded);
        assert!(
            Imported::parse(&decoded.to_string())
                .err()
                .unwrap()
                .contains("--decode")
        );
        assert!(
            Imported::parse("hunter2")
                .err()
                .unwrap()
                .contains("column 1")
        );
    }
}
