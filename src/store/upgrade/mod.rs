//! The database file of the published SDK (PyPI `spotflow-device` up to 2.1.1) becomes ours.

mod cloud_messages;
mod columns;
mod configuration;
mod messages;
mod old_file;
mod ours;
mod properties;
mod running;
mod take_over;

pub(super) use old_file::is_published;
pub(super) use take_over::{remove_leftover, take_over};

#[cfg(test)]
mod tests;
