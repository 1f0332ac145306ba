//! Zstandard (RFC 8878).

use std::io::{self, Write};

use super::encoder::Encoder;
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

pub(super) fn stream(effort: Effort) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let level = match effort {
        Effort::Least => 1,
        Effort::Most => 19,
    };
    let mut encoder = zstd::Encoder::new(Vec::new(), level)?;
    if matches!(effort, Effort::Most) {
        encoder.window_log(WINDOW_BITS_MAX)?;
    }
    Ok(encoder)
}

impl Encoder for zstd::Encoder<'static, Vec<u8>> {
    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.write_all(part)
    }

    fn output(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        zstd::Encoder::finish(*self)
    }
}
