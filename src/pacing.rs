//! How fast Messages and uploads may go. Pure but for the lock around it: time is passed in.
//!
//! [`options`] is what a program says. A [`bucket`] keeps one limit, the [`pacer`] those of one client: the link asks it
//! before each Message, and [`upload`] before each piece of large content.

pub(crate) mod bucket;
mod options;
pub(crate) mod pacer;
pub(crate) mod upload;

pub use options::{Pace, Pacing};
