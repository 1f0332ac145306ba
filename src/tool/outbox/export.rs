//! `outbox export`.

use std::io::{self, BufWriter, Write};

use super::message::{PayloadForm, to_json};
use super::{count_of, each_of};
use crate::store::rows::listing::StoredMessage;
use crate::tool::arguments::ExportArguments;
use crate::tool::failure::{Failure, Outcome};
use crate::tool::file::{DatabaseFile, Next};
use crate::tool::new_file;
use crate::tool::output::Output;
use crate::tool::progress::Progress;
use crate::tool::units;

pub(super) fn export(arguments: &ExportArguments, output: &mut Output) -> Result<Outcome, Failure> {
    let mut file = DatabaseFile::open(&arguments.database.path)?;
    let device = file.device()?.and_then(|device| device.identity);
    let form = if arguments.decode {
        PayloadForm::Decoded
    } else {
        PayloadForm::Stored
    };
    let mut left_out = LeftOut::default();
    let Some(path) = &arguments.output else {
        each_of(&mut file, arguments.state, true, &mut |message| {
            left_out.note(&message);
            output.json(&to_json(&message, device.as_ref(), form))?;
            Ok(Next::More)
        })?;
        return Ok(left_out.outcome());
    };
    let total = count_of(&mut file, arguments.state)?;
    let mut progress = Progress::new("exported", Some(total));
    let mut target = BufWriter::new(new_file::create(path)?);
    let mut count = 0;
    each_of(&mut file, arguments.state, true, &mut |message| {
        left_out.note(&message);
        let json = to_json(&message, device.as_ref(), form);
        writeln!(target, "{json}").map_err(Failure::file(path))?;
        count += 1;
        progress.advance(1);
        Ok(Next::More)
    })?;
    let target = target.into_inner();
    let target = target.map_err(|error| Failure::file(path)(error.into_error()))?;
    target.sync_all().map_err(Failure::file(path))?;
    drop(progress);
    let messages = units::messages(count);
    output.line(format!("{messages} written to {}", path.display()))?;
    Ok(left_out.outcome())
}

/// Messages whose payload is too large for a line.
#[derive(Default)]
struct LeftOut(Vec<i64>);

impl LeftOut {
    fn note(&mut self, message: &StoredMessage) {
        if message.body.is_none() {
            self.0.push(message.id);
        }
    }

    fn outcome(self) -> Outcome {
        for id in &self.0 {
            // Without a panic where nobody reads it any more.
            drop(writeln!(
                io::stderr(),
                "the payload of Message {id} is too large for a line, and left out: \
                 `outbox show {id} --raw` writes it"
            ));
        }
        if self.0.is_empty() {
            Outcome::Done
        } else {
            Outcome::Findings
        }
    }
}
