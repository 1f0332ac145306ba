//! A damaged database: it is set aside, and what can be read of it goes on as a new one.
//!
//! The steps, and what a crash behind each leaves to the next start:
//!
//! ```text
//! 1 build      the damaged database; the new one has the name `-salvage` and is thrown away
//! 2 sync       the same
//! 3 decide     the new one is complete and has the name `-salvaged`: the next start goes on with 4
//! 4 set_aside  the same
//! 5 replace    the new one has the name
//! ```
//!
//! The damaged pages are read by their bytes, not through SQLite, which reads nothing of a table whose
//! first page is bad, nor of a file whose header is. Who we are is read first.

mod damaged;
mod record;
mod rows;
mod tree;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode};

use self::damaged::Damaged;
use self::record::{Kind, Pages};
use self::rows::SavedTables;
use super::aside::{self, Aside};
use super::file::{
    self, PAGE_BYTES, behind_links, remove, sqlite_error, sync_directory, with_suffix,
};
use super::ids::MessageIds;
use super::recovery::Recovery;
use super::{device_rows, outbox_rows, writer::Writer};
use crate::error::{Error, Result};

const ACTION: &str = "save what can be read of the damaged database";

/// Is in every file of ours, in the schema.
const MARK: &[u8] = b"identity_is_open INTEGER NOT NULL";

/// When the ids that were given out are not known: so far behind every id that is.
const IDS_SKIPPED: i64 = 1 << 40;

/// Whether SQLite found the file damaged, or a row has what we never store.
pub(super) fn is_damage(error: &Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    let Error::Database { source, .. } = error else {
        return false;
    };
    match source.downcast_ref::<rusqlite::Error>() {
        None => false,
        Some(
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..),
        ) => true,
        Some(error) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ),
    }
}

/// Whether the file, which SQLite or we could not open, is one of ours with damage: not another
/// application's, nor of a newer version of this library.
pub(super) fn is_damaged_ours(path: &Path) -> Result<bool> {
    let look = || -> io::Result<bool> {
        let damaged = Damaged::open(&behind_links(path).map_err(io::Error::other)?)?;
        let header = damaged
            .page(1)
            .filter(|page| page.starts_with(b"SQLite format 3\0"));
        let number = |at| header.and_then(|page| record::be32(&page, at));
        let is_newer = number(68) == Some(super::schema::APPLICATION_ID.cast_unsigned())
            && number(60).is_some_and(|version| (2..1000).contains(&version));
        Ok(!is_newer && (damaged.contains(MARK)? || damaged.is_zero()?))
    };
    look().map_err(|error| Error::file(path, "read the damaged database", error))
}

/// SQLite removes the WAL of a file without a page: not before what is in it was saved.
pub(super) fn cut_off_from_its_wal(path: &Path) -> Result<Option<Error>> {
    let file = behind_links(path)?;
    let failed = |error| Error::file(path, "open the database", error);
    let has_no_page = fs::metadata(&file).map_err(failed)?.len() < PAGE_BYTES.into();
    if !has_no_page || Damaged::open(&file).map_err(failed)?.count() <= 1 {
        return Ok(None);
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let why = "the file was cut off, and its write-ahead log was not".to_owned();
    let error = rusqlite::Error::SqliteFailure(code, Some(why));
    Ok(Some(Error::database(path, "open the database", error)))
}

/// Goes on with a switch that a crash has interrupted, and removes what it left before.
pub(super) fn finish(path: &Path, now_ms: i64) -> Result<()> {
    let file = behind_links(path).unwrap_or_else(|_| path.to_owned());
    remove(&building(&file))?;
    if complete(&file).exists() {
        log::warn!(
            "{}: goes on with what was saved before a crash",
            path.display()
        );
        switch(&file, now_ms)?;
    }
    Ok(())
}

/// Puts what can be read into a new file in the place of the damaged one. Nobody may have it open. New
/// ids begin at `next_id` at the earliest.
pub(super) fn replace(path: &Path, now_ms: i64, next_id: i64) -> Result<Recovery> {
    let file = behind_links(path)?;
    let damaged = Damaged::open(&file).map_err(|error| Error::file(path, ACTION, error))?;
    let new_file = building(&file);
    remove(&new_file)?;
    let built = build(&damaged, &file, &new_file, next_id);
    drop(damaged);
    let recovery = built.and_then(|recovery| {
        file::sync_file(&new_file)?;
        rename(&new_file, &complete(&file))?;
        sync_directory(&file)?;
        Ok(recovery)
    });
    if recovery.is_err() {
        remove(&new_file)?;
    }
    let mut recovery = recovery?;
    recovery.set_aside = switch(&file, now_ms)?;
    Ok(recovery)
}

fn build(damaged: &Damaged, file: &Path, new_file: &Path, next_id: i64) -> Result<Recovery> {
    let failed = |error| sqlite_error(file, ACTION, error);
    let new = file::begin_building(new_file)?;
    let saved = rows::save(damaged, &new).map_err(failed)?;
    finish_rows(new, new_file, &saved, next_id).map_err(failed)
}

fn finish_rows(
    new: Connection,
    new_file: &Path,
    saved: &SavedTables,
    next_id: i64,
) -> rusqlite::Result<Recovery> {
    let ids = match saved.rows("counter") {
        0 => MessageIds::load(&new)?.at_least(next_id).skip(IDS_SKIPPED),
        _ => MessageIds::load(&new)?.at_least(next_id),
    };
    let mut writer = Writer::new(new, new_file.to_owned(), ids);
    writer.save_ids()?;
    let device = match device_rows::load_device(&writer)? {
        None => device_rows::restore_copy(&mut writer)?,
        found => found,
    };
    let messages = outbox_rows::totals(&writer)?.count;
    writer.sql()?.execute_batch("COMMIT")?;
    writer.close();
    let is_complete = saved.tables.values().all(|table| table.gaps.is_empty());
    Ok(Recovery {
        set_aside: PathBuf::new(),
        has_registration: device.is_some_and(|device| device.registration_token.is_some()),
        messages,
        set_aside_messages: saved.rows("set_aside"),
        cloud_messages: saved.rows("inbox"),
        lost_messages: is_complete.then_some(0),
        is_complete,
        gaps: saved.gaps("outbox").to_vec(),
        may_repeat: saved.may_repeat,
    })
}

/// Steps 4 and 5. The new database is complete.
fn switch(file: &Path, now_ms: i64) -> Result<PathBuf> {
    let aside = Aside::choose(file, "damaged", now_ms);
    // The WAL last: a crash between leaves the new database without one, and never with this one.
    for suffix in ["-wal", ""] {
        let from = with_suffix(file, suffix);
        match fs::rename(&from, aside.with(suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file(file, "set the damaged database aside", error));
            }
            _ => {}
        }
    }
    sync_directory(file)?;
    rename(&complete(file), file)?;
    sync_directory(file)?;
    aside::forget_old(file);
    Ok(aside.with(""))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::file(to, "rename a file", error))
}

pub(super) fn building(file: &Path) -> PathBuf {
    with_suffix(file, "-salvage")
}

pub(super) fn complete(file: &Path) -> PathBuf {
    with_suffix(file, "-salvaged")
}

/// What is in a WAL behind its first bad frame, where SQLite does not look.
#[derive(Default)]
pub(super) struct Behind {
    device: Option<Vec<Value>>,
    messages: Vec<(i64, Vec<Value>)>,
}

/// Before the database is opened: if SQLite will silently drop commits of its WAL, says so, sets a copy
/// of the WAL aside, and reads what was stored there.
///
/// A power cut leaves just this of what was not synced, and then it is right to drop it all, so that only
/// the newest is lost. Without a reboot since (`same_boot`) it is damage.
pub(super) fn read_behind(
    path: &Path,
    now_ms: i64,
    same_boot: Option<bool>,
) -> Result<Option<Behind>> {
    let failed = |error| Error::file(path, "read the write-ahead log", error);
    let file = behind_links(path)?;
    let damaged = Damaged::open(&file).map_err(failed)?;
    let (commits, uncommitted) = (damaged.frames.dropped_commits(), damaged.frames.uncommitted);
    let is_damage = same_boot == Some(true);
    if is_damage && damaged.wal_is_cut_off() {
        log::error!(
            "{}: its write-ahead log is shorter than it should be: what was stored last may be lost with its end",
            path.display()
        );
    }
    if !is_damage || commits == 0 {
        if commits + uncommitted > 0 {
            log::info!(
                "{}: frame {} of its write-ahead log is not whole, as after a kill or a power cut in the middle of \
                 a commit that was not completed: it is not used, nor are {commits} commits behind it",
                path.display(),
                damaged.frames.first_bad(),
            );
        }
        return Ok(None);
    }
    let aside = Aside::choose(&file, "damaged", now_ms).with("-wal");
    let copied = copy_private(&with_suffix(&file, "-wal"), &aside);
    aside::forget_old(&file);
    let mut behind = Behind::default();
    let (free, _) = tree::free_pages(&damaged);
    for number in damaged.pages_behind().filter(|page| !free.contains(page)) {
        let Some(page) = damaged.page(number) else {
            continue;
        };
        let Some(found) = record::cells(&page, number).filter(|it| it.kind == Kind::TableLeaf)
        else {
            continue;
        };
        for start in found.starts {
            match record::leaf_cell(&damaged, &page, found.kind, start) {
                Some((id, row)) if rows::fits("outbox", id, &row) => {
                    behind.messages.push((id, row))
                }
                Some((id, row)) if rows::fits("device", id, &row) => behind.device = Some(row),
                _ => {}
            }
        }
    }
    log::error!(
        "{}: frame {} of its write-ahead log is damaged: {commits} commits behind it are not used as they are. {}",
        path.display(),
        damaged.frames.first_bad(),
        match copied {
            Ok(()) => format!("A copy is kept as {}", aside.display()),
            Err(error) => format!("It could not be copied: {error}"),
        }
    );
    Ok(Some(behind))
}

impl Behind {
    /// Stores the Messages that are newer than all that SQLite knows, and the newer registration.
    pub fn save(&self, connection: &Connection, path: &Path) -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN")?;
        let newest: i64 =
            connection.query_row("SELECT coalesce(max(id), 0) FROM outbox", (), |row| {
                row.get(0)
            })?;
        if let Some(device) = &self.device {
            connection.execute("DELETE FROM device", ())?;
            rows::insert(connection, "device", 0, device)?;
        }
        for (id, row) in self.messages.iter().filter(|(id, _)| *id > newest) {
            rows::insert(connection, "outbox", *id, row)?;
        }
        let saved: u64 = connection.query_row(
            "SELECT count(*) FROM outbox WHERE id > ?1",
            [newest],
            |row| row.get::<_, i64>(0).map(i64::unsigned_abs),
        )?;
        connection.execute_batch("COMMIT")?;
        log::error!(
            "{}: of what was stored behind the damaged frame, {saved} Messages and {} were saved; anything else is \
             lost, and Messages that were acknowledged last may be sent once more",
            path.display(),
            match self.device {
                Some(_) => "the registration",
                None => "no registration",
            }
        );
        Ok(())
    }
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = file::private(OpenOptions::new().write(true).create_new(true)).open(to)?;
    io::copy(&mut fs::File::open(from)?, &mut copy)?;
    copy.sync_all()
}

#[cfg(test)]
mod tests;
