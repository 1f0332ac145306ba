//! Group commit: [`queue`] gathers jobs, [`writer`] commits them, [`database`] sees to it that there is one to commit
//! to, and [`session`] is one connection to it.

mod attempts;
mod checkpoint;
mod database;
mod durability;
mod job;
mod keeper;
mod queue;
mod recovery;
mod session;
mod writer;

pub(super) use database::Database;
pub use durability::Durability;
pub(super) use job::Job;
pub(super) use keeper::Keeper;
pub(super) use queue::{CommitQueue, Turn};
pub use recovery::Recovery;
pub(super) use writer::Writer;
