//! Files of the published SDK, made by hand, and what becomes of them.

mod configuration;
mod fixture;
mod fuzz;
mod messages;
mod rolled_back;
mod state;
mod switch;
