//! What is in a WAL behind its first bad frame, where SQLite does not look.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::damaged::Damaged;
use super::record::{self, Kind, Pages};
use super::{saved_rows, tree};
use crate::error::{Error, Result};
use crate::store::disk::files::{behind_links, private, with_suffix};
use crate::store::disk::kept::{self, KeptFile};
use crate::store::rows::{chunks, lane};

/// What was stored there.
#[derive(Default)]
pub(in crate::store) struct Behind {
    device: Option<Vec<Value>>,
    messages: Vec<(i64, Vec<Value>)>,
}

/// Before the database is opened: if SQLite will silently drop commits of its WAL, says so, keeps a copy
/// of the WAL, and reads what was stored there.
///
/// A power cut leaves just this of what was not synced, and then it is right to drop it all, so that only
/// the newest is lost. Without a reboot since (`same_boot`) it is damage.
pub(in crate::store) fn read_behind(
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
    let kept = KeptFile::choose(&file, "damaged", now_ms).with("-wal");
    let copied = copy_private(&with_suffix(&file, "-wal"), &kept);
    kept::forget_old(&file);
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
                Some((id, row)) if saved_rows::fits("outbox", id, &row) => {
                    behind.messages.push((id, row))
                }
                Some((id, row)) if saved_rows::fits("device", id, &row) => {
                    behind.device = Some(row)
                }
                _ => {}
            }
        }
    }
    log::error!(
        "{}: frame {} of its write-ahead log is damaged: {commits} commits behind it are not used as they are. {}",
        path.display(),
        damaged.frames.first_bad(),
        match copied {
            Ok(()) => format!("A copy is kept as {}", kept.display()),
            Err(error) => format!("It could not be copied: {error}"),
        }
    );
    Ok(Some(behind))
}

impl Behind {
    /// Stores the Messages that are newer than all that SQLite knows, and the newer registration.
    pub fn save(&self, connection: &Connection, path: &Path) -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN")?;
        let newest = lane::newest_number(connection, "outbox")?;
        if let Some(device) = &self.device {
            connection.execute("DELETE FROM device", ())?;
            saved_rows::insert(connection, "device", 0, device)?;
        }
        let count = "SELECT count(*) FROM outbox";
        let count = || connection.query_row(count, (), |row| row.get::<_, i64>(0));
        let before = count()?;
        let newer = |(id, _): &&(i64, Vec<Value>)| lane::number(*id) > newest;
        for (id, row) in self.messages.iter().filter(newer) {
            saved_rows::insert(connection, "outbox", *id, row)?;
        }
        // Chunks are not read here.
        chunks::delete_broken(connection)?;
        let saved = count()?.saturating_sub(before);
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
    let mut copy = private(OpenOptions::new().write(true).create_new(true)).open(to)?;
    io::copy(&mut fs::File::open(from)?, &mut copy)?;
    copy.sync_all()
}
