//! Compression of payloads before they are stored: what the application intends, the codec that
//! does it, and the rule that a payload is never made larger. Pure; decompression is the
//! Platform's.

#[cfg(feature = "brotli")]
mod brotli;
mod encoder;
#[cfg(feature = "gzip")]
mod gzip;
mod stream;
#[cfg(feature = "zstd")]
mod zstd;

use std::io;

use log::debug;

use crate::error::{Error, Result};
pub(crate) use stream::CompressedStream;

/// How much effort to spend on making payloads smaller.
///
/// A payload is compressed by the thread that enqueues it, before it is stored: less is written
/// to flash and sent, and the processor time is the caller's. What does not become smaller is
/// stored and sent as it is, and an empty payload is left alone.
///
/// Which codec does the work is a choice of its own, the [`Codec`].
///
/// ```
/// # use spotflow_device::Compression;
/// assert_eq!(Compression::default(), Compression::Uncompressed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Payloads are stored and sent as they are.
    #[default]
    Uncompressed,
    /// The least processor time and memory: Brotli quality 1, gzip level 1, zstd level 1.
    Fastest,
    /// The smallest result, at many times the processor time and memory of
    /// [`Fastest`](Compression::Fastest): Brotli quality 11, gzip level 9, zstd level 19.
    /// With Brotli, 200 kB of payload take some 15 MB of memory while they are compressed, 8 MB
    /// take 75 MB and, on a fast computer, 16 s.
    SmallestSize,
}

/// The codec behind [`Compression`].
///
/// Each is in a build with the crate's feature of its name; that of Brotli is on by default.
/// [`Brotli`](Codec::Brotli) is the only one that the public instance of the Platform is known to
/// read. Choose another one only for an instance that says it accepts it.
///
/// ```
/// # use spotflow_device::Codec;
/// assert_eq!(Codec::default(), Codec::Brotli);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Codec {
    /// Brotli (RFC 7932), `content-encoding` `br`; feature `brotli`.
    #[default]
    Brotli,
    /// gzip (RFC 1952), `content-encoding` `gzip`; feature `gzip`.
    Gzip,
    /// Zstandard (RFC 8878), `content-encoding` `zstd`; feature `zstd`.
    Zstd,
}

/// Compresses all of a payload. What comes out is of no use if it is not smaller.
type Encoder = fn(&[u8], Effort) -> io::Result<Vec<u8>>;

impl Codec {
    /// The first one in the build is used, unless the application chooses.
    const BY_PREFERENCE: [Codec; 3] = [Codec::Brotli, Codec::Gzip, Codec::Zstd];

    /// The one that compresses unless the application chooses; none in a build without codecs.
    pub(crate) fn preferred() -> Option<Codec> {
        let mut codecs = Codec::BY_PREFERENCE.into_iter();
        codecs.find(|codec| codec.encoder().is_some())
    }

    /// Refuses a codec that is not in this build.
    pub(crate) fn validate(self) -> Result<()> {
        if self.encoder().is_some() {
            return Ok(());
        }
        let feature = self.feature();
        let rule = format!(
            "{self:?} is not in this build: it needs the feature `{feature}` of spotflow-device"
        );
        Err(Error::invalid("codec", rule))
    }

    /// The value of the Message's `content-encoding` property.
    fn content_encoding(self) -> &'static str {
        match self {
            Codec::Brotli => "br",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        }
    }

    /// The cargo feature that brings it.
    fn feature(self) -> &'static str {
        match self {
            Codec::Brotli => "brotli",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        }
    }

    fn encoder(self) -> Option<Encoder> {
        match self {
            #[cfg(feature = "brotli")]
            Codec::Brotli => Some(brotli::compress),
            #[cfg(feature = "gzip")]
            Codec::Gzip => Some(gzip::compress),
            #[cfg(feature = "zstd")]
            Codec::Zstd => Some(zstd::compress),
            #[allow(unreachable_patterns, reason = "with all features there is no other")]
            _ => None,
        }
    }
}

impl Compression {
    fn effort(self) -> Option<Effort> {
        match self {
            Compression::Uncompressed => None,
            Compression::Fastest => Some(Effort::Least),
            Compression::SmallestSize => Some(Effort::Most),
        }
    }
}

/// How hard a codec works; [`Compression`] without the case in which none does.
#[derive(Debug, Clone, Copy)]
enum Effort {
    Least,
    Most,
}

/// The largest window, as a power of two: what every Brotli decoder has to accept, and a bound on
/// the memory of [`Effort::Most`], whose tables grow with the window.
#[cfg(any(feature = "brotli", feature = "zstd"))]
const WINDOW_BITS_MAX: u32 = 22;

/// A payload that became smaller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub body: Vec<u8>,
    /// The value of the Message's `content-encoding` property.
    pub content_encoding: &'static str,
}

/// Refuses what no codec is there for.
pub(crate) fn validate(compression: Compression, codec: Option<Codec>) -> Result<()> {
    if compression == Compression::Uncompressed || codec.is_some() {
        return Ok(());
    }
    let rule = "no codec is in this build: one needs the feature `brotli`, `gzip` or `zstd` of spotflow-device";
    Err(Error::invalid("compression", rule))
}

/// The payload made smaller, or `None` if it is to be sent as it is: not asked for, not smaller, or
/// the codec is not in this build.
pub(crate) fn compress(
    payload: &[u8],
    compression: Compression,
    codec: Option<Codec>,
) -> Option<Compressed> {
    let effort = compression.effort()?;
    let codec = codec?;
    let encoder = codec.encoder()?;
    if payload.is_empty() {
        return None;
    }
    match encoder(payload, effort) {
        Ok(mut body) => (body.len() < payload.len()).then(|| {
            body.shrink_to_fit();
            Compressed {
                body,
                content_encoding: codec.content_encoding(),
            }
        }),
        Err(error) => {
            debug!("a payload is sent uncompressed, as {codec:?} failed: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFORTS: [Compression; 2] = [Compression::Fastest, Compression::SmallestSize];

    /// Those in this build.
    fn codecs() -> impl Iterator<Item = Codec> {
        let all = Codec::BY_PREFERENCE.into_iter();
        all.filter(|codec| codec.encoder().is_some())
    }

    fn telemetry(bytes: usize) -> Vec<u8> {
        (0..)
            .flat_map(|i| {
                format!("{{\"timestamp\":{i},\"temperatureCelsius\":{}}}\n", i % 97).into_bytes()
            })
            .take(bytes)
            .collect()
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..bytes).map(|_| random.u8(..)).collect()
    }

    fn decompress(compressed: &[u8], codec: Codec) -> Vec<u8> {
        let mut decoder: Box<dyn io::Read + '_> = match codec {
            #[cfg(feature = "brotli")]
            Codec::Brotli => Box::new(::brotli::Decompressor::new(compressed, 4096)),
            #[cfg(feature = "gzip")]
            Codec::Gzip => Box::new(flate2::read::GzDecoder::new(compressed)),
            #[cfg(feature = "zstd")]
            Codec::Zstd => Box::new(::zstd::Decoder::new(compressed).unwrap()),
            #[allow(unreachable_patterns, reason = "with all features there is no other")]
            _ => Box::new(compressed),
        };
        let mut payload = Vec::new();
        decoder.read_to_end(&mut payload).unwrap();
        payload
    }

    #[test]
    fn each_feature_brings_its_codec_and_without_it_the_option_is_refused_by_its_name() {
        for (codec, is_built) in [
            (Codec::Brotli, cfg!(feature = "brotli")),
            (Codec::Gzip, cfg!(feature = "gzip")),
            (Codec::Zstd, cfg!(feature = "zstd")),
        ] {
            match codec.validate() {
                Ok(()) => assert!(is_built, "{codec:?}"),
                Err(error) => {
                    assert!(!is_built, "{codec:?}");
                    let text = error.to_string();
                    let feature = format!("the feature `{}`", codec.feature());
                    assert!(text.contains("codec") && text.contains(&feature), "{text}");
                }
            }
            let compressed = compress(&telemetry(1000), Compression::Fastest, Some(codec));
            assert_eq!(compressed.is_some(), is_built, "{codec:?}");
        }
    }

    #[test]
    fn unless_one_is_chosen_the_first_of_brotli_gzip_and_zstd_compresses() {
        assert_eq!(Codec::preferred(), codecs().next());
        if cfg!(feature = "brotli") {
            assert_eq!(Codec::preferred(), Some(Codec::Brotli));
        }
    }

    #[test]
    fn compression_without_any_codec_is_refused_and_no_compression_is_not() {
        for compression in EFFORTS {
            let text = validate(compression, None).unwrap_err().to_string();
            assert!(
                text.contains("compression") && text.contains("`brotli`"),
                "{text}"
            );
            validate(compression, Some(Codec::Gzip)).unwrap();
        }
        validate(Compression::Uncompressed, None).unwrap();
    }

    #[test]
    fn what_was_compressed_decompresses_to_the_payload() {
        for codec in codecs() {
            for compression in EFFORTS {
                for bytes in [100, 200, 1023, 1024, 1025, 40_000] {
                    let payload = telemetry(bytes);
                    let compressed = compress(&payload, compression, Some(codec)).unwrap();
                    assert!(compressed.body.len() < payload.len());
                    assert!(compressed.body.capacity() < payload.len());
                    assert!(
                        decompress(&compressed.body, codec) == payload,
                        "{codec:?} {compression:?} {bytes}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_compressed_in_parts_decompresses_to_the_content() {
        for codec in codecs() {
            for compression in EFFORTS {
                let mut content = telemetry(300_000);
                content.extend(noise(100_000));
                let bytes = content.len() as u64;
                let stream = CompressedStream::begin(compression, Some(codec), bytes);
                let mut stream = stream.unwrap().unwrap();
                let mut compressed = Vec::new();
                for part in content.chunks(70_000) {
                    compressed.extend(stream.write(part).unwrap());
                }
                compressed.extend(stream.finish().unwrap());
                let what = format!("{codec:?} {compression:?} {}", compressed.len());
                assert!(compressed.len() < 200_000, "{what}");
                assert!(decompress(&compressed, codec) == content, "{what}");
            }
        }
    }

    #[test]
    fn a_payload_that_does_not_shrink_is_left_as_it_is() {
        for codec in codecs() {
            for compression in EFFORTS {
                for bytes in [1, 2, 10, 200, 5_000, 70_000] {
                    let payload = noise(bytes);
                    assert_eq!(
                        compress(&payload, compression, Some(codec)),
                        None,
                        "{codec:?} {bytes}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_empty_payload_is_never_compressed() {
        for codec in codecs() {
            assert_eq!(compress(b"", Compression::SmallestSize, Some(codec)), None);
        }
    }

    #[test]
    fn uncompressed_means_untouched() {
        for codec in codecs() {
            assert_eq!(
                compress(&telemetry(10_000), Compression::Uncompressed, Some(codec)),
                None
            );
        }
    }

    #[test]
    fn content_encodings_are_the_registered_names() {
        assert_eq!(
            Codec::BY_PREFERENCE.map(Codec::content_encoding),
            ["br", "gzip", "zstd"]
        );
    }
}
