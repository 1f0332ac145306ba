//! gzip (RFC 1952).

use std::io::{self, Write};

use super::Effort;

pub(super) fn compress(payload: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
    let level = match effort {
        Effort::Least => flate2::Compression::fast(),
        Effort::Most => flate2::Compression::best(),
    };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(payload)?;
    encoder.finish()
}
