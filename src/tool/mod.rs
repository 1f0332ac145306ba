//! The tool for whoever stands before a device with a shell and no source code, with the feature `tool`: the program
//! `spotflow-device`, and `python -m spotflow_device`. What it does is in its help, and in the repository's `TOOL.md`.
//!
//! `arguments.rs` is what can be said to it, and its help; each command has a file or a folder. They read the database
//! beside a running client, which notices nothing of it, by way of [`file`]; what changes it needs the client's lock.

mod answer;
mod arguments;
mod doctor;
mod failure;
mod file;
mod new_file;
mod outbox;
mod output;
#[cfg(test)]
mod page;
mod progress;
mod send;
mod status;
mod token_file;
mod units;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, Command};
use failure::{Failure, Outcome};
use output::Output;

/// Runs the tool with a program's arguments, of which the first is its name, and returns what the process is to exit
/// with: 0 all is well, 1 there are findings or it failed, 2 it cannot tell or was called wrongly.
///
/// It writes to standard output and standard error, can read standard input, and blocks until it is done.
///
/// ```
/// assert_eq!(spotflow_device::tool::run(["spotflow-device", "--version"]), 0);
/// ```
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where nobody reads it there is nothing left to do.
            drop(error.print());
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => Outcome::CannotTell.exit_code(),
            };
        }
    };
    let mut output = Output::new();
    let outcome = perform(arguments.command, &mut output);
    let outcome = outcome.and_then(|outcome| output.finish().map(|()| outcome));
    match outcome {
        Ok(outcome) => outcome.exit_code(),
        // As `| head` does when it has seen enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(failure) => {
            // Without a panic where nobody reads it any more.
            drop(writeln!(std::io::stderr(), "spotflow-device: {failure}"));
            failure.exit_code()
        }
    }
}

fn perform(command: Command, output: &mut Output) -> Result<Outcome, Failure> {
    match command {
        Command::Status(arguments) => status::status(&arguments, output),
        Command::Outbox(arguments) => outbox::outbox(arguments.command, output),
        Command::Doctor(arguments) => doctor::doctor(&arguments, output),
        Command::Send(arguments) => send::send(&arguments, output),
    }
}
