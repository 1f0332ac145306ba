//! `outbox export`.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;

use super::message::{PayloadForm, to_json};
use super::{count_of, each_of};
use crate::store::private;
use crate::tool::arguments::ExportArguments;
use crate::tool::failure::{Failure, Outcome};
use crate::tool::file::{DatabaseFile, Next};
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
    let Some(path) = &arguments.output else {
        return each_of(&mut file, arguments.state, true, |message| {
            output.json(&to_json(&message, device.as_ref(), form))?;
            Ok(Next::More)
        })
        .map(|()| Outcome::Done);
    };
    let total = count_of(&mut file, arguments.state)?;
    let mut progress = Progress::new("exported", Some(total));
    let mut target = BufWriter::new(create(path)?);
    let mut count = 0;
    each_of(&mut file, arguments.state, true, |message| {
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
    let count = units::count(count);
    output.line(format!("{count} Messages are in {}", path.display()))?;
    Ok(Outcome::Done)
}

/// A new file: no other is ever overwritten.
fn create(path: &Path) -> Result<File, Failure> {
    private(OpenOptions::new().write(true).create_new(true))
        .open(path)
        .map_err(Failure::file(path))
}
