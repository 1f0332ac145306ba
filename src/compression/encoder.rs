//! What each codec is to content that comes in parts.

use std::io;

/// What a codec makes of content that comes in parts.
pub(super) trait Encoder {
    /// Takes a part.
    fn write(&mut self, part: &[u8]) -> io::Result<()>;
    /// What has come out so far and was not taken yet.
    fn output(&mut self) -> &mut Vec<u8>;
    /// Nothing follows; what is still to come out.
    fn finish(self: Box<Self>) -> io::Result<Vec<u8>>;
}
