//! Compression of payloads before they are stored: what the application intends, the codec that
//! does it, and the rule that a payload is never made larger. Pure; decompression is the
//! Platform's.

use std::io::{self, Write};

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderStateStruct};
use log::debug;

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
    /// Brotli (RFC 7932), `content-encoding` `br`.
    #[default]
    Brotli,
    /// gzip (RFC 1952), `content-encoding` `gzip`.
    Gzip,
    /// Zstandard (RFC 8878), `content-encoding` `zstd`.
    Zstd,
}

impl Codec {
    /// The value of the Message's `content-encoding` property.
    pub(crate) fn content_encoding(self) -> &'static str {
        match self {
            Codec::Brotli => "br",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        }
    }
}

/// How hard a codec works; [`Compression`] without the case in which none does.
#[derive(Debug, Clone, Copy)]
enum Effort {
    Least,
    Most,
}

/// The compressed payload, or `None` if it is to be sent as it is: not asked for, or not smaller.
pub(crate) fn compress(payload: &[u8], compression: Compression, codec: Codec) -> Option<Vec<u8>> {
    let effort = match compression {
        Compression::Uncompressed => return None,
        Compression::Fastest => Effort::Least,
        Compression::SmallestSize => Effort::Most,
    };
    if payload.is_empty() {
        return None;
    }
    let result = match codec {
        Codec::Brotli => brotli(payload, effort),
        Codec::Gzip => gzip(payload, effort),
        Codec::Zstd => zstd(payload, effort),
    };
    match result {
        Ok(mut compressed) => (compressed.len() < payload.len()).then(|| {
            compressed.shrink_to_fit();
            compressed
        }),
        Err(error) => {
            debug!("a payload is sent uncompressed, as {codec:?} failed: {error}");
            None
        }
    }
}

/// The largest window, as a power of two: what every Brotli decoder has to accept, and a bound on
/// the memory of [`Effort::Most`], whose tables grow with the window.
const WINDOW_BITS_MAX: u32 = 22;

const BROTLI_WINDOW_BITS_MIN: u32 = 10;

/// The smallest window that still reaches from the end of the payload to its start. A larger one
/// finds nothing more, and both sides would reserve megabytes for a payload of bytes.
fn brotli_window_bits(payload_bytes: usize) -> u32 {
    // Brotli's window falls 16 bytes short of its power of two.
    payload_bytes
        .saturating_add(16)
        .checked_next_power_of_two()
        .map_or(WINDOW_BITS_MAX, usize::ilog2)
        .clamp(BROTLI_WINDOW_BITS_MIN, WINDOW_BITS_MAX)
}

/// One call with all input and an output no larger than the input: fed in pieces, quality 1
/// would start afresh with each, and what grows past its input ends early.
fn brotli(payload: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
    let mut encoder = BrotliEncoderStateStruct::new(StandardAlloc::default());
    encoder.params.quality = match effort {
        Effort::Least => 1,
        Effort::Most => 11,
    };
    encoder.params.lgwin = brotli_window_bits(payload.len()) as i32;
    encoder.params.size_hint = payload.len();

    let mut compressed = vec![0; payload.len()];
    let (mut unread, mut read) = (payload.len(), 0);
    let (mut unwritten, mut written) = (compressed.len(), 0);
    let accepted = encoder.compress_stream(
        BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
        &mut unread,
        payload,
        &mut read,
        &mut unwritten,
        &mut compressed,
        &mut written,
        &mut None,
        &mut |_, _, _, _| (),
    );
    if !accepted {
        return Err(io::Error::other("the encoder refused its input"));
    }
    // Unfinished means that the output is full, as long as the payload: not smaller.
    if encoder.is_finished() {
        compressed.truncate(written);
    }
    Ok(compressed)
}

fn gzip(payload: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
    let level = match effort {
        Effort::Least => flate2::Compression::fast(),
        Effort::Most => flate2::Compression::best(),
    };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(payload)?;
    encoder.finish()
}

/// zstd fits its window to the payload by itself; level 19 would go up to twice our maximum.
fn zstd(payload: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
    let mut encoder = match effort {
        Effort::Least => zstd::bulk::Compressor::new(1)?,
        Effort::Most => {
            let mut encoder = zstd::bulk::Compressor::new(19)?;
            encoder.window_log(WINDOW_BITS_MAX)?;
            encoder
        }
    };
    encoder.compress(payload)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const CODECS: [Codec; 3] = [Codec::Brotli, Codec::Gzip, Codec::Zstd];
    const EFFORTS: [Compression; 2] = [Compression::Fastest, Compression::SmallestSize];

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

    fn decompress(compressed: &[u8], codec: Codec) -> io::Result<Vec<u8>> {
        let mut payload = Vec::new();
        match codec {
            Codec::Brotli => {
                brotli::Decompressor::new(compressed, 4096).read_to_end(&mut payload)?
            }
            Codec::Gzip => flate2::read::GzDecoder::new(compressed).read_to_end(&mut payload)?,
            Codec::Zstd => zstd::Decoder::new(compressed)?.read_to_end(&mut payload)?,
        };
        Ok(payload)
    }

    #[test]
    fn what_was_compressed_decompresses_to_the_payload() -> io::Result<()> {
        for codec in CODECS {
            for compression in EFFORTS {
                for bytes in [100, 200, 1023, 1024, 1025, 40_000] {
                    let payload = telemetry(bytes);
                    let compressed = compress(&payload, compression, codec);
                    let compressed = compressed.ok_or(io::ErrorKind::InvalidData)?;
                    assert!(compressed.len() < payload.len());
                    assert!(compressed.capacity() < payload.len());
                    assert!(
                        decompress(&compressed, codec)? == payload,
                        "{codec:?} {compression:?} {bytes}"
                    );
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_payload_that_does_not_shrink_is_left_as_it_is() {
        for codec in CODECS {
            for compression in EFFORTS {
                for bytes in [1, 2, 10, 200, 5_000, 70_000] {
                    let payload = noise(bytes);
                    assert_eq!(
                        compress(&payload, compression, codec),
                        None,
                        "{codec:?} {bytes}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_empty_payload_is_never_compressed() {
        for codec in CODECS {
            assert_eq!(compress(b"", Compression::SmallestSize, codec), None);
        }
    }

    #[test]
    fn uncompressed_means_untouched() {
        for codec in CODECS {
            assert_eq!(
                compress(&telemetry(10_000), Compression::Uncompressed, codec),
                None
            );
        }
    }

    #[test]
    fn brotli_windows_reach_over_the_payload_and_no_further() {
        for (bytes, bits) in [
            (0, 10),
            (200, 10),
            (1_008, 10),
            (1_009, 11),
            (250_000, 18),
            (4 << 20, 22),
            (64 << 20, 22),
            (usize::MAX, 22),
        ] {
            assert_eq!(brotli_window_bits(bytes), bits, "{bytes}");
        }
    }

    #[test]
    fn content_encodings_are_the_registered_names() {
        assert_eq!(CODECS.map(Codec::content_encoding), ["br", "gzip", "zstd"]);
    }
}
