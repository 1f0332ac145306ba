//! The database file: whose it is, who has it, whether it is whole, and what waits in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::board::{Board, Found};
use super::cause::Cause;
use super::disk;
use super::subject::Subject;
use crate::error::{Chain, Error};
use crate::store::rows::listing::Shelf;
use crate::store::{Holder, is_damage};
use crate::tool::failure::Failure;
use crate::tool::file::{DatabaseFile, Next};
use crate::tool::status::{damaged_files, holder};
use crate::tool::units;

/// What waits longer should have been sent, wherever there is a network.
const OLD_MS: i64 = 15 * 60 * 1000;
/// So begins the link's reason for a Message that the hub does not take.
const HUB_CLOSES: &str = "the hub closed the connection each of";

pub(super) fn check(subject: &Subject, board: &Board, _: Instant) {
    let Some(path) = &subject.database else {
        return;
    };
    let absolute = || std::path::absolute(path).unwrap_or_else(|_| path.clone());
    // What lies beside a symbolic link is not the client's.
    let path = crate::store::resolve(path).unwrap_or_else(|_| absolute());
    let directory = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    board.check("disk: file system", || disk::file_system(&directory));
    board.check("disk: free", || disk::free(&directory));
    board.check("disk: sync", || disk::sync(&path));
    if board.check("file", || file(&path, &directory)).is_finding() {
        return;
    }
    let (_, opened) = board.check_with("file: client", || match DatabaseFile::open(&path) {
        Ok(file) => (client(file.holder()), Some(file)),
        Err(error) => (unreadable(&error), None),
    });
    let Some(mut file) = opened else { return };
    let holder = file.holder();
    let (found, _) = board.check_with("file: content", || (content(&mut file), ()));
    let kept = damaged_files(file.path());
    if !kept.is_empty() {
        board.check("file: damaged before", || {
            let names = kept.join(", ");
            Found::note(format!(
                "kept: {names}; look for a worn disk, then delete them: there are tokens in them"
            ))
        });
    }
    if found.is_finding() {
        return;
    }
    board.check("outbox", || {
        backlog(&mut file, subject.clock.wall_ms(), holder)
    });
    board.check("set aside", || set_aside(&mut file));
}

fn file(path: &Path, directory: &Path) -> Found {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let summary = format!("{} is not there", path.display());
            let advice = "name the file that the client has; a client that never started has none";
            return Found::finding(Cause::NoFile, summary, advice);
        }
        Err(error) => return Found::finding(Cause::NotOwned, error.to_string(), OWN_IT),
    };
    rights(path, directory, &metadata)
}

const OWN_IT: &str = "give the file, and those beside it, to the user that runs the client (chown)";

#[cfg(unix)]
fn rights(path: &Path, directory: &Path, metadata: &fs::Metadata) -> Found {
    use std::os::unix::fs::MetadataExt;
    let mode = metadata.mode() & 0o7777;
    let own = fs::metadata("/proc/self").map(|it| it.uid()).ok();
    let of_directory = fs::metadata(directory).map(|it| it.uid()).ok();
    let owner = metadata.uid();
    let summary = format!("owner {owner}, mode {mode:04o}");
    // Root may do everything, and its look says nothing of what the client may.
    let client = if own == Some(0) { of_directory } else { own };
    if let Some(client) = client.filter(|client| *client != owner) {
        let summary = format!("{summary}: it is not of the user {client}");
        return Found::finding(Cause::NotOwned, summary, OWN_IT);
    }
    if mode & 0o600 != 0o600 {
        let summary = format!("{summary}: its owner may not read and write it");
        return Found::finding(Cause::NotOwned, summary, "chmod 600 the file");
    }
    if let Err(error) = fs::OpenOptions::new().append(true).open(path) {
        let cause = match error.kind() {
            std::io::ErrorKind::ReadOnlyFilesystem => Cause::ReadOnly,
            _ => Cause::NotOwned,
        };
        let summary = format!("{summary}: it cannot be written: {error}");
        return Found::finding(
            cause,
            summary,
            "make the file, and the disk it is on, writable",
        );
    }
    if mode & 0o077 != 0 {
        return Found::note(format!(
            "{summary}: others have rights to it, though there are tokens in it; a start takes them"
        ));
    }
    Found::well(summary)
}

#[cfg(not(unix))]
fn rights(_: &Path, _: &Path, _: &fs::Metadata) -> Found {
    Found::well("it is there")
}

fn client(now: Holder) -> Found {
    let text = holder(now);
    match now {
        Holder::Nobody | Holder::Unknown => Found::well(text),
        Holder::Process(id) => {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            let mut found = Found::note(format!(
                "{text} ({}): another client that starts on it is refused",
                name.trim()
            ));
            found.cause = Some(Cause::InUse);
            found
        }
    }
}

fn content(file: &mut DatabaseFile) -> Found {
    match file.quick_check() {
        Ok(None) => Found::well("quick_check finds nothing wrong"),
        Ok(Some(problem)) => damaged(problem),
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &Error) -> Found {
    if is_damage(error) {
        return damaged(Chain(error).to_string());
    }
    Found::unknown(Chain(error).to_string())
}

fn damaged(problem: String) -> Found {
    let advice = "start the client: it keeps the damaged file, and goes on with what can be read; then look for a worn disk";
    Found::finding(Cause::Damaged, problem, advice)
}

fn backlog(file: &mut DatabaseFile, now_ms: i64, holder: Holder) -> Found {
    let (mut count, mut bytes, mut oldest_ms) = (0, 0, None);
    let read = file.each(Shelf::Outbox, false, &mut |message| {
        // They come lane by lane.
        let stored_at_ms = message.stored_at_ms;
        oldest_ms = Some(oldest_ms.map_or(stored_at_ms, |oldest: i64| oldest.min(stored_at_ms)));
        count += 1;
        bytes += message.body_bytes;
        Ok(Next::More)
    });
    if let Err(failure) = read {
        return failed(failure);
    }
    let Some(oldest_ms) = oldest_ms else {
        return Found::well("nothing waits to be sent");
    };
    let age_ms = now_ms.saturating_sub(oldest_ms);
    let summary = format!(
        "{}, {}, to be sent; the oldest was stored {}",
        units::messages(count),
        units::bytes(bytes),
        units::ago(age_ms)
    );
    match holder {
        Holder::Nobody => Found::finding(
            Cause::NoClient,
            format!("{summary}; no client runs"),
            "start the device's program",
        ),
        _ if age_ms > OLD_MS => Found::finding(
            Cause::Backlog,
            summary,
            "see the other findings; if there are none, the client's log and status tell more",
        ),
        _ => Found::well(summary),
    }
}

fn set_aside(file: &mut DatabaseFile) -> Found {
    let mut reasons = BTreeMap::<String, u64>::new();
    let read = file.each(Shelf::SetAside, false, &mut |message| {
        if let Some(why) = message.set_aside {
            *reasons.entry(why.reason).or_default() += 1;
        }
        Ok(Next::More)
    });
    if let Err(failure) = read {
        return failed(failure);
    }
    if reasons.is_empty() {
        return Found::well("no Message is set aside");
    }
    let is_poison = reasons.keys().any(|reason| reason.contains(HUB_CLOSES));
    let cause = if is_poison {
        Cause::PoisonMessage
    } else {
        Cause::SetAside
    };
    let told = reasons
        .iter()
        .map(|(reason, count)| format!("{count}: {reason}"));
    let summary = told.collect::<Vec<_>>().join("; ");
    let advice = "outbox list --state set-aside shows them; outbox retry or outbox drop decides";
    Found::finding(cause, summary, advice)
}

fn failed(failure: Failure) -> Found {
    match failure {
        Failure::Sdk(error) => unreadable(&error),
        other => Found::unknown(other.to_string()),
    }
}
