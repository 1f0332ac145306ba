//! A host name or IP address with a port, as people and the Platform write it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The port of HTTPS for a host that names none.
pub(crate) const HTTPS_PORT: u16 = 443;

/// Where to connect to. The name is lower case, and an IPv6 address has no brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub name: String,
    pub port: u16,
}

impl Host {
    /// Reads `host`, `host:port`, `[IPv6]` or `[IPv6]:port`. The error is the rule that was broken.
    pub fn parse(text: &str, default_port: u16) -> Result<Host, &'static str> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or("the closing ] is missing")?;
                let address: Ipv6Addr = address
                    .parse()
                    .map_err(|_| "not an IPv6 address between [ and ]")?;
                (address.to_string(), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                if !is_name(name) {
                    return Err("not a host name or IP address");
                }
                (name.to_ascii_lowercase(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => parse_port(digits).ok_or("the port is not a number from 1 to 65535")?,
            None if port.is_empty() => default_port,
            None => return Err("only a port may follow the host"),
        };
        Ok(Host { name, port })
    }

    /// As it stands in a URL: without the port if it is `default_port`.
    pub fn authority(&self, default_port: u16) -> String {
        if self.port == default_port {
            self.bracketed()
        } else {
            self.to_string()
        }
    }

    fn bracketed(&self) -> String {
        if self.name.contains(':') {
            format!("[{}]", self.name)
        } else {
            self.name.clone()
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bracketed(), self.port)
    }
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // An all-numeric last label is an IPv4 address or nothing (RFC 3696, section 2).
    let numeric_end = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && (!numeric_end || is_address(name))
}

fn is_address(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

fn parse_port(digits: &str) -> Option<u16> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Result<Host, &'static str> {
        Ok(Host {
            name: name.into(),
            port,
        })
    }

    #[test]
    fn names_and_addresses_come_with_or_without_a_port() {
        assert_eq!(
            Host::parse("Hub.Example.com", 8883),
            host("hub.example.com", 8883)
        );
        assert_eq!(Host::parse("hub:1", 8883), host("hub", 1));
        assert_eq!(
            Host::parse("127.0.0.1:65535", 443),
            host("127.0.0.1", 65535)
        );
        assert_eq!(Host::parse("[::1]", 443), host("::1", 443));
        assert_eq!(
            Host::parse("[2001:DB8::1]:8443", 443),
            host("2001:db8::1", 8443)
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            ":443",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "[]",
            "a b",
            "a/b",
            "u@a",
            "a?b",
            "a#b",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a\n",
            "ä.example",
            "1.2.3",
            "256.1.1.1",
            &"a".repeat(64),
        ] {
            assert!(Host::parse(text, 443).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_url_names_only_an_unusual_port() {
        let of = |text| Host::parse(text, 443).unwrap().authority(443);
        assert_eq!(of("hub"), "hub");
        assert_eq!(of("hub:443"), "hub");
        assert_eq!(of("hub:8443"), "hub:8443");
        assert_eq!(of("[::1]"), "[::1]");
        assert_eq!(of("[::1]:8443"), "[::1]:8443");
    }
}
