//! `outbox import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::at_rest::{AtRest, ImportState};
use super::message::Imported;
use crate::identity::HubDeviceId;
use crate::message::MAX_PAYLOAD_BYTES;
use crate::store::rows::listing::StoredElsewhere;
use crate::tool::answer::confirm;
use crate::tool::arguments::ImportArguments;
use crate::tool::failure::{Failure, Outcome};
use crate::tool::output::Output;
use crate::tool::progress::Progress;
use crate::tool::units;

/// So many lines, or bytes of payload, are stored with one commit.
const COMMIT_MESSAGES: usize = 500;
const COMMIT_BYTES: usize = 4 << 20;
/// More than any Message takes: the largest payload in base64, and what is said about it.
const LINE_BYTES_MAX: u64 = 2 * MAX_PAYLOAD_BYTES as u64;

pub(super) fn import(arguments: &ImportArguments, output: &mut Output) -> Result<Outcome, Failure> {
    let at_rest = AtRest::open(&arguments.database.path)?;
    let device = at_rest.identity()?;
    let skip = lines_to_skip(arguments, &at_rest)?;
    let is_stdin = arguments.input == Path::new("-");
    if !arguments.yes {
        if is_stdin {
            let rule = "what comes from standard input is stored only with --yes";
            return Err(Failure::Refused(rule.to_owned()));
        }
        let input = arguments.input.display();
        confirm(&format!("Store the Messages of {input} to be sent?"))?;
    }
    let bytes = if is_stdin {
        None
    } else {
        let metadata = std::fs::metadata(&arguments.input);
        Some(metadata.map_err(Failure::file(&arguments.input))?.len())
    };
    let mut batch = Batch {
        at_rest: &at_rest,
        messages: Vec::new(),
        bytes: 0,
        stored: 0,
        // What is done so far is what the next import is to leave out.
        lines_done: skip,
    };
    let rules = Rules {
        with_set_aside: arguments.set_aside,
        device,
        of_any_device: arguments.as_this_device,
    };
    let mut progress = Progress::new("bytes read", bytes);
    let outcome = read(&arguments.input, &rules, &mut batch, &mut progress);
    drop(progress);
    let left_out = match outcome {
        Ok(left_out) => left_out,
        Err(failure) => {
            let (stored, skip) = (units::messages(batch.stored), batch.lines_done);
            let mut text = format!("{failure}\n{stored} stored");
            if skip > 0 {
                text.push_str(&format!("; to go on behind them: --skip {skip}"));
            }
            return Err(Failure::Refused(text));
        }
    };
    let stored = units::messages(batch.stored);
    output.line(format!("{stored} stored, to be sent"))?;
    if left_out > 0 {
        let left_out = units::count(left_out);
        output.line(format!(
            "{left_out} that were set aside are left out: --set-aside takes them, too"
        ))?;
    }
    Ok(Outcome::Done)
}

/// How many lines an earlier import has stored. Where one was interrupted, somebody has to say so: it may have been of
/// another input.
fn lines_to_skip(arguments: &ImportArguments, at_rest: &AtRest) -> Result<u64, Failure> {
    match (arguments.skip, at_rest.interrupted_import()?) {
        (Some(skip), _) => Ok(skip),
        (None, None) => Ok(0),
        (None, Some(lines)) => Err(Failure::Refused(format!(
            "an earlier import into this file came to no end. To go on with the same input: --skip {lines}; to store all of this one: --skip 0"
        ))),
    }
}

/// What is taken.
struct Rules {
    with_set_aside: bool,
    /// Whose file it is, once that is known.
    device: Option<HubDeviceId>,
    /// Otherwise only what is of this device.
    of_any_device: bool,
}

impl Rules {
    /// Whether the Message is taken; an error if nobody has said what is to become of it.
    fn take(&self, imported: &Imported) -> Result<bool, String> {
        if imported.is_set_aside && !self.with_set_aside {
            return Ok(false);
        }
        if self.of_any_device {
            return Ok(true);
        }
        match (&self.device, &imported.identity) {
            (Some(device), Some(identity)) if device != identity => Err(format!(
                "it is of the device {identity}, this file is of {device}: --as-this-device sends it all the same"
            )),
            (None, Some(identity)) => Err(format!(
                "it is of the device {identity}, this file is of none yet: --as-this-device sends it all the same"
            )),
            _ => Ok(true),
        }
    }
}

/// Stores the lines of the input; returns how many were left out.
fn read(
    path: &Path,
    rules: &Rules,
    batch: &mut Batch<'_>,
    progress: &mut Progress,
) -> Result<u64, Failure> {
    let skip = batch.lines_done;
    let mut input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path).map_err(Failure::file(path))?;
        Box::new(BufReader::new(file))
    };
    let (mut number, mut left_out) = (0, 0);
    let mut line = String::new();
    while next_line(&mut input, &mut line).map_err(Failure::file(path))? {
        number += 1;
        progress.advance(line.len() as u64 + 1);
        if number <= skip || line.trim().is_empty() {
            continue;
        }
        let at_line = |rule: String| Failure::Refused(format!("line {number}: {rule}"));
        let imported = Imported::parse(&line).map_err(at_line)?;
        if rules.take(&imported).map_err(at_line)? {
            batch.add(imported.message, number)?;
        } else {
            left_out += 1;
        }
    }
    batch.store(number, ImportState::Ended)?;
    Ok(left_out)
}

/// Without its end; `false` where there is none.
fn next_line(input: &mut impl BufRead, line: &mut String) -> io::Result<bool> {
    line.clear();
    // What is cut here is no Message to the parser.
    input.take(LINE_BYTES_MAX).read_line(line)?;
    let is_there = !line.is_empty();
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(is_there)
}

/// Messages that are stored with one commit.
struct Batch<'a> {
    at_rest: &'a AtRest,
    messages: Vec<StoredElsewhere>,
    bytes: usize,
    stored: u64,
    lines_done: u64,
}

impl Batch<'_> {
    fn add(&mut self, message: StoredElsewhere, line: u64) -> Result<(), Failure> {
        self.bytes += message.body.len();
        self.messages.push(message);
        if self.messages.len() >= COMMIT_MESSAGES || self.bytes >= COMMIT_BYTES {
            self.store(line, ImportState::Through(line))?;
        }
        Ok(())
    }

    fn store(&mut self, through_line: u64, state: ImportState) -> Result<(), Failure> {
        let messages = std::mem::take(&mut self.messages);
        self.bytes = 0;
        let count = messages.len() as u64;
        self.at_rest.store(messages, state)?;
        self.stored += count;
        self.lines_done = through_line.max(self.lines_done);
        Ok(())
    }
}
