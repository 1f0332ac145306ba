//! `doctor`: why does this device send nothing?
//!
//! Groups of checks run at once, each on a thread of its own: [`platform`], whose steps build on one another, [`database`]
//! and [`machine`]. What they find is gathered on the [`board`]; [`cause`] says what it comes down to.

mod board;
mod cause;
mod clock;
mod database;
mod disk;
mod handshake;
mod inspector;
mod machine;
mod platform;
mod reaching;
mod report;
mod subject;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arguments::DoctorArguments;
use super::failure::{Failure, Outcome};
use super::new_file;
use super::output::Output;
use board::Board;
use report::Report;
use subject::Subject;

/// Checks that run one after the other.
type Group = fn(&Subject, &Board, Instant);

/// Everything is told by then, whatever hangs.
const LIMIT: Duration = Duration::from_secs(18);

pub(crate) fn doctor(arguments: &DoctorArguments, output: &mut Output) -> Result<Outcome, Failure> {
    let deadline = Instant::now() + LIMIT;
    let subject = Subject::new(arguments)?;
    // Before the checks: a bundle that cannot be written is not worth the wait.
    let bundle = match &arguments.bundle {
        None => None,
        Some(path) => Some((path, new_file::create(path)?)),
    };
    let report = examine(subject, deadline)?;
    if let Some((path, mut file)) = bundle {
        let text = serde_json::to_string_pretty(&report.to_json()).unwrap_or_default();
        writeln!(file, "{text}").map_err(Failure::file(path))?;
    }
    if arguments.json {
        output.json(&report.to_json())?;
    } else {
        report.write(output)?;
    }
    Ok(report.outcome())
}

/// Runs all checks; those that are not done by the deadline cannot be told.
fn examine(subject: Subject, deadline: Instant) -> Result<Report, Failure> {
    let board = Board::new();
    let groups: [(&str, Group); 3] = [
        ("spotflow-platform", platform::check),
        ("spotflow-database", database::check),
        ("spotflow-machine", machine::check),
    ];
    let subject = Arc::new(subject);
    for (name, check) in groups {
        let (subject, board) = (Arc::clone(&subject), board.clone());
        // What hangs in the system's resolver or in a dead disk cannot be interrupted: it is left behind.
        let work = move || {
            let _done = board.group();
            check(&subject, &board, deadline);
        };
        crate::threads::spawn(name, work)
            .map_err(|error| crate::Error::system("start a thread", error))?;
    }
    Ok(Report::new(board.wait(groups.len(), deadline)))
}
