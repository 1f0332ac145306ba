//! What lies between ureq and the connection: what ureq has to send, and what it has still to read.

use bytes::{Buf, BytesMut};
use ureq::unversioned::transport::Buffers;

const OUTPUT_BYTES: usize = 16 << 10;

/// What ureq has to send, and what it has still to read.
#[derive(Debug, Default)]
pub(in crate::http) struct CallBuffers {
    pub output: Vec<u8>,
    input: BytesMut,
    /// Something came since ureq looked.
    pub has_news: bool,
    /// ureq could use some of it when it looked last.
    was_used: bool,
}

impl CallBuffers {
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.has_news = true;
    }

    /// Whether an answer has begun that is more than informational.
    pub fn holds_an_answer(&self) -> bool {
        begins_an_answer(&self.input)
    }
}

impl Buffers for CallBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.output.resize(OUTPUT_BYTES, 0);
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input
    }

    fn input_consume(&mut self, amount: usize) {
        self.input.advance(amount.min(self.input.len()));
        self.was_used = amount > 0;
        self.has_news = false;
    }

    fn can_use_input(&self) -> bool {
        !self.input.is_empty() && (self.has_news || self.was_used)
    }

    // For transports that let ureq's own parts read, and for bodies of unknown length.

    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut [], self.output())
    }
}

/// Whether there is the status of an answer in there, behind informational ones.
fn begins_an_answer(mut input: &[u8]) -> bool {
    const HEAD_END: &[u8] = b"\r\n\r\n";
    loop {
        let Some(status) = input.get(9..12) else {
            return false;
        };
        if !input.starts_with(b"HTTP/1.") || status.first() != Some(&b'1') {
            return true;
        }
        let mut windows = input.windows(HEAD_END.len());
        let Some(end) = windows.position(|window| window == HEAD_END) else {
            return false;
        };
        input = input.get(end + HEAD_END.len()..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_seen_as_soon_as_its_status_is_there() {
        for input in [
            "",
            "HTTP/1.1 4",
            "HTTP/1.1 100 Continue\r\n",
            "HTTP/1.1 100 X\r\n\r\n",
        ] {
            assert!(!begins_an_answer(input.as_bytes()), "{input:?}");
        }
        for input in [
            "HTTP/1.1 413",
            "HTTP/1.0 200 OK\r\n",
            "HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 413 X",
            "SSH-2.0-OpenSSH_9.2",
        ] {
            assert!(begins_an_answer(input.as_bytes()), "{input:?}");
        }
    }
}
