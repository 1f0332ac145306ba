//! What to do about a file that is damaged, cut off, or not where it was.
//!
//! Damaged pages are read by their bytes, not through SQLite, which reads nothing of a table whose first page is bad,
//! nor of a file whose header is.

mod behind;
mod damaged;
mod diagnosis;
mod rebuild;
mod record;
mod repairer;
mod saved_rows;
mod switch;
mod tree;
mod vanished;
mod wal_frames;

pub(super) use behind::read_behind;
pub(super) use diagnosis::{cut_off_from_its_wal, has_lost_its_log, is_damaged_ours, lost_log};
pub(super) use rebuild::{Known, rebuild, skip_ids};
pub(super) use repairer::Repairer;
pub(super) use switch::finish;

#[cfg(test)]
mod tests;
