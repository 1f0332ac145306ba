//! Brotli (RFC 7932).

use std::io;

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderStateStruct};

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
    let mut encoder = BrotliEncoderStateStruct::new(StandardAlloc::default());
    encoder.params.quality = match effort {
        Effort::Least => 1,
        Effort::Most => 11,
    };
    encoder.params.lgwin = window_bits(payload.len()) as i32;
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
