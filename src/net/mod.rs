//! What every connection needs before its first byte: a host, its addresses, and whom to trust.

pub(crate) mod host;
pub(crate) mod resolve;
pub(crate) mod tls_failure;
pub(crate) mod tls_socket;
pub(crate) mod trust;
pub(crate) mod web_socket;
