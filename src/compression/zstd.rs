//! Zstandard (RFC 8878).

use std::io;

use super::{Effort, WINDOW_BITS_MAX};

/// It fits its window to the payload by itself; level 19 would go up to twice our maximum.
pub(super) fn compress(payload: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
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
