//! The rows: one file for each table, on the [`Transaction`] that a job is given.

pub(crate) mod blocks_up;
pub(crate) mod chunks;
pub(crate) mod device;
pub(crate) mod documents;
pub(super) mod file;
pub(super) mod ids;
pub(super) mod in_use;
pub(crate) mod inbox;
pub(crate) mod lane;
pub(crate) mod last_way;
#[cfg(feature = "tool")]
pub(crate) mod listing;
pub(crate) mod open_upload;
pub(crate) mod outbox;
pub(super) mod pages_written;
pub(super) mod schema;
pub(crate) mod sent_lane;
pub(crate) mod set_aside;
pub(crate) mod totals;
mod transaction;

pub(crate) use transaction::Transaction;

#[cfg(test)]
pub(super) mod tests;
