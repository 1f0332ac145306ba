//! The device twin: Desired Properties, which the Platform states, and Reported Properties, which
//! the device states. Pure: documents and answers in, state and patches out. Topics, request ids,
//! back-off and the database are others' business.

pub(crate) mod desired;
pub(crate) mod reported;

pub(crate) use crate::document::{self, Document, merge_patch, rules};
pub use desired::DesiredProperties;
