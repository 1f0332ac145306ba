//! gzip (RFC 1952).

use std::io::{self, Write};

use flate2::write::GzEncoder;

use super::Effort;
use super::encoder::Encoder;

pub(super) fn compress(payload: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
    let mut encoder = stream(effort);
    encoder.write_all(payload)?;
    GzEncoder::finish(encoder)
}

pub(super) fn stream(effort: Effort) -> GzEncoder<Vec<u8>> {
    let level = match effort {
        Effort::Least => flate2::Compression::fast(),
        Effort::Most => flate2::Compression::best(),
    };
    GzEncoder::new(Vec::new(), level)
}

impl Encoder for GzEncoder<Vec<u8>> {
    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.write_all(part)
    }

    fn output(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        GzEncoder::finish(*self)
    }
}
