//! Our database is built beside the old one and takes its place when it is complete. The steps, and what a crash
//! behind each leaves under the name:
//!
//! ```text
//! 1 claim           the old file, for either SDK. It is locked until the end.
//! 2 build           the same. Ours has a temporary name.
//! 3 sync            the same.
//! 4 clear_journals  the same, without what SQLite would apply to whatever has the name.
//! 5 replace         the one or the other.
//! 6 sync_name       ours.
//! ```
//!
//! What a crash leaves under the temporary name has tokens in it: the next start removes it.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::old_file::OldFile;
use super::{cloud_messages, configuration, messages, ours, properties, running};
use crate::error::{Error, Result};
use crate::identity::HubDeviceId;
use crate::store::disk::files::{behind_links, remove, sync_directory, sync_file, with_suffix};
use crate::store::disk::sqlite::{open_error, sqlite_error};
use crate::store::rows::ids::RowIds;
use crate::store::rows::{Transaction, device as device_rows, file as new_files};

const ACTION: &str = "take over the database of the published SDK";

/// The schemas that the published SDK has had.
const VERSIONS: [&str; 4] = ["0.1.3", "1.0.1", "1.1.0", "1.2.0"];

pub(super) type Step = fn(&mut TakeOver) -> Result<()>;

pub(super) const STEPS: [Step; 6] = [claim, build, sync, clear_journals, replace, sync_name];

/// Puts our database in the place of the published SDK's, to which `old` is an unlocked connection.
pub(in crate::store) fn take_over(old: Connection, path: &Path, now_ms: i64) -> Result<()> {
    let mut take_over = TakeOver::new(old, path, now_ms)?;
    STEPS.iter().try_for_each(|step| step(&mut take_over))?;
    take_over.log_done();
    Ok(())
}

/// Removes what a crash left of a take-over.
pub(in crate::store) fn remove_leftover(path: &Path) {
    let removed = behind_links(path).and_then(|file| remove(&temporary(&file)));
    if let Err(error) = removed {
        log::warn!("{}: {}", path.display(), error.chain());
    }
}

/// A take-over on its way. Dropped before it is done, it leaves only the old file.
pub(super) struct TakeOver {
    /// As the application names it.
    path: PathBuf,
    /// The file itself, if that is a link.
    file: PathBuf,
    new_file: PathBuf,
    old: Connection,
    now_ms: i64,
    taken: Taken,
}

/// What was taken over.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    version: Option<String>,
    messages: messages::Copied,
    cloud_messages: u64,
    properties: properties::Copied,
}

impl TakeOver {
    pub(super) fn new(old: Connection, path: &Path, now_ms: i64) -> Result<TakeOver> {
        let file = behind_links(path)?;
        Ok(TakeOver {
            path: path.to_owned(),
            new_file: temporary(&file),
            file,
            old,
            now_ms,
            taken: Taken::default(),
        })
    }

    fn sqlite<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => open_error(&self.path, error),
            _ => sqlite_error(&self.path, ACTION, error),
        })
    }

    fn refuse_if_running(&self) -> Result<()> {
        match running::other_process(&self.file) {
            Some(process) => Err(Error::DatabaseInUse {
                path: self.path.clone(),
                holder: Some(process),
            }),
            None => Ok(()),
        }
    }

    fn log_done(&self) {
        let taken = &self.taken;
        let desired = match taken.properties.desired_version {
            Some(version) => format!("version {version} of the Desired Properties"),
            None => "no Desired Properties".to_owned(),
        };
        log::info!(
            "{}: taken over from the published SDK (schema {}): {} Messages to be sent, {} set aside, \
             {} cloud-to-device messages, {} pending updates of the Reported Properties, {desired}",
            self.path.display(),
            taken.version.as_deref().unwrap_or("unknown"),
            taken.messages.pending,
            taken.messages.set_aside,
            taken.cloud_messages,
            taken.properties.reported_updates,
        );
    }
}

impl Drop for TakeOver {
    fn drop(&mut self) {
        // Under the temporary name there is nothing after the switch.
        if let Err(error) = remove(&self.new_file) {
            log::error!("{}: {}", self.path.display(), error.chain());
        }
    }
}

/// Step 1. Only a schema that is known, and only if nobody else uses the file.
fn claim(take_over: &mut TakeOver) -> Result<()> {
    let path = &take_over.path;
    let version = take_over.sqlite(configuration::version(&take_over.old))?;
    if let Some(unknown) = version.as_deref().filter(|it| !VERSIONS.contains(it)) {
        let known = VERSIONS.join(", ");
        let rule = format!("its schema has version {unknown}; this library knows {known}");
        return Err(Error::database(path, ACTION, rule));
    }
    take_over.refuse_if_running()?;
    take_over.sqlite(lock(&take_over.old))?;
    log::info!("{}: taking over from the published SDK", path.display());
    take_over.taken.version = version;
    Ok(())
}

/// Keeps everybody else out. SQLite has rolled a hot journal back by now, or does it here.
fn lock(old: &Connection) -> rusqlite::Result<()> {
    let mode: String = old.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode == "wal" {
        // It was ours before, or somebody has changed the mode. What is in the WAL has to be in the
        // file for either SDK.
        old.pragma_update(None, "journal_mode", "DELETE")?;
    }
    old.execute_batch("BEGIN EXCLUSIVE")
}

/// Step 2. The whole new database, in one transaction. It needs no journal: until it has the old
/// one's name it is either complete or thrown away.
fn build(take_over: &mut TakeOver) -> Result<()> {
    let new = new_files::begin(&take_over.new_file)?;
    let copied = copy(take_over, new);
    take_over.sqlite(copied)
}

fn copy(take_over: &mut TakeOver, new: Connection) -> rusqlite::Result<()> {
    let old = OldFile {
        connection: &take_over.old,
        path: &take_over.path,
    };
    let (now_ms, taken) = (take_over.now_ms, &mut take_over.taken);
    ours::copy(old.connection, &new)?;
    let ids = RowIds::load(&new)?;
    let mut transaction = Transaction::new(new, ids);

    let before = device_rows::load(&transaction)?.and_then(|device| device.identity);
    let device = configuration::copy(old, &mut transaction)?.or_else(|| before.clone());
    let device = device.unwrap_or_else(nobody);
    if let Some(before) = before {
        ours::make_way(&mut transaction, now_ms, &before, &device)?;
    }
    taken.messages = messages::copy(old, &mut transaction, &device, now_ms)?;
    taken.cloud_messages = cloud_messages::copy(old, &mut transaction)?;
    taken.properties = properties::copy(old, &mut transaction)?;
    new_files::finish(transaction, &take_over.new_file)
}

/// Whose Messages these are before the first registration.
pub(super) fn nobody() -> HubDeviceId {
    HubDeviceId {
        workspace_id: String::new(),
        device_id: String::new(),
    }
}

/// Step 3.
fn sync(take_over: &mut TakeOver) -> Result<()> {
    sync_file(&take_over.new_file)
}

/// Step 4. A journal of the old database would be applied to the new one. None is needed any more:
/// SQLite has rolled it back, and what it leaves then is void. That it is gone must be on the disk
/// before the new file has the name.
fn clear_journals(take_over: &mut TakeOver) -> Result<()> {
    #[cfg(not(unix))]
    {
        // Windows removes and replaces no file that is open.
        let closed = Connection::open_in_memory();
        take_over.old = take_over.sqlite(closed)?;
    }
    for suffix in ["-journal", "-wal", "-shm"] {
        remove(&with_suffix(&take_over.file, suffix))?;
    }
    sync_directory(&take_over.file)
}

/// Step 5.
fn replace(take_over: &mut TakeOver) -> Result<()> {
    take_over.refuse_if_running()?;
    fs::rename(&take_over.new_file, &take_over.file)
        .map_err(|error| Error::database(&take_over.path, ACTION, error))
}

/// Step 6.
fn sync_name(take_over: &mut TakeOver) -> Result<()> {
    sync_directory(&take_over.file)
}

pub(super) fn temporary(file: &Path) -> PathBuf {
    with_suffix(file, "-upgrade")
}
