//! A Message as the Platform understood it.

use std::io::{self, Read};
use std::time::Instant;

use percent_encoding::percent_decode_str;

/// No Message may unpack to more than this: a few bytes can claim gigabytes.
const UNPACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A device-to-cloud Message, decoded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Message {
    /// Counts the Messages that the Platform received, from 1, over all devices.
    pub sequence: u64,
    /// The Workspace of the device that sent it.
    pub workspace_id: String,
    /// The device that sent it.
    pub device_id: String,
    /// The number of the MQTT connection that it came over; see [`Connection`](crate::Connection).
    pub connection: u64,
    /// The topic as it was on the wire.
    pub topic: String,
    /// The topic's properties in their order, percent-decoded.
    pub properties: Vec<(String, String)>,
    /// `stream-group-name`.
    pub stream_group: Option<String>,
    /// `stream-name`.
    pub stream: Option<String>,
    /// `site-id`.
    pub site_id: Option<String>,
    /// `batch-id`.
    pub batch_id: Option<String>,
    /// `batch-slice-id`.
    pub batch_slice_id: Option<String>,
    /// `message-id`.
    pub message_id: Option<String>,
    /// `chunk-id`.
    pub chunk_id: Option<String>,
    /// `content-encoding`.
    pub content_encoding: Option<String>,
    /// The payload of the MQTT packet.
    pub raw_payload: Vec<u8>,
    /// The content: uploaded content joined in, and decompressed. As far as it came, if there is a `payload_error`.
    pub payload: Vec<u8>,
    /// Why `payload` is not the content: a missing upload, an unknown or broken encoding.
    pub payload_error: Option<String>,
    /// The packet identifier, if sent with QoS 1.
    pub packet_id: Option<u16>,
    /// Whether the packet had its DUP flag set.
    pub dup: bool,
    /// Whether topic and payload are the same as in the Message before it from the same device.
    /// The Platform drops such a repeat.
    pub repeat: bool,
    /// When the hub read it.
    pub received_at: Instant,
    /// When the hub wrote its PUBACK, if it did.
    pub acknowledged_at: Option<Instant>,
}

impl Message {
    /// The first property of that name.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether it completes its Batch.
    pub fn completes_batch(&self) -> bool {
        self.property("complete-batch") == Some("true")
    }

    /// Whether it completes a chunked Message.
    pub fn completes_message(&self) -> bool {
        self.property("complete-message") == Some("true")
    }

    /// Whether the content was uploaded, and the packet only links to it.
    pub fn is_external(&self) -> bool {
        self.property("has-externalized-payload") == Some("true")
    }

    /// The content as text, unreadable parts replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// Splits a topic's property bag at `&` and `=` and decodes both sides.
pub(crate) fn properties(bag: &str) -> Vec<(String, String)> {
    bag.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Undoes a `content-encoding`.
pub(crate) fn unpack(content: &[u8], encoding: Option<&str>) -> Result<Vec<u8>, String> {
    let unpacked = match encoding {
        None => return Ok(content.to_vec()),
        Some("br") => read_limited(brotli::Decompressor::new(content, 4096)),
        Some("gzip") => read_limited(flate2::read::MultiGzDecoder::new(content)),
        Some("zstd") => zstd::stream::read::Decoder::new(content).and_then(read_limited),
        Some(other) => return Err(format!("unknown content-encoding {other:?}")),
    };
    unpacked.map_err(|error| format!("broken content: {error}"))
}

fn read_limited(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader
        .take(UNPACKED_BYTES_MAX + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > UNPACKED_BYTES_MAX {
        return Err(io::Error::other("unpacks to more than the emulator takes"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_bags_are_split_and_decoded() {
        let bag = properties("stream-name=a%20b%26c&batch-id=&flag");
        let pairs: Vec<_> = bag
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("stream-name", "a b&c"), ("batch-id", ""), ("flag", "")]
        );
        assert!(properties("").is_empty());
    }

    #[test]
    fn broken_and_unknown_encodings_are_told() {
        assert!(unpack(b"not brotli at all", Some("br")).is_err());
        assert!(unpack(b"x", Some("gzip")).is_err());
        assert!(unpack(b"x", Some("zstd")).is_err());
        assert!(unpack(b"x", Some("lzma")).unwrap_err().contains("lzma"));
    }

    #[test]
    fn every_encoding_is_undone() {
        let plain = "temperature ".repeat(50).into_bytes();
        let mut br = Vec::new();
        brotli::BrotliCompress(&mut plain.as_slice(), &mut br, &Default::default()).unwrap();
        let mut gzip = Vec::new();
        flate2::read::GzEncoder::new(plain.as_slice(), Default::default())
            .read_to_end(&mut gzip)
            .unwrap();
        let zst = zstd::encode_all(plain.as_slice(), 1).unwrap();
        for (encoding, packed) in [("br", br), ("gzip", gzip), ("zstd", zst)] {
            assert!(packed.len() < plain.len());
            assert_eq!(
                unpack(&packed, Some(encoding)).as_ref(),
                Ok(&plain),
                "{encoding}"
            );
        }
    }
}
