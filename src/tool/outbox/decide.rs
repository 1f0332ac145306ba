//! `outbox retry` and `outbox drop`: what becomes of Messages, decided by a person.

use super::at_rest::AtRest;
use crate::tool::answer::confirm;
use crate::tool::arguments::{DropArguments, RetryArguments, State};
use crate::tool::failure::{Failure, Outcome};
use crate::tool::output::Output;
use crate::tool::units;

pub(super) fn retry(arguments: RetryArguments, output: &mut Output) -> Result<Outcome, Failure> {
    let at_rest = AtRest::open(&arguments.database.path)?;
    let Some(identity) = at_rest.identity()? else {
        let rule = "the device was never registered, so that nothing can be sent as it";
        return Err(Failure::Refused(rule.to_owned()));
    };
    let ids = if arguments.all {
        at_rest.ids_in(State::SetAside)?
    } else {
        arguments.ids
    };
    let wanted = ids.len() as u64;
    if wanted > 0 && !arguments.yes {
        let messages = units::messages(wanted);
        confirm(&format!("Send {messages} with the next start?"))?;
    }
    let put_back = at_rest.put_back(ids, identity)?;
    let messages = units::messages(put_back);
    output.line(format!("{messages} put back, to be sent"))?;
    if put_back < wanted {
        let left = units::count(wanted - put_back);
        output.line(format!(
            "{left} not: of another device, or none of that number is set aside"
        ))?;
        return Ok(Outcome::Findings);
    }
    Ok(Outcome::Done)
}

pub(super) fn drop_messages(
    arguments: DropArguments,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    // With the lock from here on: what is counted is what is dropped.
    let at_rest = AtRest::open(&arguments.database.path)?;
    let ids = match arguments.state {
        Some(state) => at_rest.ids_in(state)?,
        None => arguments.ids,
    };
    let wanted = ids.len() as u64;
    if wanted > 0 && !arguments.yes {
        let messages = units::messages(wanted);
        confirm(&format!("Drop {messages} for good?"))?;
    }
    let dropped = at_rest.delete(ids)?;
    output.line(format!("{} dropped", units::messages(dropped)))?;
    if dropped < wanted {
        let left = units::count(wanted - dropped);
        output.line(format!("{left} of these numbers were not there"))?;
        return Ok(Outcome::Findings);
    }
    Ok(Outcome::Done)
}
