//! An HTTP/1.1 answer, without I/O: fed with bytes as they come, cut anywhere.

use super::body::Body;
use super::time::ServerTime;

/// Of all heads together: informational answers (1xx) may come before the one that counts.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// What an HTTP server answered.
pub(crate) struct Answer {
    pub status: u16,
    /// From the header `Date`.
    pub time: Option<ServerTime>,
    pub body: Vec<u8>,
}

/// What is wrong with an answer; none of it is repeated, as a token may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("it is not HTTP/1.1")]
    NotHttp,
    #[error("it is too large")]
    TooLarge,
    #[error("it does not say where it ends")]
    Framing,
    #[error("it is cut short")]
    CutShort,
    #[error("it came before all was sent")]
    Early,
}

/// The head that counts, and its body.
struct Final {
    status: u16,
    time: Option<ServerTime>,
    body: Body,
}

/// An answer, as far as it has come.
#[derive(Default)]
pub(super) struct AnswerReader {
    head: Vec<u8>,
    /// Of informational answers.
    skipped_bytes: usize,
    answer: Option<Final>,
    /// The end of the connection is the end of its body.
    ended: bool,
}

impl AnswerReader {
    /// Takes what came next; what follows a complete answer is ignored.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), AnswerError> {
        if let Some(answer) = &mut self.answer {
            return answer.body.receive(bytes);
        }
        self.head.extend_from_slice(bytes);
        // Only a line's end can complete a head: saves reading it again for every byte.
        let may_be_complete = bytes.contains(&b'\n');
        while may_be_complete && self.answer.is_none() {
            let Some(head_bytes) = self.read_head()? else {
                break;
            };
            let rest = self.head.split_off(head_bytes.min(self.head.len()));
            self.head = Vec::new();
            match &mut self.answer {
                Some(answer) => answer.body.receive(&rest)?,
                None => {
                    self.skipped_bytes += head_bytes;
                    self.head = rest;
                }
            }
        }
        match self.answer.is_none() && self.head.len() >= self.head_bytes_left() {
            true => Err(AnswerError::TooLarge),
            false => Ok(()),
        }
    }

    fn head_bytes_left(&self) -> usize {
        HEAD_BYTES_MAX.saturating_sub(self.skipped_bytes)
    }

    /// Reads a complete head, and returns its length.
    fn read_head(&mut self) -> Result<Option<usize>, AnswerError> {
        let allowed = self.head_bytes_left().min(self.head.len());
        let lines = self.head.get(..allowed).unwrap_or_default();
        // Whole lines only: what is wrong with the rest is told when it is one.
        let lines_end = lines.iter().rposition(|byte| *byte == b'\n');
        let lines = lines_end.map_or(&[][..], |end| lines.get(..=end).unwrap_or_default());
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(lines) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(AnswerError::TooLarge),
            Err(_) => return Err(AnswerError::NotHttp),
        };
        let status = head.code.ok_or(AnswerError::NotHttp)?;
        match status {
            // Another protocol, which nobody asked for.
            ..100 | 101 | 600.. => return Err(AnswerError::NotHttp),
            102..200 | 100 => return Ok(Some(length)),
            200..600 => {}
        }
        let fields = || head.headers.iter().map(|field| (field.name, field.value));
        let body = Body::new(
            matches!(status, 204 | 304),
            head.version == Some(0),
            fields(),
        )?;
        let date = fields().find(|(name, _)| name.eq_ignore_ascii_case("date"));
        self.answer = Some(Final {
            status,
            time: date
                .and_then(|(_, date)| str::from_utf8(date).ok())
                .and_then(ServerTime::from_http_date),
            body,
        });
        Ok(Some(length))
    }

    /// The connection ended: as the peer declared it, or (not `declared`) as anybody can end it.
    pub fn end(&mut self, declared: bool) -> Result<(), AnswerError> {
        match &self.answer {
            Some(answer) if answer.body.is_complete() => Ok(()),
            Some(answer) if declared && answer.body.ends_with_connection() => {
                self.ended = true;
                Ok(())
            }
            _ => Err(AnswerError::CutShort),
        }
    }

    /// Takes what has come of the body for all of it.
    pub fn cut_off(&mut self) {
        self.ended = true;
    }

    /// Whether any of it has come.
    pub fn has_begun(&self) -> bool {
        !self.head.is_empty() || self.skipped_bytes > 0 || self.answer.is_some()
    }

    /// The status, as soon as it is known.
    pub fn status(&self) -> Option<u16> {
        self.answer.as_ref().map(|answer| answer.status)
    }

    pub fn is_complete(&self) -> bool {
        let complete = |answer: &Final| answer.body.is_complete();
        self.ended || self.answer.as_ref().is_some_and(complete)
    }

    /// The answer, once it is complete.
    pub fn take(&mut self) -> Option<Answer> {
        if !self.is_complete() {
            return None;
        }
        let answer = self.answer.take()?;
        Some(Answer {
            status: answer.status,
            time: answer.time,
            body: answer.body.into_content(),
        })
    }
}

#[cfg(test)]
mod tests;
