//! Which Platform instance a client belongs to.

use std::fmt;

use crate::net::host::{HTTPS_PORT, Host};
use crate::{Error, Result};

/// The Platform's public instance.
pub(crate) const DEFAULT_INSTANCE: &str = "api.eu1.spotflow.io";

/// The host of an instance. Two texts that mean the same instance are equal, and displayed alike:
/// `host` or `host:port`, which is also what the database file keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance(Host);

impl Instance {
    /// Reads a host, optionally with a port, `https://` before it and `/` after it.
    pub fn parse(text: &str) -> Result<Instance> {
        // Not repeated in the error: whoever writes user:password@host would find it in a log.
        let refuse = |rule| {
            let expected = "expected a host, optionally with a port and https:// before it";
            Error::invalid("instance", format!("{expected}; {rule}"))
        };
        let host = match text.get(..8) {
            Some(scheme) if scheme.eq_ignore_ascii_case("https://") => &text[8..],
            _ if text.contains("://") => return Err(refuse("only https is spoken")),
            _ => text,
        };
        let host = host.strip_suffix('/').unwrap_or(host);
        Host::parse(host, HTTPS_PORT).map(Instance).map_err(refuse)
    }

    /// Where its API is.
    pub fn host(&self) -> &Host {
        &self.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.authority(HTTPS_PORT))
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_an_instance_are_equal() {
        let instance = Instance::parse(DEFAULT_INSTANCE).unwrap();
        assert_eq!(instance.to_string(), DEFAULT_INSTANCE);
        for text in [
            "https://api.eu1.spotflow.io/",
            "HTTPS://API.EU1.spotflow.io",
            "api.eu1.spotflow.io:443",
            "api.eu1.spotflow.io/",
        ] {
            assert_eq!(Instance::parse(text).unwrap(), instance, "{text}");
        }
    }

    #[test]
    fn a_port_makes_another_instance_and_survives_the_database() {
        let instance = Instance::parse("https://localhost:8443/").unwrap();
        assert_eq!(instance.to_string(), "localhost:8443");
        assert_eq!(Instance::parse(&instance.to_string()).unwrap(), instance);
        assert_ne!(Instance::parse("localhost").unwrap(), instance);
        let ipv6 = Instance::parse("https://[::1]:8443").unwrap();
        assert_eq!(ipv6.to_string(), "[::1]:8443");
    }

    #[test]
    fn what_is_not_just_a_host_is_refused_without_being_repeated() {
        for text in [
            "",
            "/",
            " ",
            "https://",
            "http://a",
            "wss://a",
            "https://a/b",
            "https://a//",
            "user:hunter2@a",
            "https://user:hunter2@a",
            "a b",
            "a?b",
            "ä😀ä😀",
        ] {
            let error = Instance::parse(text).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::InvalidArgument {
                        argument: "instance",
                        ..
                    }
                ),
                "{text:?}"
            );
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
