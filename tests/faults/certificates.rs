//! TLS: certificates that are wrong, expired or not yet valid, and handshakes that stall.
