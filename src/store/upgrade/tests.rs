//! Files of the published SDK, made by hand, and what becomes of them.

#[cfg(feature = "brotli")]
mod compression;
mod configuration;
mod fixture;
mod fuzz;
mod messages;
mod rolled_back;
mod state;
mod switch;
