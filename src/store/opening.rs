//! Opens the database: the one file that knows of everything that can be found in its place.

use std::path::Path;

use rusqlite::Connection;

use super::commit::{Database, Recovery};
use super::disk::files::{create_private, remove, sync_directory, with_suffix};
use super::disk::lock::FileLock;
use super::disk::sqlite::{connect, is_damage, open_error};
use super::repair::{self, Known, Repairer};
use super::{rows, upgrade};
use crate::error::{Error, Result};

/// Opens the database, creating it readable by its owner only. One of the published SDK is taken
/// over; any other that is not ours is refused, and left as it is.
///
/// One of ours that is damaged is kept under another name, and what can be read of it goes on.
pub(super) fn open(path: &Path, lock: &FileLock, now_ms: i64) -> Result<Database> {
    repair::finish(path, now_ms)?;
    let log_is_lost = repair::has_lost_its_log(path);
    let is_new = create_private(path)?;
    upgrade::remove_leftover(path);
    let opened = if log_is_lost {
        Err(repair::lost_log(path))
    } else {
        open_or_take_over(path, lock, now_ms)
    };
    let opened = opened.and_then(|connection| {
        if is_new {
            sync_directory(path)?;
        }
        Ok(connection)
    });
    if opened.is_err() && is_new {
        remove(&with_suffix(path, "-wal"))?;
        remove(path)?;
    }
    let (connection, recovery) = match opened {
        Err(error) if is_damage(&error) && repair::is_damaged_ours(path)? => {
            let known = if log_is_lost {
                Known::LogIsLost
            } else {
                Known::Nothing
            };
            let recovery = match rebuild(path, now_ms, known, &error) {
                Ok(recovery) => Some(recovery),
                Err(full @ Error::StorageFull { .. }) if log_is_lost => {
                    // What was in the log is lost either way.
                    log::error!(
                        "{}: goes on as it is, without a copy: {}",
                        path.display(),
                        full.chain()
                    );
                    None
                }
                Err(error) => return Err(error),
            };
            let connection = open_or_take_over(path, lock, now_ms)?;
            if recovery.is_none() {
                repair::skip_ids(&connection).map_err(|error| open_error(path, error))?;
            }
            (connection, recovery)
        }
        other => (other?, None),
    };
    let keeper = Box::new(Repairer::new(path, lock.clone()));
    Database::open(connection, path, keeper, recovery)
}

fn open_or_take_over(path: &Path, lock: &FileLock, now_ms: i64) -> Result<Connection> {
    let failed = |error| open_error(path, error);
    if let Some(error) = repair::cut_off_from_its_wal(path)? {
        return Err(error);
    }
    let behind = repair::read_behind(path, now_ms, lock.same_boot())?;
    let mut connection = connect(path).map_err(failed)?;
    if upgrade::is_published(&connection).map_err(failed)? {
        upgrade::take_over(connection, path, now_ms)?;
        connection = connect(path).map_err(failed)?;
    }
    let connection = rows::file::make_ours(connection, path).map_err(failed)?;
    if let Some(behind) = behind {
        behind.save(&connection, path).map_err(failed)?;
    }
    Ok(connection)
}

fn rebuild(path: &Path, now_ms: i64, known: Known, damage: &Error) -> Result<Recovery> {
    log::error!("{}: damaged: {}", path.display(), damage.chain());
    let recovery = repair::rebuild(path, now_ms, known)?;
    recovery.log(path);
    Ok(recovery)
}
