//! `status`: what is in a database file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use serde_json::{Value, json};

use super::arguments::StatusArguments;
use super::failure::{Failure, Outcome};
use super::file::{DatabaseFile, Next};
use super::output::Output;
use super::units;
use crate::clock::{Clock, SystemClock};
use crate::store::rows::listing::Shelf;
use crate::store::rows::totals::Totals;
use crate::store::{Holder, with_suffix};

/// What is known of a file.
struct Status {
    path: String,
    holder: Holder,
    file_bytes: u64,
    wal_bytes: u64,
    instance: Option<String>,
    workspace_id: Option<String>,
    device_id: Option<String>,
    has_registration: bool,
    pending: Totals,
    oldest_ms: Option<i64>,
    set_aside: Totals,
    reasons: BTreeMap<String, u64>,
    cloud_messages: u64,
    damaged_files: Vec<String>,
}

pub(crate) fn status(arguments: &StatusArguments, output: &mut Output) -> Result<Outcome, Failure> {
    let status = Status::read(&arguments.database.path)?;
    if arguments.json {
        output.json(&status.to_json())?;
    } else {
        output.facts(&status.facts(SystemClock.wall_ms()))?;
    }
    Ok(Outcome::Done)
}

impl Status {
    fn read(path: &Path) -> Result<Status, Failure> {
        let mut file = DatabaseFile::open(path)?;
        let device = file.device()?;
        let (mut pending, mut oldest_ms) = (Totals::default(), None);
        file.each(Shelf::Outbox, false, &mut |message| {
            // They come lane by lane.
            let stored_at_ms = message.stored_at_ms;
            oldest_ms =
                Some(oldest_ms.map_or(stored_at_ms, |oldest: i64| oldest.min(stored_at_ms)));
            pending = pending.and(one(message.body_bytes));
            Ok(Next::More)
        })?;
        let (mut set_aside, mut reasons) = (Totals::default(), BTreeMap::new());
        file.each(Shelf::SetAside, false, &mut |message| {
            set_aside = set_aside.and(one(message.body_bytes));
            if let Some(why) = message.set_aside {
                *reasons.entry(why.reason).or_insert(0) += 1;
            }
            Ok(Next::More)
        })?;
        let bytes = |suffix| length(&with_suffix(file.path(), suffix)).unwrap_or(0);
        let (file_bytes, wal_bytes) = (bytes(""), bytes("-wal"));
        let identity = device.as_ref().and_then(|it| it.identity.clone());
        let (workspace_id, device_id) = identity.map(|it| (it.workspace_id, it.device_id)).unzip();
        Ok(Status {
            path: file.path().display().to_string(),
            holder: file.holder(),
            file_bytes,
            wal_bytes,
            workspace_id,
            device_id,
            has_registration: device
                .as_ref()
                .is_some_and(|it| it.registration_token.is_some()),
            instance: device.map(|it| it.instance),
            pending,
            oldest_ms,
            set_aside,
            reasons,
            cloud_messages: file.inbox_count()?,
            damaged_files: damaged_files(file.path()),
        })
    }

    fn facts(&self, now_ms: i64) -> Vec<(&'static str, String)> {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none yet".to_owned());
        let totals =
            |it: Totals| format!("{}, {}", units::messages(it.count), units::bytes(it.bytes));
        let mut facts = vec![
            ("file", self.path.clone()),
            ("client", holder(self.holder)),
            (
                "size",
                format!(
                    "{}, and {} of log",
                    units::bytes(self.file_bytes),
                    units::bytes(self.wal_bytes)
                ),
            ),
            ("instance", or_none(&self.instance)),
            ("workspace", or_none(&self.workspace_id)),
            ("device", or_none(&self.device_id)),
            ("registration", yes_or_no(self.has_registration).to_owned()),
            ("pending", totals(self.pending)),
        ];
        if let Some(oldest_ms) = self.oldest_ms {
            let ago = units::ago(now_ms.saturating_sub(oldest_ms));
            let text = format!("{}, {ago}", units::time(oldest_ms));
            facts.push(("oldest pending", text));
        }
        facts.push(("set aside", totals(self.set_aside)));
        for (reason, count) in &self.reasons {
            facts.push(("  because", format!("{reason} ({})", units::count(*count))));
        }
        facts.push(("cloud messages", units::count(self.cloud_messages)));
        for name in &self.damaged_files {
            facts.push(("damaged file kept", name.clone()));
        }
        facts
    }

    fn to_json(&self) -> Value {
        let process = match self.holder {
            Holder::Process(id) => Some(id),
            Holder::Nobody | Holder::Unknown => None,
        };
        let is_in_use = match self.holder {
            Holder::Process(_) => Some(true),
            Holder::Nobody => Some(false),
            Holder::Unknown => None,
        };
        json!({
            "file": self.path,
            "is_in_use": is_in_use,
            "client_process": process,
            "file_bytes": self.file_bytes,
            "wal_bytes": self.wal_bytes,
            "instance": self.instance,
            "workspace_id": self.workspace_id,
            "device_id": self.device_id,
            "has_registration": self.has_registration,
            "pending_messages": self.pending.count,
            "pending_bytes": self.pending.bytes,
            "oldest_pending_stored_at": self.oldest_ms.map(units::time),
            "set_aside_messages": self.set_aside.count,
            "set_aside_bytes": self.set_aside.bytes,
            "set_aside_reasons": self.reasons,
            "cloud_messages": self.cloud_messages,
            "damaged_files": self.damaged_files,
        })
    }
}

fn one(bytes: u64) -> Totals {
    Totals { count: 1, bytes }
}

/// Without asking for the file's times, which would cost its client a write.
fn length(path: &Path) -> io::Result<u64> {
    fs::File::open(path)?.seek(SeekFrom::End(0))
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// Who has the file, in words.
pub(crate) fn holder(holder: Holder) -> String {
    match holder {
        Holder::Nobody => "none uses the file".to_owned(),
        Holder::Process(id) => format!("process {id} uses the file"),
        Holder::Unknown => "not known on this system".to_owned(),
    }
}

/// The names of the damaged files that are kept beside it.
pub(crate) fn damaged_files(path: &Path) -> Vec<String> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let prefix = format!("{}-damaged-", name.to_string_lossy());
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with(&prefix) && !name.ends_with("-wal"))
        .collect();
    names.sort();
    names
}
