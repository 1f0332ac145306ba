//! The device twin: gaps, unknown versions, throttling, malformed documents.
