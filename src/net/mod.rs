//! What every connection needs before its first byte: a host, a way to it, and whom to trust.

pub(crate) mod cancel;
pub(crate) mod changes;
pub(crate) mod dial;
pub(crate) mod host;
pub(crate) mod issuer;
pub(crate) mod proxy;
pub(crate) mod tls_failure;
pub(crate) mod tls_socket;
pub(crate) mod trust;
pub(crate) mod uplink;
pub(crate) mod web_socket;
