//! The Platform over HTTP: control calls to the instance, and uploads of large content.
//!
//! Everything here blocks, and runs on threads that have nothing else to do. HTTP itself is ureq's, over
//! our own connections ([`transport`]).

pub(crate) mod agent;
mod answer;
pub(crate) mod api;
mod error;
#[cfg(feature = "tool")]
pub(crate) mod hub_question;
pub(crate) mod problem;
pub(crate) mod registration;
mod request;
pub(crate) mod time;
mod transport;
pub(crate) mod upload;
mod word;

pub(crate) use crate::instance;
pub(crate) use registration::HubCredentials;

#[cfg(test)]
mod peer;
