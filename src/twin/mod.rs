//! The device twin: Desired Properties, which the Platform states, and Reported Properties, which
//! the device states. Pure: documents and answers in, state and patches out. Topics, request ids,
//! back-off and the database are others' business.

pub(crate) mod desired;
pub(crate) mod document;
#[cfg(test)]
mod fuzz;
pub(crate) mod merge_patch;
pub(crate) mod reported;
pub(crate) mod rules;

pub use desired::DesiredProperties;

/// A JSON object, which every document of the twin is.
pub(crate) type Document = serde_json::Map<String, serde_json::Value>;
