//! Compression of content that is never in memory as a whole: it goes in, and comes out, in parts.

use std::io;

use super::encoder::Encoder;
use super::{Codec, Compression, Effort};

/// Content on its way through a codec.
pub(crate) struct CompressedStream {
    encoder: Box<dyn Encoder>,
    /// The value of the Message's `content-encoding` property.
    pub content_encoding: &'static str,
}

impl CompressedStream {
    /// For content of so many bytes; `None` if it is to be sent as it is: not asked for, or the codec is not in this
    /// build.
    pub fn begin(
        compression: Compression,
        codec: Option<Codec>,
        content_bytes: u64,
    ) -> io::Result<Option<CompressedStream>> {
        let (Some(effort), Some(codec)) = (compression.effort(), codec) else {
            return Ok(None);
        };
        let encoder = encoder(codec, effort, content_bytes)?;
        Ok(encoder.map(|encoder| CompressedStream {
            encoder,
            content_encoding: codec.content_encoding(),
        }))
    }

    /// Takes a part, and returns what has come out of it and those before.
    pub fn write(&mut self, part: &[u8]) -> io::Result<Vec<u8>> {
        self.encoder.write(part)?;
        Ok(std::mem::take(self.encoder.output()))
    }

    /// Nothing follows; returns what is still to come out.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.encoder.finish()
    }
}

#[allow(unused_variables, reason = "a build without codecs has none")]
fn encoder(
    codec: Codec,
    effort: Effort,
    content_bytes: u64,
) -> io::Result<Option<Box<dyn Encoder>>> {
    Ok(match codec {
        #[cfg(feature = "brotli")]
        Codec::Brotli => Some(Box::new(super::brotli::Stream::new(effort, content_bytes))),
        #[cfg(feature = "gzip")]
        Codec::Gzip => Some(Box::new(super::gzip::stream(effort))),
        #[cfg(feature = "zstd")]
        Codec::Zstd => Some(Box::new(super::zstd::stream(effort)?)),
        #[allow(unreachable_patterns, reason = "with all features there is no other")]
        _ => None,
    })
}
