//! IoT Hub's topics: what a device may publish to and subscribe to.

/// A topic that a device publishes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DeviceTopic<'a> {
    /// A device-to-cloud Message.
    Event,
    /// A request for the whole twin.
    TwinGet { rid: &'a str },
    /// A patch of the Reported Properties.
    TwinReported { rid: &'a str },
    /// The answer to a direct method.
    MethodAnswer { status: u16, rid: &'a str },
}

pub(crate) const TWIN_ANSWERS: &str = "$iothub/twin/res/#";
pub(crate) const DESIRED_PATCHES: &str = "$iothub/twin/PATCH/properties/desired/#";
pub(crate) const METHODS: &str = "$iothub/methods/POST/#";

pub(crate) fn cloud_messages(hub_id: &str) -> String {
    format!("devices/{hub_id}/messages/devicebound/#")
}

/// What the device `hub_id` means by publishing to `topic`; nothing if it may not.
pub(crate) fn parse<'a>(topic: &'a str, hub_id: &str) -> Option<DeviceTopic<'a>> {
    if let Some(request) = topic.strip_prefix("$iothub/") {
        return parse_request(request);
    }
    let rest = topic
        .strip_prefix("devices/")?
        .strip_prefix(hub_id)?
        .strip_prefix("/messages/events")?;
    (rest.is_empty() || rest.starts_with('/')).then_some(DeviceTopic::Event)
}

fn parse_request(request: &str) -> Option<DeviceTopic<'_>> {
    let (path, query) = request.split_once("/?")?;
    let rid = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("$rid="))?;
    match path {
        "twin/GET" => Some(DeviceTopic::TwinGet { rid }),
        "twin/PATCH/properties/reported" => Some(DeviceTopic::TwinReported { rid }),
        _ => {
            let status = path.strip_prefix("methods/res/")?.parse().ok()?;
            Some(DeviceTopic::MethodAnswer { status, rid })
        }
    }
}

/// The properties of a Message's topic, still encoded.
pub(crate) fn event_bag(topic: &str) -> Option<&str> {
    let (_, rest) = topic.split_once("/messages/events")?;
    Some(rest.trim_matches('/'))
}

/// Whether IoT Hub has anything to send to such a subscription.
pub(crate) fn may_subscribe(filter: &str, hub_id: &str) -> bool {
    [TWIN_ANSWERS, DESIRED_PATCHES, METHODS].contains(&filter) || filter == cloud_messages(hub_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ws:dev-1";

    #[test]
    fn a_device_publishes_to_its_own_topics_only() {
        assert_eq!(
            parse("devices/ws:dev-1/messages/events/", ID),
            Some(DeviceTopic::Event)
        );
        assert_eq!(
            parse("devices/ws:dev-1/messages/events/a=b", ID),
            Some(DeviceTopic::Event)
        );
        assert_eq!(
            parse("devices/ws:dev-1/messages/events", ID),
            Some(DeviceTopic::Event)
        );
        assert_eq!(parse("devices/ws:dev-10/messages/events/", ID), None);
        assert_eq!(parse("devices/ws:dev-1/messages/eventsX", ID), None);
        assert_eq!(parse("devices/ws:dev-1/messages/devicebound/", ID), None);
        assert_eq!(parse("anything/else", ID), None);
    }

    #[test]
    fn requests_name_their_id() {
        assert_eq!(
            parse("$iothub/twin/GET/?$rid=7", ID),
            Some(DeviceTopic::TwinGet { rid: "7" })
        );
        assert_eq!(
            parse("$iothub/twin/PATCH/properties/reported/?$rid=x&y=z", ID),
            Some(DeviceTopic::TwinReported { rid: "x" })
        );
        assert_eq!(
            parse("$iothub/methods/res/404/?$rid=1", ID),
            Some(DeviceTopic::MethodAnswer {
                status: 404,
                rid: "1"
            })
        );
        assert_eq!(parse("$iothub/twin/GET/", ID), None);
        assert_eq!(parse("$iothub/methods/res/many/?$rid=1", ID), None);
    }
}
