//! Brotli (RFC 7932).

use std::io;

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderStateStruct};

use super::encoder::Encoder;
use super::{Effort, WINDOW_BITS_MAX};

const WINDOW_BITS_MIN: u32 = 10;

/// The smallest window that still reaches from the end of the payload to its start. A larger one
/// finds nothing more, and both sides would reserve megabytes for a payload of bytes.
fn window_bits(payload_bytes: usize) -> u32 {
    // Brotli's window falls 16 bytes short of its power of two.
    payload_bytes
        .saturating_add(16)
        .checked_next_power_of_two()
        .map_or(WINDOW_BITS_MAX, usize::ilog2)
        .clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX)
}

/// One call with all input and an output no larger than the input: fed in pieces, quality 1
/// would start afresh with each, and what grows past its input ends early.
pub(super) fn compress(payload: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
    let mut encoder = encoder(effort, payload.len());
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
        return Err(refused());
    }
    // Unfinished means that the output is full, as long as the payload: not smaller.
    if encoder.is_finished() {
        compressed.truncate(written);
    }
    Ok(compressed)
}

fn encoder(effort: Effort, payload_bytes: usize) -> BrotliEncoderStateStruct<StandardAlloc> {
    let mut encoder = BrotliEncoderStateStruct::new(StandardAlloc::default());
    encoder.params.quality = match effort {
        Effort::Least => 1,
        Effort::Most => 11,
    };
    encoder.params.lgwin = window_bits(payload_bytes) as i32;
    encoder.params.size_hint = payload_bytes;
    encoder
}

fn refused() -> io::Error {
    io::Error::other("the encoder refused its input")
}

/// So much comes out at once.
const OUTPUT_BYTES: usize = 64 << 10;

/// Content that comes in parts.
pub(super) struct Stream {
    encoder: BrotliEncoderStateStruct<StandardAlloc>,
    space: Vec<u8>,
    output: Vec<u8>,
}

impl Stream {
    pub fn new(effort: Effort, content_bytes: u64) -> Stream {
        let content_bytes = usize::try_from(content_bytes).unwrap_or(usize::MAX);
        Stream {
            encoder: encoder(effort, content_bytes),
            space: vec![0; OUTPUT_BYTES],
            output: Vec::new(),
        }
    }

    fn drive(&mut self, operation: BrotliEncoderOperation, part: &[u8]) -> io::Result<()> {
        let is_end = matches!(operation, BrotliEncoderOperation::BROTLI_OPERATION_FINISH);
        let (mut unread, mut read) = (part.len(), 0);
        loop {
            let (mut unwritten, mut written) = (self.space.len(), 0);
            let accepted = self.encoder.compress_stream(
                operation,
                &mut unread,
                part,
                &mut read,
                &mut unwritten,
                &mut self.space,
                &mut written,
                &mut None,
                &mut |_, _, _, _| (),
            );
            if !accepted {
                return Err(refused());
            }
            let new = self.space.get(..written).unwrap_or_default();
            self.output.extend_from_slice(new);
            let is_done = if is_end {
                self.encoder.is_finished()
            } else {
                unread == 0 && !self.encoder.has_more_output()
            };
            if is_done {
                return Ok(());
            }
        }
    }
}

impl Encoder for Stream {
    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.drive(BrotliEncoderOperation::BROTLI_OPERATION_PROCESS, part)
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn finish(mut self: Box<Self>) -> io::Result<Vec<u8>> {
        self.drive(BrotliEncoderOperation::BROTLI_OPERATION_FINISH, &[])?;
        Ok(self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::window_bits;

    #[test]
    fn windows_reach_over_the_payload_and_no_further() {
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
            assert_eq!(window_bits(bytes), bits, "{bytes}");
        }
    }
}
