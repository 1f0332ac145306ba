//! The lowest floor: files, and SQLite's connection to one of them. Nothing here knows what is stored.

pub(crate) mod file_id;
pub(crate) mod files;
#[cfg(feature = "tool")]
pub(crate) mod holder;
pub(super) mod kept;
pub(super) mod lock;
mod mount;
pub(super) mod place;
mod refusal;
pub(super) mod reserve;
mod space;
pub(super) mod sqlite;
