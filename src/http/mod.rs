//! The Platform over HTTP: control calls to the instance, and uploads of large content.
//!
//! Everything here blocks, and runs on threads that have nothing else to do.

pub(crate) mod agent;
mod answer;
pub(crate) mod api;
mod body;
mod exchange;
mod failure;
pub(crate) mod problem;
pub(crate) mod registration;
mod request;
pub(crate) mod time;
pub(crate) mod upload;
mod waiting;

pub(crate) use crate::instance;
pub(crate) use registration::HubCredentials;

#[cfg(test)]
mod test_server;
