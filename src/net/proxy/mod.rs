//! Which proxy leads to a host: from an option, or from the environment as curl reads it
//! (<https://everything.curl.dev/usingcurl/proxies/env.html>).

mod exceptions;
pub(crate) mod negotiation;

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use super::host::Host;
use crate::secret::Secret;
use exceptions::Exceptions;

/// The port of a proxy that names none, as curl has it.
const DEFAULT_PORT: u16 = 1080;
/// RFC 1929: each has a length of one byte.
const CREDENTIAL_BYTES_MAX: usize = 255;

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// HTTP's CONNECT (RFC 9110, section 9.3.6).
    Http,
    /// SOCKS version 5 (RFC 1928). It resolves names itself, as with curl's `socks5h`.
    Socks5,
}

/// A user and a password for a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyLogin {
    pub user: Secret,
    pub password: Secret,
}

/// A proxy. Displayed without its login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub kind: ProxyKind,
    pub host: Host,
    pub login: Option<ProxyLogin>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", self.host)
    }
}

impl Proxy {
    /// Reads `[scheme://][user[:password]@]host[:port][/]`. The error is the rule that was broken; it repeats
    /// nothing, as there can be a password in the text.
    pub fn parse(text: &str) -> Result<Proxy, &'static str> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyKind::Http,
            "socks5" | "socks5h" => ProxyKind::Socks5,
            _ => return Err("only http://, socks5:// and socks5h:// are spoken"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // A password may hold an @ that nobody encoded; a host cannot.
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(parse_login(login)?), host),
            None => (None, rest),
        };
        let host = Host::parse(host, DEFAULT_PORT)?;
        Ok(Proxy { kind, host, login })
    }
}

fn parse_login(text: &str) -> Result<ProxyLogin, &'static str> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        let text = text.map_err(|_| "user and password must be UTF-8")?;
        let is_control = |c: char| c.is_control();
        if text.len() > CREDENTIAL_BYTES_MAX || text.contains(is_control) {
            return Err("user and password have at most 255 bytes each, and no control characters");
        }
        Ok(Secret::new(text))
    };
    let (user, password) = (decode(user)?, decode(password)?);
    if user.expose().is_empty() {
        return Err("a password needs a user before it");
    }
    if user.expose().contains(':') {
        return Err("a user has no : in its name");
    }
    Ok(ProxyLogin { user, password })
}

/// The ways out of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Proxies {
    proxy: Option<Proxy>,
    exceptions: Exceptions,
}

/// A variable of the environment that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadVariable {
    pub name: &'static str,
    pub rule: &'static str,
}

impl Proxies {
    /// All connections are direct.
    pub fn none() -> Proxies {
        Proxies::default()
    }

    /// As the option says: a proxy for all hosts, or `none`.
    pub fn from_option(text: &str) -> Result<Proxies, &'static str> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Proxies::none());
        }
        Ok(Proxies {
            proxy: Some(Proxy::parse(text)?),
            exceptions: Exceptions::default(),
        })
    }

    /// As the environment says, of which `variable` reads one: the lower-case names first, HTTPS's proxy before the
    /// one for all. This machine itself is never reached through a proxy that somebody set for everything.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Proxies, BadVariable> {
        let first = |names: &[&'static str]| {
            let found = names.iter().find_map(|name| Some((*name, variable(name)?)));
            found.filter(|(_, text)| !text.is_empty())
        };
        let https = first(&["https_proxy", "HTTPS_PROXY"]);
        let Some((name, text)) = https.or_else(|| first(&["all_proxy", "ALL_PROXY"])) else {
            return Ok(Proxies::none());
        };
        let proxy = Proxy::parse(&text).map_err(|rule| BadVariable { name, rule })?;
        let exceptions = first(&["no_proxy", "NO_PROXY"]).map(|(_, list)| list);
        Ok(Proxies {
            proxy: Some(proxy),
            exceptions: Exceptions::of_environment(&exceptions.unwrap_or_default()),
        })
    }

    /// The proxy that leads to the host.
    pub fn for_host(&self, host: &Host) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref();
        proxy.filter(|_| !self.exceptions.contain(&host.name))
    }
}

/// Whether the name is this machine's own.
fn is_loopback(name: &str) -> bool {
    let is_local = name == "localhost" || name.ends_with(".localhost");
    is_local || name.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Proxy {
        Proxy::parse(text).unwrap()
    }

    fn host(name: &str) -> Host {
        Host::parse(name, 443).unwrap()
    }

    #[test]
    fn a_proxy_is_read_as_curl_reads_it() {
        let plain = proxy("proxy.example:3128");
        assert_eq!(plain.kind, ProxyKind::Http);
        assert_eq!(plain.host, host("proxy.example:3128"));
        assert_eq!(plain.login, None);
        assert_eq!(proxy("http://proxy.example:3128/"), plain);
        assert_eq!(proxy("HTTP://PROXY.example:3128"), plain);
        assert_eq!(proxy("proxy.example").host.port, 1080);
        let socks = proxy("socks5h://[::1]:9050");
        assert_eq!(socks.kind, ProxyKind::Socks5);
        assert_eq!(socks, proxy("socks5://[::1]:9050"));
        let login = proxy("http://me%40home:p%3Aa:s@s@proxy.example").login;
        let login = login.unwrap();
        assert_eq!(login.user.expose(), "me@home");
        assert_eq!(login.password.expose(), "p:a:s@s");
        let login = proxy("socks5://me@proxy.example").login.unwrap();
        assert_eq!(login.password.expose(), "");
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_being_repeated_and_a_password_is_never_shown() {
        let long = format!("u:{}@p", "x".repeat(256));
        for text in [
            "",
            "http://",
            "https://proxy.example",
            "socks4://proxy.example",
            "ftp://hunter2@proxy.example",
            "http://hunter2 proxy",
            "http://:hunter2@proxy.example",
            "http://a%3Ab:hunter2@proxy.example",
            "http://u:hunter2%0d%0a@proxy.example",
            "http://u:%ff@proxy.example",
            "http://proxy.example:0",
            "http://proxy.example/path",
            &long,
        ] {
            let rule = Proxy::parse(text).unwrap_err();
            assert!(!rule.contains("hunter2"), "{text}");
        }
        let proxy = proxy("http://user:hunter2@proxy.example:3128");
        assert_eq!(proxy.to_string(), "http://proxy.example:3128");
        assert!(!format!("{proxy:?}").contains("hunter2"));
    }

    fn environment(
        variables: &'static [(&'static str, &'static str)],
    ) -> Result<Proxies, BadVariable> {
        Proxies::from_environment(|wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn way(proxies: &Proxies, name: &str) -> Option<String> {
        proxies.for_host(&host(name)).map(ToString::to_string)
    }

    #[test]
    fn the_environments_proxy_is_https_own_before_that_for_all_and_lower_case_first() {
        let chosen = |variables| way(&environment(variables).unwrap(), "hub.example");
        let a = Some("http://a:1080".to_owned());
        assert_eq!(chosen(&[("https_proxy", "a"), ("HTTPS_PROXY", "b")]), a);
        assert_eq!(chosen(&[("HTTPS_PROXY", "a"), ("all_proxy", "b")]), a);
        assert_eq!(chosen(&[("all_proxy", "a"), ("ALL_PROXY", "b")]), a);
        assert_eq!(chosen(&[("ALL_PROXY", "a"), ("HTTP_PROXY", "b")]), a);
        assert_eq!(chosen(&[("HTTPS_PROXY", ""), ("ALL_PROXY", "a")]), a);
        assert_eq!(chosen(&[("http_proxy", "a"), ("HTTP_PROXY", "a")]), None);
        assert_eq!(chosen(&[]), None);
        let bad = environment(&[("ALL_PROXY", "https://a")]).unwrap_err();
        assert_eq!(bad.name, "ALL_PROXY");
    }

    #[test]
    fn the_environments_exceptions_and_this_machine_are_reached_directly() {
        let proxies = environment(&[
            ("https_proxy", "proxy.example"),
            ("no_proxy", "factory.example,10.0.0.0/8"),
        ]);
        let proxies = proxies.unwrap();
        let direct = ["factory.example", "api.factory.example", "10.1.2.3"];
        for name in direct
            .into_iter()
            .chain(["localhost", "127.0.0.1", "[::1]"])
        {
            assert_eq!(way(&proxies, name), None, "{name}");
        }
        for name in ["hub.example", "notfactory.example", "11.0.0.1"] {
            assert!(way(&proxies, name).is_some(), "{name}");
        }
    }

    #[test]
    fn an_option_is_for_every_host_and_none_is_no_proxy() {
        let proxies = Proxies::from_option("socks5://proxy.example").unwrap();
        for name in ["hub.example", "localhost", "127.0.0.1"] {
            assert!(way(&proxies, name).is_some(), "{name}");
        }
        assert_eq!(Proxies::from_option("None"), Ok(Proxies::none()));
        let none = Proxies::from_option("none").unwrap();
        assert_eq!(way(&none, "hub.example"), None);
        assert!(Proxies::from_option("").is_err());
    }
}
