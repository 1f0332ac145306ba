//! `outbox show`.

use std::io;

use super::message::{PayloadForm, to_json};
use super::payload::{decoder, decompress};
use crate::tool::arguments::ShowArguments;
use crate::tool::failure::{Failure, Outcome};
use crate::tool::file::DatabaseFile;
use crate::tool::output::Output;

pub(super) fn show(arguments: &ShowArguments, output: &mut Output) -> Result<Outcome, Failure> {
    let mut file = DatabaseFile::open(&arguments.database.path)?;
    let device = file.device()?.and_then(|device| device.identity);
    let Some(message) = file.message(arguments.id)? else {
        let rule = format!(
            "there is no Message {} in the file (any more)",
            arguments.id
        );
        return Err(Failure::Refused(rule));
    };
    if arguments.raw {
        if let Some(content) = message.content {
            // It can be larger than the memory.
            let stored = decoder(&message.properties, file.content(content));
            let copied = stored.and_then(|mut payload| io::copy(&mut payload, output.writer()));
            copied.map_err(Failure::Output)?;
            return Ok(Outcome::Done);
        }
        let body = message.body.as_deref().unwrap_or_default();
        let payload = decompress(&message.properties, body);
        output.bytes(&payload.unwrap_or_else(|_| body.to_vec()))?;
        return Ok(Outcome::Done);
    }
    let json = to_json(&message, device.as_ref(), PayloadForm::Decoded);
    let text = serde_json::to_string_pretty(&json).unwrap_or_default();
    output.line(text)?;
    Ok(Outcome::Done)
}
