//! What a command writes to standard output, in one stroke where it is short.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde_json::Value;

use super::failure::Failure;

/// Standard output.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub fn new() -> Output {
        Output(BufWriter::new(io::stdout().lock()))
    }

    /// A line of text.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(self.0, "{}", text.as_ref()).map_err(Failure::Output)
    }

    /// One JSON value, in a line of its own.
    pub fn json(&mut self, value: &Value) -> Result<(), Failure> {
        writeln!(self.0, "{value}").map_err(Failure::Output)
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write_all(bytes).map_err(Failure::Output)
    }

    /// For bytes that come in parts.
    pub fn writer(&mut self) -> &mut impl Write {
        &mut self.0
    }

    /// Names and values in two columns.
    pub fn facts(&mut self, facts: &[(&str, String)]) -> Result<(), Failure> {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            self.line(format!("{name:width$}  {value}"))?;
        }
        Ok(())
    }

    /// Gets all of it out.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(Failure::Output)
    }
}
