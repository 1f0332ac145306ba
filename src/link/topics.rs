//! The hub's topics (IoT Hub's MQTT conventions), built and taken apart.

use crate::identity::HubDeviceId;

const TWIN_RESPONSE: &str = "$iothub/twin/res/";
const DESIRED_PATCH: &str = "$iothub/twin/PATCH/properties/desired/";
const METHOD_CALL: &str = "$iothub/methods/POST/";

/// `devices/{id}/messages/events/{properties}`: a Message to the cloud.
pub(crate) fn message(device: &HubDeviceId, properties: &str) -> String {
    format!("devices/{device}/messages/events/{properties}")
}

/// `$iothub/twin/GET/?$rid={rid}`: reads the whole twin.
pub(crate) fn get_twin(request: u32) -> String {
    format!("$iothub/twin/GET/?$rid={request}")
}

/// `$iothub/twin/PATCH/properties/reported/?$rid={rid}`: a merge patch of the Reported Properties.
pub(crate) fn patch_reported(request: u32) -> String {
    format!("$iothub/twin/PATCH/properties/reported/?$rid={request}")
}

/// `$iothub/methods/res/{status}/?$rid={rid}`: the answer to a call of a method.
pub(crate) fn method_answer(status: u16, request_id: &str) -> String {
    format!("$iothub/methods/res/{status}/?$rid={request_id}")
}

/// The subscription to calls of methods.
pub(crate) const METHODS_FILTER: &str = "$iothub/methods/POST/#";

/// The subscription to cloud-to-device messages.
pub(crate) fn cloud_messages_filter(device: &HubDeviceId) -> String {
    format!("devices/{device}/messages/devicebound/#")
}

/// The subscriptions that the twin needs.
pub(crate) const TWIN_FILTERS: [&str; 2] = [
    "$iothub/twin/res/#",
    "$iothub/twin/PATCH/properties/desired/#",
];

/// What a topic from the hub is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HubTopic<'a> {
    /// The answer to the twin request `request`; `version` comes with accepted patches.
    TwinAnswer {
        status: u16,
        request: u32,
        version: Option<u64>,
    },
    /// A merge patch of the Desired Properties, which hold its `$version`.
    DesiredPatch,
    /// A message from the cloud, with its property bag.
    CloudMessage { properties: &'a str },
    /// The cloud calls a method.
    MethodCall { name: &'a str, request_id: &'a str },
}

/// Takes a topic apart; `None` for one that we know nothing of.
pub(crate) fn parse<'a>(device: &HubDeviceId, topic: &'a str) -> Option<HubTopic<'a>> {
    if let Some(rest) = topic.strip_prefix(TWIN_RESPONSE) {
        let (status, query) = rest.split_once("/?")?;
        return Some(HubTopic::TwinAnswer {
            status: status.parse().ok()?,
            request: parameter(query, "$rid")?.parse().ok()?,
            version: parameter(query, "$version").and_then(|version| version.parse().ok()),
        });
    }
    if topic.starts_with(DESIRED_PATCH) {
        return Some(HubTopic::DesiredPatch);
    }
    if let Some(rest) = topic.strip_prefix(METHOD_CALL) {
        // The name may hold slashes.
        let (name, query) = rest.rsplit_once("/?")?;
        return Some(HubTopic::MethodCall {
            name,
            request_id: parameter(query, "$rid")?,
        });
    }
    let properties = topic
        .strip_prefix("devices/")?
        .strip_prefix(device.to_string().as_str())?
        .strip_prefix("/messages/devicebound/")?;
    Some(HubTopic::CloudMessage { properties })
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> HubDeviceId {
        HubDeviceId {
            workspace_id: "ws".to_owned(),
            device_id: "dev".to_owned(),
        }
    }

    #[test]
    fn twin_answers_tell_status_request_and_version() {
        let parsed = parse(&device(), "$iothub/twin/res/204/?$rid=7&$version=12");
        assert_eq!(
            parsed,
            Some(HubTopic::TwinAnswer {
                status: 204,
                request: 7,
                version: Some(12)
            })
        );
    }

    #[test]
    fn cloud_messages_are_only_those_of_this_device() {
        let parsed = parse(&device(), "devices/ws:dev/messages/devicebound/a=b&c=d");
        assert_eq!(
            parsed,
            Some(HubTopic::CloudMessage {
                properties: "a=b&c=d"
            })
        );
        assert_eq!(
            parse(&device(), "devices/ws:dev2/messages/devicebound/a=b"),
            None
        );
    }

    #[test]
    fn a_method_name_may_hold_slashes_and_questions() {
        let of = |topic| match parse(&device(), topic) {
            Some(HubTopic::MethodCall { name, request_id }) => Some((name, request_id)),
            _ => None,
        };
        assert_eq!(
            of("$iothub/methods/POST/restart/?$rid=1f"),
            Some(("restart", "1f"))
        );
        assert_eq!(
            of("$iothub/methods/POST/a/?b/c/?$rid=2"),
            Some(("a/?b/c", "2"))
        );
        assert_eq!(
            of("$iothub/methods/POST/!remote-access/?$rid=3"),
            Some(("!remote-access", "3"))
        );
        assert_eq!(of("$iothub/methods/POST/restart"), None);
        assert_eq!(of("$iothub/methods/POST/restart/?rid=1"), None);
    }

    #[test]
    fn unknown_and_broken_topics_are_nothing() {
        for topic in [
            "",
            "$iothub/twin/res/",
            "$iothub/twin/res/200",
            "$iothub/twin/res/x/?$rid=1",
            "$iothub/twin/res/200/?$rid=99999999999",
            "$iothub/twin/res/200/?rid=1",
            "devices/ws:dev",
        ] {
            assert_eq!(parse(&device(), topic), None, "{topic}");
        }
    }
}
