//! From a file to what is stored as a Message's content: through the codec if there is one, in memory as long as it is
//! small, and else into the store, chunk by chunk.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::source_file::SourceFile;
use crate::compression::{Codec, CompressedStream, Compression, compress};
use crate::error::{Error, Result};
use crate::outbox::{ContentCopy, Contents, NewBody};
use crate::store::rows::chunks::CHUNK_BYTES;
use crate::wait::InterruptCheck;

/// What is not larger is a payload like any other. If a codec makes nothing of so much at the beginning of a larger
/// file, that is taken as it is: to find it out at its end would cost the flash twice the writes.
const SAMPLE_BYTES: usize = CHUNK_BYTES;

/// How the content is taken.
pub(super) struct Taking<'a> {
    pub contents: &'a Arc<Contents>,
    pub compression: Compression,
    pub codec: Option<Codec>,
    pub check: Option<&'a dyn InterruptCheck>,
}

/// A file's content.
pub(super) struct FileContent {
    pub body: NewBody,
    pub content_encoding: Option<&'static str>,
    /// To be kept until the Message is stored: without one, what is copied goes with this.
    pub copy: Option<ContentCopy>,
}

impl Taking<'_> {
    /// Takes the content of the file.
    pub fn take(&self, file: &mut SourceFile) -> Result<FileContent> {
        let mut sample = vec![0; SAMPLE_BYTES];
        let read = file.read(&mut sample)?;
        sample.truncate(read);
        if file.is_at_end()? {
            return Ok(self.as_payload(sample));
        }
        if let Some(stream) = self.codec_for(&sample, file.bytes()) {
            let content_encoding = stream.content_encoding;
            if let Some(sink) = self.compressed(file, stream)? {
                return sink.content(Some(content_encoding));
            }
        }
        self.as_it_is(file)?.content(None)
    }

    fn as_payload(&self, payload: Vec<u8>) -> FileContent {
        let compressed = compress(&payload, self.compression, self.codec);
        let (payload, content_encoding) = match compressed {
            Some(compressed) => (compressed.body, Some(compressed.content_encoding)),
            None => (payload, None),
        };
        FileContent {
            body: NewBody::of_payload(payload),
            content_encoding,
            copy: None,
        }
    }

    /// A codec, if content that begins so is worth it.
    fn codec_for(&self, sample: &[u8], content_bytes: u64) -> Option<CompressedStream> {
        if self.compression == Compression::Uncompressed {
            return None;
        }
        compress(sample, Compression::Fastest, self.codec)?;
        let stream = CompressedStream::begin(self.compression, self.codec, content_bytes);
        stream.unwrap_or_else(codec_failed)
    }

    /// `None` if it does not become smaller.
    fn compressed(
        &self,
        file: &mut SourceFile,
        mut stream: CompressedStream,
    ) -> Result<Option<Sink<'_>>> {
        let bytes = file.bytes();
        let mut sink = Sink::new(self.contents);
        let mut is_worth_it = true;
        self.each_part(file, |part| {
            let compressed = stream.write(part).map(Some);
            is_worth_it = match compressed.unwrap_or_else(codec_failed) {
                Some(compressed) => sink.write(&compressed)?.bytes < bytes,
                None => false,
            };
            Ok(is_worth_it)
        })?;
        if !is_worth_it {
            return Ok(None);
        }
        let rest = stream.finish().map(Some).unwrap_or_else(codec_failed);
        match rest {
            Some(rest) if sink.bytes + (rest.len() as u64) < bytes => {
                sink.write(&rest)?;
                Ok(Some(sink))
            }
            _ => Ok(None),
        }
    }

    fn as_it_is(&self, file: &mut SourceFile) -> Result<Sink<'_>> {
        let mut sink = Sink::new(self.contents);
        self.each_part(file, |part| sink.write(part).map(|_| true))?;
        Ok(sink)
    }

    /// Hands the file's parts out, until `each` wants no more.
    fn each_part(
        &self,
        file: &mut SourceFile,
        mut each: impl FnMut(&[u8]) -> Result<bool>,
    ) -> Result<()> {
        let check = self
            .check
            .and_then(|check| Some((check, check.interval()?)));
        let mut asked_at = Instant::now();
        let mut part = vec![0; CHUNK_BYTES];
        file.rewind()?;
        loop {
            if let Some((check, interval)) = check
                && asked_at.elapsed() >= interval
            {
                if check.interrupted() {
                    return Err(Error::Interrupted);
                }
                asked_at = Instant::now();
            }
            let read = file.read(&mut part)?;
            let read = part.get(..read).unwrap_or_default();
            if read.is_empty() || !each(read)? {
                return Ok(());
            }
        }
    }
}

/// Then the content is sent as it is.
fn codec_failed<T>(error: io::Error) -> Option<T> {
    log::debug!("a file is sent uncompressed, as the codec failed: {error}");
    None
}

/// Where the content goes.
struct Sink<'a> {
    contents: &'a Arc<Contents>,
    bytes: u64,
    /// What is not yet in the store: a chunk at most.
    buffer: Vec<u8>,
    copy: Option<ContentCopy>,
}

impl<'a> Sink<'a> {
    fn new(contents: &'a Arc<Contents>) -> Sink<'a> {
        Sink {
            contents,
            bytes: 0,
            buffer: Vec::new(),
            copy: None,
        }
    }

    /// A chunk is stored when more follows: one alone is an ordinary payload.
    fn write(&mut self, mut part: &[u8]) -> Result<&Self> {
        self.bytes += part.len() as u64;
        while !part.is_empty() {
            if self.buffer.len() == CHUNK_BYTES {
                self.store()?;
            }
            let room = CHUNK_BYTES - self.buffer.len();
            let (fits, rest) = part.split_at(room.min(part.len()));
            self.buffer.extend_from_slice(fits);
            part = rest;
        }
        Ok(self)
    }

    fn store(&mut self) -> Result<()> {
        let mut copy = match self.copy.take() {
            Some(copy) => copy,
            None => self.contents.begin()?,
        };
        copy.append(std::mem::take(&mut self.buffer))?;
        self.copy = Some(copy);
        Ok(())
    }

    /// All of it is here.
    fn content(mut self, content_encoding: Option<&'static str>) -> Result<FileContent> {
        if self.copy.is_some() {
            self.store()?;
        }
        let body = match &self.copy {
            Some(copy) => NewBody::Stored(copy.content()),
            None => NewBody::of_payload(self.buffer),
        };
        Ok(FileContent {
            body,
            content_encoding,
            copy: self.copy,
        })
    }
}
