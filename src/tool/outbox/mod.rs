//! `outbox`: the Messages in a database file. To look at them needs no lock; to change them does.

mod at_rest;
mod decide;
mod export;
mod import;
mod list;
mod message;
mod payload;
mod show;

use super::arguments::{OutboxCommand, State};
use super::failure::{Failure, Outcome};
use super::file::{DatabaseFile, Next};
use super::output::Output;
use crate::store::rows::listing::{Shelf, StoredMessage};

pub(crate) fn outbox(command: OutboxCommand, output: &mut Output) -> Result<Outcome, Failure> {
    match command {
        OutboxCommand::List(arguments) => list::list(&arguments, output),
        OutboxCommand::Show(arguments) => show::show(&arguments, output),
        OutboxCommand::Export(arguments) => export::export(&arguments, output),
        OutboxCommand::Retry(arguments) => decide::retry(arguments, output),
        OutboxCommand::Drop(arguments) => decide::drop_messages(arguments, output),
        OutboxCommand::Import(arguments) => import::import(&arguments, output),
    }
}

impl State {
    fn shelves(self) -> &'static [Shelf] {
        match self {
            State::Pending => &[Shelf::Outbox],
            State::SetAside => &[Shelf::SetAside],
            State::All => &[Shelf::Outbox, Shelf::SetAside],
        }
    }
}

/// Hands the Messages of a state out, oldest first, pending ones before those set aside, until `each` has enough.
fn each_of(
    file: &mut DatabaseFile,
    state: State,
    with_bodies: bool,
    each: &mut dyn FnMut(StoredMessage) -> Result<Next, Failure>,
) -> Result<(), Failure> {
    let mut next = Next::More;
    for shelf in state.shelves() {
        if next == Next::More {
            file.each(*shelf, with_bodies, &mut |message| {
                next = each(message)?;
                Ok(next)
            })?;
        }
    }
    Ok(())
}

/// How many Messages are in the state.
fn count_of(file: &mut DatabaseFile, state: State) -> Result<u64, Failure> {
    let mut count = 0;
    each_of(file, state, false, &mut |_| {
        count += 1;
        Ok(Next::More)
    })?;
    Ok(count)
}
