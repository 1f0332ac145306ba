//! Where an answer's body ends (RFC 9112, section 6), without I/O: fed with bytes as they come.

use super::answer::AnswerError;

/// More than any answer of the Platform.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;
/// What chunks may cost beside their content: sizes, extensions, ends of lines, trailers.
const CHUNK_OVERHEAD_BYTES_MAX: usize = 64 << 10;

/// How the length of a body is told.
#[derive(Debug)]
pub(super) enum Framing {
    Length(usize),
    Chunked(Chunks),
    UntilClose,
}

/// A body, as far as it has come.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    content: Vec<u8>,
}

impl Body {
    /// The body that these header fields announce; `bodiless` for a status that never has one.
    pub fn new<'a>(
        bodiless: bool,
        is_http_1_0: bool,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Body, AnswerError> {
        let (mut length, mut chunked) = (None, false);
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("content-length") {
                // Also a repeated one: what differs from hop to hop is how a request is smuggled.
                if length.replace(content_length(value)?).is_some() {
                    return Err(AnswerError::Framing);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                // None but this was offered.
                if chunked || is_http_1_0 || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(AnswerError::Framing);
                }
                chunked = true;
            }
        }
        let framing = match (bodiless, chunked, length) {
            (_, true, Some(_)) => return Err(AnswerError::Framing),
            (true, _, _) => Framing::Length(0),
            (false, true, None) => Framing::Chunked(Chunks::default()),
            (false, false, Some(length)) if length > BODY_BYTES_MAX => {
                return Err(AnswerError::TooLarge);
            }
            (false, false, Some(length)) => Framing::Length(length),
            (false, false, None) => Framing::UntilClose,
        };
        Ok(Body {
            framing,
            content: Vec::new(),
        })
    }

    /// Takes what came next; what follows the end is ignored.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), AnswerError> {
        match &mut self.framing {
            Framing::Length(length) => {
                let missing = length.saturating_sub(self.content.len());
                let count = missing.min(bytes.len());
                append(&mut self.content, bytes.get(..count).unwrap_or_default())
            }
            Framing::Chunked(chunks) => chunks.receive(bytes, &mut self.content),
            Framing::UntilClose => append(&mut self.content, bytes),
        }
    }

    /// Whether it is complete, whatever becomes of the connection.
    pub fn is_complete(&self) -> bool {
        match &self.framing {
            Framing::Length(length) => self.content.len() >= *length,
            Framing::Chunked(chunks) => chunks.part == Part::Over,
            Framing::UntilClose => false,
        }
    }

    /// Whether the end of the connection, as the peer declared it, completes it.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.framing, Framing::UntilClose)
    }

    pub fn into_content(self) -> Vec<u8> {
        self.content
    }
}

fn append(content: &mut Vec<u8>, bytes: &[u8]) -> Result<(), AnswerError> {
    if content.len() + bytes.len() > BODY_BYTES_MAX {
        return Err(AnswerError::TooLarge);
    }
    content.extend_from_slice(bytes);
    Ok(())
}

fn content_length(value: &[u8]) -> Result<usize, AnswerError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(AnswerError::Framing);
    }
    let digits = str::from_utf8(value).map_err(|_| AnswerError::Framing)?;
    // More than a usize holds is too large in any case.
    Ok(digits.parse().unwrap_or(usize::MAX))
}

/// The chunks of a body (RFC 9112, section 7.1), as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    part: Part,
    line: Vec<u8>,
    overhead_bytes: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    Data {
        left: usize,
    },
    DataEnd,
    Trailer,
    Over,
}

impl Chunks {
    fn receive(&mut self, mut bytes: &[u8], content: &mut Vec<u8>) -> Result<(), AnswerError> {
        while !bytes.is_empty() && self.part != Part::Over {
            bytes = match self.part {
                Part::Data { left } => {
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    append(content, data)?;
                    self.part = match left - data.len() {
                        0 => Part::DataEnd,
                        left => Part::Data { left },
                    };
                    rest
                }
                _ => self.receive_line(bytes)?,
            };
        }
        Ok(())
    }

    /// Takes bytes up to the end of the line, and acts on it; returns the rest.
    fn receive_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], AnswerError> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.overhead_bytes += part.len();
        if self.overhead_bytes > CHUNK_OVERHEAD_BYTES_MAX {
            return Err(AnswerError::TooLarge);
        }
        self.line.extend_from_slice(part);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.part = self.after(line.strip_suffix(b"\r\n").ok_or(AnswerError::Framing)?)?;
        }
        Ok(rest)
    }

    fn after(&self, line: &[u8]) -> Result<Part, AnswerError> {
        match self.part {
            Part::Size => match chunk_size(line)? {
                0 => Ok(Part::Trailer),
                left if left > BODY_BYTES_MAX => Err(AnswerError::TooLarge),
                left => Ok(Part::Data { left }),
            },
            Part::DataEnd if line.is_empty() => Ok(Part::Size),
            Part::Trailer if line.is_empty() => Ok(Part::Over),
            Part::Trailer => Ok(Part::Trailer),
            Part::DataEnd | Part::Data { .. } | Part::Over => Err(AnswerError::Framing),
        }
    }
}

/// `size[ ][;extension]`
fn chunk_size(line: &[u8]) -> Result<usize, AnswerError> {
    let end = line.iter().position(|byte| *byte == b';');
    let digits = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
    let digits = digits.trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(AnswerError::Framing);
    }
    let digits = str::from_utf8(digits).map_err(|_| AnswerError::Framing)?;
    Ok(usize::from_str_radix(digits, 16).unwrap_or(usize::MAX))
}
