//! A stored payload as the program gave it: decompressed, and told as JSON or text where it is that.

use std::io::{self, Read};

use serde_json::Value;

use crate::message::property_bag;
use crate::message::rules::MAX_PAYLOAD_BYTES;
use crate::store::rows::listing::bag;

/// A payload for people.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    Json(Value),
    Text(String),
    Bytes(Vec<u8>),
}

/// Decodes it; what cannot be decompressed stays as it is.
pub(super) fn decode(properties: &str, body: &[u8]) -> Decoded {
    let payload = decompress(properties, body).unwrap_or_else(|_| body.to_vec());
    match serde_json::from_slice(&payload) {
        Ok(value) => Decoded::Json(value),
        Err(_) => match String::from_utf8(payload) {
            Ok(text) => Decoded::Text(text),
            Err(error) => Decoded::Bytes(error.into_bytes()),
        },
    }
}

/// The payload's own bytes.
pub(super) fn decompress(properties: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    read_all(decoder(properties, body)?)
}

/// The same for one that is never in memory as a whole.
pub(super) fn decoder<'a>(
    properties: &str,
    body: impl Read + 'a,
) -> io::Result<Box<dyn Read + 'a>> {
    let encoding = property_bag::parse(bag(properties));
    let encoding = encoding.iter().find(|(key, _)| key == "content-encoding");
    Ok(match encoding.map(|(_, value)| value.as_str()) {
        None => Box::new(body),
        Some("br") => Box::new(brotli::Decompressor::new(body, 4096)),
        Some("gzip") => Box::new(flate2::read::GzDecoder::new(body)),
        Some("zstd") => Box::new(zstd::Decoder::new(body)?),
        Some(_) => return Err(io::Error::other("an unknown content encoding")),
    })
}

/// No payload was longer when it was stored.
fn read_all(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    let limit = MAX_PAYLOAD_BYTES as u64 + 1;
    decoder.take(limit).read_to_end(&mut payload)?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(io::Error::other("it is longer than any payload"));
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::{Codec, Compression, compress};

    #[test]
    fn payloads_of_every_codec_come_out_as_they_went_in() {
        let payload = br#"{"second": 1, "values": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}"#;
        for (codec, name) in [
            (Codec::Brotli, "br"),
            (Codec::Gzip, "gzip"),
            (Codec::Zstd, "zstd"),
        ] {
            let compressed = compress(payload, Compression::SmallestSize, Some(codec)).unwrap();
            let body = compressed.body;
            let properties = format!("a=b&content-encoding={name}");
            assert_eq!(decompress(&properties, &body).unwrap(), payload);
            let decoded = decode(&properties, &body);
            assert!(matches!(decoded, Decoded::Json(value) if value["second"] == 1));
        }
    }

    #[test]
    fn what_is_no_json_is_text_or_bytes_and_what_is_broken_stays_as_it_is() {
        assert_eq!(decode("", b"21.5 C"), Decoded::Text("21.5 C".into()));
        assert_eq!(decode("", &[255, 0]), Decoded::Bytes(vec![255, 0]));
        let broken = decode("content-encoding=br", &[255, 254]);
        assert_eq!(broken, Decoded::Bytes(vec![255, 254]));
        assert!(decompress("content-encoding=x", b"a").is_err());
    }
}
