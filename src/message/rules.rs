//! What the Platform, IoT Hub and MQTT demand of Messages and names, checked before anything is
//! stored: what is stored can be sent.

use super::property_bag::{encoded_bytes, named};
use super::{MessageIds, StreamAddress};
use crate::error::{Error, Result};

/// The largest payload of a [`Message`](crate::Message), before compression: 64 MiB.
///
/// The Platform would take more. The limit is ours: a payload is held in memory and goes through
/// the write-ahead log of the database file, and both are bounded.
///
/// ```
/// assert_eq!(spotflow_device::MAX_PAYLOAD_BYTES, 64 * 1024 * 1024);
/// ```
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024 * 1024;

/// The largest file that [`enqueue_file`](crate::StreamSender::enqueue_file) takes, before compression: 1 GiB.
///
/// The limit is ours: so much fits the upload's 50,000 blocks many times over, but a device's flash holds it only once
/// or twice.
///
/// ```
/// assert_eq!(spotflow_device::MAX_FILE_BYTES, 1024 * 1024 * 1024);
/// ```
pub const MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;

/// What is larger than this after compression is uploaded, and its link sent in its place.
pub(crate) const UPLOAD_THRESHOLD_BYTES: usize = 250_000;

/// IoT Hub closes the connection on a larger packet.
const MAX_PACKET_BYTES: usize = 256 * 1024;

const MAX_TOPIC_BYTES: usize = 65_535;

/// `devices/{iothub id}/messages/events/`, with the longest id there can be: 128 bytes of
/// Workspace ID, a colon and 90 of Device ID. Reserved as a whole, so that a stored Message does
/// not depend on the identity.
const TOPIC_PREFIX_BYTES: usize = "devices//messages/events/".len() + 128 + 1 + 90;

/// Packet type and flags, the length of the rest, the length of the topic, the packet id.
const PACKET_HEADER_BYTES: usize = 1 + 4 + 2 + 2;

/// The longest ending of a bag, after the names and ids.
const BAG_ENDING_BYTES: usize = "&content-encoding=gzip&has-externalized-payload=true".len();

const MAX_NAMES_BYTES: usize = MAX_TOPIC_BYTES - TOPIC_PREFIX_BYTES - BAG_ENDING_BYTES;

const MAX_NAMES_AND_PAYLOAD_BYTES: usize =
    MAX_PACKET_BYTES - PACKET_HEADER_BYTES - TOPIC_PREFIX_BYTES - BAG_ENDING_BYTES;

/// Checks a name or an id that may be left out.
pub(super) fn check_id(argument: &'static str, id: Option<&str>) -> Result<()> {
    match id {
        Some("") => Err(Error::invalid(argument, "must not be empty")),
        _ => Ok(()),
    }
}

pub(super) fn check_payload(payload: &[u8]) -> Result<()> {
    let bytes = payload.len();
    if bytes > MAX_PAYLOAD_BYTES {
        let rule = format!("is {bytes} bytes, at most {MAX_PAYLOAD_BYTES} are allowed");
        return Err(Error::invalid("payload", rule));
    }
    Ok(())
}

/// Checks that topic and packet can hold the names and ids beside a payload of `payload_bytes`
/// (after compression). A payload over [`UPLOAD_THRESHOLD_BYTES`] leaves only its link.
///
/// The longest of the names is the one reported.
pub(crate) fn check_packet(
    address: &StreamAddress,
    ids: &MessageIds,
    payload_bytes: usize,
) -> Result<()> {
    let inline_bytes = match payload_bytes {
        0..=UPLOAD_THRESHOLD_BYTES => payload_bytes,
        _ => 0,
    };
    let max_bytes = MAX_NAMES_BYTES.min(MAX_NAMES_AND_PAYLOAD_BYTES - inline_bytes);
    let (mut total_bytes, mut longest) = (0, ("stream", 0));
    for (key, argument, value) in named(address, ids) {
        let value_bytes = encoded_bytes(value);
        total_bytes += "&=".len() + key.len() + value_bytes;
        if value_bytes > longest.1 {
            longest = (argument, value_bytes);
        }
    }
    if total_bytes > max_bytes {
        let rule = format!(
            "too long: with the Message's other names and their keys, percent-encoded, it takes \
             {total_bytes} bytes of the {max_bytes} that fit beside {inline_bytes} bytes of payload"
        );
        return Err(Error::invalid(longest.0, rule));
    }
    Ok(())
}

/// [`check_packet`] for a bag that is rendered already. `payload_bytes` is 0 beside a link.
///
/// The error is the rule that is broken.
pub(crate) fn check_rendered(bag: &str, payload_bytes: usize) -> Result<(), String> {
    let topic_bytes = TOPIC_PREFIX_BYTES + bag.len();
    if topic_bytes > MAX_TOPIC_BYTES {
        let max_bytes = MAX_TOPIC_BYTES - TOPIC_PREFIX_BYTES;
        return Err(format!(
            "its names and ids take {} bytes, percent-encoded, of the {max_bytes} that fit a topic",
            bag.len()
        ));
    }
    let packet_bytes = PACKET_HEADER_BYTES + topic_bytes + payload_bytes;
    if packet_bytes > MAX_PACKET_BYTES {
        return Err(format!(
            "its packet takes {packet_bytes} bytes, at most {MAX_PACKET_BYTES} are allowed"
        ));
    }
    Ok(())
}

/// Checks a Device ID that the application asks for.
pub(crate) fn validate_device_id(device_id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let rule = if !(4..=90).contains(&device_id.chars().count()) {
        "must have 4 to 90 characters"
    } else if !device_id.chars().all(allowed) {
        "must have only the characters 0-9 a-z A-Z - _ ."
    } else {
        return Ok(());
    };
    Err(Error::invalid("device_id", rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, property_bag};

    const LONGEST_PREFIX: usize = 25 + 128 + 1 + 90;

    fn with_batch_id(bytes: usize) -> MessageIds {
        Message::new("").batch_id("b".repeat(bytes)).ids
    }

    /// The longest batch id that is accepted beside a payload.
    fn longest_accepted(payload_bytes: usize) -> usize {
        let accepted = |bytes: &usize| {
            check_packet(
                &StreamAddress::default(),
                &with_batch_id(*bytes),
                payload_bytes,
            )
            .is_ok()
        };
        let (mut low, mut high) = (0_usize, 70_000);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if accepted(&middle) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    #[test]
    fn what_is_accepted_fits_topic_and_packet_whatever_the_identity() {
        for payload_bytes in [0, 1, 190_000, 200_000, 250_000, 250_001, 64 << 20] {
            let uploaded = payload_bytes > UPLOAD_THRESHOLD_BYTES;
            let ids = with_batch_id(longest_accepted(payload_bytes));
            let bag = property_bag::render(&StreamAddress::default(), &ids, Some("zstd"), uploaded);
            let topic_bytes = LONGEST_PREFIX + bag.len();
            assert!(topic_bytes <= 65_535, "{payload_bytes}");
            let sent_bytes = if uploaded { 100 } else { payload_bytes };
            assert!(9 + topic_bytes + sent_bytes <= 262_144, "{payload_bytes}");
        }
    }

    #[test]
    fn the_documented_lengths_of_ids_are_accepted() {
        assert!(longest_accepted(0) > 65_000);
        assert!(longest_accepted(250_000) > 11_000);
        assert!(longest_accepted(250_001) > 65_000);
    }

    #[test]
    fn the_longest_name_is_blamed() {
        let address = StreamAddress {
            stream_group: None,
            stream: Some("s".repeat(30_000)),
        };
        let ids = Message::new("")
            .batch_id("b")
            .chunk_id("ü".repeat(10_000))
            .ids;
        let refused = check_packet(&address, &ids, 7).map_err(|error| error.to_string());
        assert_eq!(
            refused,
            Err(
                "chunk_id: too long: with the Message's other names and their keys, \
                 percent-encoded, it takes 90034 bytes of the 65239 that fit beside 7 bytes of \
                 payload"
                    .to_owned()
            )
        );
    }

    #[test]
    fn device_ids_follow_the_platforms_rule() {
        for valid in ["abcd", "Aa-_.09", &"x".repeat(90)] {
            assert!(validate_device_id(valid).is_ok(), "{valid}");
        }
        for invalid in [
            "",
            "abc",
            &"x".repeat(91),
            "ab:cd",
            "ab cd",
            "žluť",
            "ab/cd",
            "abcd\n",
        ] {
            let refused = validate_device_id(invalid).map_err(|error| error.to_string());
            assert!(
                refused.is_err_and(|e| e.starts_with("device_id: must")),
                "{invalid}"
            );
        }
    }
}
