//! A damaged database: it is kept under another name, and what can be read of it goes on as a new one.
//!
//! The steps, and what a crash behind each leaves to the next start:
//!
//! ```text
//! 1 build      the damaged database; the new one has the name `-salvage` and is thrown away
//! 2 sync       the same
//! 3 complete   the new one is complete and has the name `-salvaged`: the next start goes on with 4
//! 4 keep       the same
//! 5 replace    the new one has the name
//! ```
//!
//! Who we are is read first.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::damaged::Damaged;
use super::saved_rows::{self, SavedTables};
use super::switch::{building, mark_complete, switch};
use crate::error::{Error, Result};
use crate::store::commit::Recovery;
use crate::store::disk::files::{behind_links, remove, sync_file};
use crate::store::disk::sqlite::sqlite_error;
use crate::store::rows::ids::RowIds;
use crate::store::rows::{Transaction, device, file as new_files, in_use, lane, outbox};

const ACTION: &str = "save what can be read of the damaged database";

/// When the ids that were given out are not known: so far behind every id that is.
const IDS_SKIPPED: i64 = 1 << 40;

/// Behind ids that were given out, and that the file does not know of.
pub(in crate::store) fn skip_ids(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    RowIds::load(connection)?.skip(IDS_SKIPPED).save(connection)
}

/// What is known beside what can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Known {
    Nothing,
    /// No id below it will be given out any more.
    NextId(i64),
    /// The write-ahead log is lost: nobody knows what was in it.
    LogIsLost,
}

/// Puts what can be read into a new file in the place of the damaged one. Nobody may have it open.
pub(in crate::store) fn rebuild(path: &Path, now_ms: i64, known: Known) -> Result<Recovery> {
    let file = behind_links(path)?;
    let damaged = Damaged::open(&file).map_err(|error| Error::file(path, ACTION, error))?;
    let new_file = building(&file);
    remove(&new_file)?;
    let built = build(&damaged, &file, &new_file, known);
    drop(damaged);
    let recovery = built.and_then(|recovery| {
        sync_file(&new_file)?;
        mark_complete(&file)?;
        Ok(recovery)
    });
    if recovery.is_err() {
        remove(&new_file)?;
    }
    let mut recovery = recovery?;
    recovery.set_aside = switch(&file, now_ms)?;
    Ok(recovery)
}

pub(super) fn build(
    damaged: &Damaged,
    file: &Path,
    new_file: &Path,
    known: Known,
) -> Result<Recovery> {
    let failed = |error| sqlite_error(file, ACTION, error);
    let new = new_files::begin(new_file)?;
    let saved = saved_rows::save(damaged, &new).map_err(failed)?;
    finish_rows(new, new_file, &saved, known).map_err(failed)
}

fn finish_rows(
    new: Connection,
    new_file: &Path,
    saved: &SavedTables,
    known: Known,
) -> rusqlite::Result<Recovery> {
    let newest = lane::newest_number(&new, "outbox")?;
    let mut ids = RowIds::load(&new)?;
    if let Known::NextId(next_id) = known {
        ids = ids.at_least(next_id);
    }
    let log_is_lost = known == Known::LogIsLost;
    let counter_is_lost = saved.rows("counter") == 0 || !saved.gaps("counter").is_empty();
    if counter_is_lost || log_is_lost {
        ids = ids.skip(IDS_SKIPPED);
    }
    ids.save(&new)?;
    in_use::clear(&new)?;
    let mut transaction = Transaction::new(new, ids);
    let device = match device::load(&transaction)? {
        None => device::restore_copy(&mut transaction)?,
        found => found,
    };
    let messages = outbox::totals(&transaction)?.count;
    new_files::finish(transaction, new_file)?;
    let is_complete = !log_is_lost && saved.tables.values().all(|table| table.gaps.is_empty());
    let mut gaps = saved.gaps("outbox").to_vec();
    if log_is_lost {
        // The ids of all lanes but the usual one are behind that number, too.
        gaps.push(newest.saturating_add(1)..=i64::MAX);
    }
    Ok(Recovery {
        set_aside: PathBuf::new(),
        has_registration: device.is_some_and(|device| device.registration_token.is_some()),
        messages,
        set_aside_messages: saved.rows("set_aside"),
        cloud_messages: saved.rows("inbox"),
        lost_messages: is_complete.then_some(0),
        is_complete,
        gaps,
        may_repeat: saved.may_repeat || log_is_lost,
    })
}
