//! `outbox list`.

use super::each_of;
use super::message::{PayloadForm, to_json};
use crate::clock::{Clock, SystemClock};
use crate::message::property_bag;
use crate::store::rows::listing::{StoredMessage, bag};
use crate::tool::arguments::ListArguments;
use crate::tool::failure::{Failure, Outcome};
use crate::tool::file::{DatabaseFile, Next};
use crate::tool::output::Output;
use crate::tool::units;

pub(super) fn list(arguments: &ListArguments, output: &mut Output) -> Result<Outcome, Failure> {
    let mut file = DatabaseFile::open(&arguments.database.path)?;
    let device = file.device()?.and_then(|device| device.identity);
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(Outcome::Done);
    }
    let now_ms = SystemClock.wall_ms();
    each_of(&mut file, arguments.state, false, &mut |message| {
        if arguments.json {
            output.json(&to_json(&message, device.as_ref(), PayloadForm::None))?;
        } else {
            output.line(line(&message, now_ms))?;
        }
        left -= 1;
        Ok(if left == 0 { Next::Enough } else { Next::More })
    })?;
    Ok(Outcome::Done)
}

/// `10017  pending  2026-11-22T12:00:00.123Z  (3h 5m)  1.2 kB  stream-name=readings`
fn line(message: &StoredMessage, now_ms: i64) -> String {
    let id = message.id;
    let state = match message.set_aside {
        None => "pending",
        Some(_) => "set aside",
    };
    let stored_at = units::time(message.stored_at_ms);
    let age = units::age(now_ms.saturating_sub(message.stored_at_ms));
    let bytes = units::bytes(message.body_bytes);
    let properties = property_bag::parse(bag(&message.properties));
    let properties = properties
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let properties = properties.collect::<Vec<_>>().join(" ");
    let mut line = format!("{id:>8}  {state:9}  {stored_at} ({age})  {bytes:>9}  {properties}");
    if let Some(why) = &message.set_aside {
        line.push_str(&format!("  because: {}", why.reason));
    }
    // Names can hold anything: a line stays a line, and a terminal what it is.
    line.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
