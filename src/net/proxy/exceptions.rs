//! Hosts that are reached without a proxy: curl's `NO_PROXY`.

use std::net::IpAddr;

use super::is_loopback;

/// The hosts of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Exceptions {
    list: Vec<Exception>,
    loopback: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    Everything,
    /// This name and all below it.
    Name(String),
    /// The addresses that have these first bits.
    Network(IpAddr, u32),
}

impl Exceptions {
    /// Reads the environment's list: names, IP addresses and networks, with commas or spaces between, or `*`. What is
    /// none of them names no host. This machine itself is always among the exceptions.
    pub fn of_environment(list: &str) -> Exceptions {
        let words = list.split([',', ' ', '\t']);
        Exceptions {
            list: words.filter_map(exception).collect(),
            loopback: true,
        }
    }

    /// Whether the host (its name without port and brackets, lower case) is among them.
    pub fn contain(&self, host: &str) -> bool {
        let address = host.parse::<IpAddr>().ok();
        let matches = |exception: &Exception| match exception {
            Exception::Everything => true,
            Exception::Name(name) => host
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            Exception::Network(network, bits) => {
                address.is_some_and(|address| have_first_bits_alike(address, *network, *bits))
            }
        };
        (self.loopback && is_loopback(host)) || self.list.iter().any(matches)
    }
}

fn exception(word: &str) -> Option<Exception> {
    if word == "*" {
        return Some(Exception::Everything);
    }
    let (address, bits) = match word.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (word, None),
    };
    let unbracketed = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'));
    if let Ok(address) = unbracketed.unwrap_or(address).parse::<IpAddr>() {
        let all = bits_of(address).len() as u32 * 8;
        let bits = bits.map_or(Some(all), |bits| bits.parse().ok());
        return bits
            .filter(|bits| *bits <= all)
            .map(|bits| Exception::Network(address, bits));
    }
    let name = word.trim_matches('.').to_ascii_lowercase();
    (!name.is_empty()).then_some(Exception::Name(name))
}

fn bits_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn have_first_bits_alike(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    let (a, b) = (bits_of(a), bits_of(b));
    let in_byte = |byte: u32| bits.saturating_sub(byte * 8).min(8);
    let alike = |(byte, (a, b)): (u32, (&u8, &u8))| {
        // Of a byte none of whose bits count, all are shifted out.
        let ignored = 8 - in_byte(byte);
        u16::from(*a) >> ignored == u16::from(*b) >> ignored
    };
    a.len() == b.len() && (0..).zip(a.iter().zip(&b)).all(alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(list: &str, host: &str) -> bool {
        Exceptions::of_environment(list).contain(host)
    }

    #[test]
    fn a_name_stands_for_itself_and_all_below_it() {
        for list in [
            "example.com",
            ".example.com",
            "EXAMPLE.com.",
            "a.b, example.com c",
        ] {
            assert!(contain(list, "example.com"), "{list}");
            assert!(contain(list, "www.example.com"), "{list}");
            assert!(!contain(list, "notexample.com"), "{list}");
            assert!(!contain(list, "example.com.org"), "{list}");
        }
        assert!(contain("*", "anything.example"));
        assert!(!contain("", "example.com"));
        assert!(!contain(" , ,.", "example.com"));
    }

    #[test]
    fn addresses_and_networks_are_compared_by_their_bits() {
        assert!(contain("192.0.2.7", "192.0.2.7"));
        assert!(!contain("192.0.2.7", "192.0.2.70"));
        assert!(contain("192.0.2.0/25", "192.0.2.127"));
        assert!(!contain("192.0.2.0/25", "192.0.2.128"));
        assert!(contain("0.0.0.0/0", "203.0.113.1"));
        assert!(!contain("0.0.0.0/0", "2001:db8::1"));
        assert!(!contain("0.0.0.0/0", "example.com"));
        assert!(contain("[2001:db8::1]", "2001:db8::1"));
        assert!(contain("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contain("2001:db8::/32", "2001:db9::1"));
        for list in ["192.0.2.0/33", "192.0.2.0/x", "192.0.2.0/"] {
            assert!(!contain(list, "192.0.2.0"), "{list}");
        }
    }

    #[test]
    fn this_machine_is_always_among_them() {
        for host in ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(contain("", host), "{host}");
        }
    }
}
