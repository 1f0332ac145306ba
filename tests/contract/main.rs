//! The promises of the library, each shown against the embedded Platform.

mod support;

mod blocks;
mod closing;
mod cloud_messages;
mod delivery;
mod files;
mod identity;
mod lanes;
mod large_content;
mod lifetimes;
mod methods;
mod offline;
mod pacing;
mod properties;
mod published_file;
mod refused;
mod registration;
mod renewal;
mod reported;
mod secrets;
mod set_aside;
mod status;
mod transport;
mod tunnels;
mod upgrade;
mod validation;
mod waiting;
