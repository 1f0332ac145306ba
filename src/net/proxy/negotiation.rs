//! What is said to a proxy before the connection leads through it: pure, bytes in and bytes out.
//!
//! ```text
//! HTTP    CONNECT host:port           ──>   <── 200
//! SOCKS5  methods ──> <── one of them   [user, password ──> <── accepted]   connect host:port ──> <── connected
//! ```

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Proxy, ProxyKind, ProxyLogin};
use crate::net::host::Host;

/// Of an HTTP proxy's answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
const REASON_LENGTH_MAX: usize = 60;

const SOCKS_VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why a proxy does not lead on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It wants a user and a password, and there are none.
    LoginWanted,
    /// It does not take the user and the password.
    LoginRefused,
    /// HTTP's status, and the reason that it gave.
    Status(u16, String),
    /// SOCKS's reply, in words.
    Reply(&'static str),
    /// It closed the connection.
    Closed,
    /// It speaks something else.
    NotUnderstood,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::LoginWanted => f.write_str("wants a user and a password"),
            Refusal::LoginRefused => f.write_str("does not accept the user and the password"),
            Refusal::Status(status, reason) => {
                write!(f, "refuses the connection: {status} {reason}")
            }
            Refusal::Reply(reason) => write!(f, "refuses the connection: {reason}"),
            Refusal::Closed => f.write_str("closed the connection"),
            Refusal::NotUnderstood => f.write_str("does not answer as such a proxy does"),
        }
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More of the proxy's answer.
    Receive,
    /// These bytes are to be sent.
    Send(Vec<u8>),
    /// The connection leads to the host.
    Through,
}

/// A negotiation under way.
pub(crate) struct Negotiation<'a> {
    proxy: &'a Proxy,
    host: &'a Host,
    state: State,
    received: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    HttpAnswer,
    SocksMethod,
    SocksLogin,
    SocksReply,
}

impl<'a> Negotiation<'a> {
    /// The negotiation that leads to the host, and what is sent first.
    pub fn start(proxy: &'a Proxy, host: &'a Host) -> (Negotiation<'a>, Vec<u8>) {
        let (state, first) = match proxy.kind {
            ProxyKind::Http => (State::HttpAnswer, connect_request(proxy, host)),
            ProxyKind::Socks5 => (State::SocksMethod, methods(proxy)),
        };
        let negotiation = Negotiation {
            proxy,
            host,
            state,
            received: Vec::new(),
        };
        (negotiation, first)
    }

    /// Takes what the proxy sent.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        self.received.extend_from_slice(bytes);
        match self.state {
            State::HttpAnswer => self.http_answer(),
            State::SocksMethod => self.socks_method(),
            State::SocksLogin => self.socks_login(),
            State::SocksReply => self.socks_reply(),
        }
    }

    fn http_answer(&self) -> Result<Step, Refusal> {
        const END: &[u8] = b"\r\n\r\n";
        let end = self.received.windows(END.len()).position(|it| it == END);
        let Some(end) = end else {
            let begins_well = self.received.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
            if !begins_well || self.received.len() > HEAD_BYTES_MAX {
                return Err(Refusal::NotUnderstood);
            }
            return Ok(Step::Receive);
        };
        let head = String::from_utf8_lossy(self.received.get(..end).unwrap_or_default());
        let line = head.lines().next().unwrap_or_default();
        let (status, reason) = status_line(line).ok_or(Refusal::NotUnderstood)?;
        match status {
            // TLS's first word is ours: what comes before that is nobody's.
            200..300 if end + END.len() < self.received.len() => Err(Refusal::NotUnderstood),
            200..300 => Ok(Step::Through),
            407 if self.proxy.login.is_none() => Err(Refusal::LoginWanted),
            407 => Err(Refusal::LoginRefused),
            // tinyproxy's word for it.
            401 if self.proxy.login.is_some() => Err(Refusal::LoginRefused),
            status => Err(Refusal::Status(status, self.readable(reason))),
        }
    }

    /// The proxy's reason, on one line and bounded; a password that it repeats is blotted out.
    fn readable(&self, reason: &str) -> String {
        let mut text: String = reason.chars().filter(|c| !c.is_control()).collect();
        if let Some(login) = &self.proxy.login {
            text = text.replace(&basic(login), "***");
            if !login.password.expose().is_empty() {
                text = text.replace(login.password.expose(), "***");
            }
        }
        text.chars().take(REASON_LENGTH_MAX).collect()
    }

    fn socks_method(&mut self) -> Result<Step, Refusal> {
        let Some([version, method]) = self.take()? else {
            return Ok(Step::Receive);
        };
        match (version, method, &self.proxy.login) {
            (SOCKS_VERSION, NO_LOGIN, _) => Ok(self.ask()),
            (SOCKS_VERSION, USER_AND_PASSWORD, Some(login)) => {
                self.state = State::SocksLogin;
                Ok(Step::Send(socks_login(login)))
            }
            (SOCKS_VERSION, 0xff, None) => Err(Refusal::LoginWanted),
            (SOCKS_VERSION, 0xff, Some(_)) => Err(Refusal::LoginRefused),
            _ => Err(Refusal::NotUnderstood),
        }
    }

    fn socks_login(&mut self) -> Result<Step, Refusal> {
        match self.take()? {
            None => Ok(Step::Receive),
            Some([_, 0]) => Ok(self.ask()),
            Some(_) => Err(Refusal::LoginRefused),
        }
    }

    /// An answer of two bytes, behind which nothing can have come.
    fn take(&mut self) -> Result<Option<[u8; 2]>, Refusal> {
        match self.received.as_slice() {
            [] | [_] => Ok(None),
            [first, second] => {
                let answer = [*first, *second];
                self.received.clear();
                Ok(Some(answer))
            }
            _ => Err(Refusal::NotUnderstood),
        }
    }

    fn ask(&mut self) -> Step {
        self.state = State::SocksReply;
        let mut request = vec![SOCKS_VERSION, CONNECT, 0];
        match self.host.name.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => {
                request.push(IPV4);
                request.extend(address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(IPV6);
                request.extend(address.octets());
            }
            Err(_) => {
                request.push(NAME);
                append_short(&mut request, &self.host.name);
            }
        }
        request.extend(self.host.port.to_be_bytes());
        Step::Send(request)
    }

    fn socks_reply(&self) -> Result<Step, Refusal> {
        match self.received.as_slice() {
            [version, ..] if *version != SOCKS_VERSION => return Err(Refusal::NotUnderstood),
            [_, reply, ..] if *reply != 0 => return Err(Refusal::Reply(in_words(*reply))),
            _ => {}
        }
        // The address that the proxy connects from, which is nobody's business.
        let address_bytes = match self.received.get(3..) {
            None | Some([]) => return Ok(Step::Receive),
            Some([IPV4, ..]) => 4,
            Some([IPV6, ..]) => 16,
            Some([NAME, length, ..]) => 1 + usize::from(*length),
            Some([NAME]) => return Ok(Step::Receive),
            Some(_) => return Err(Refusal::NotUnderstood),
        };
        match self.received.len().cmp(&(4 + address_bytes + 2)) {
            std::cmp::Ordering::Less => Ok(Step::Receive),
            std::cmp::Ordering::Equal => Ok(Step::Through),
            std::cmp::Ordering::Greater => Err(Refusal::NotUnderstood),
        }
    }
}

fn connect_request(proxy: &Proxy, host: &Host) -> Vec<u8> {
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n");
    if let Some(login) = &proxy.login {
        request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", basic(login)));
    }
    request.push_str("\r\n");
    request.into_bytes()
}

fn basic(login: &ProxyLogin) -> String {
    let text = format!("{}:{}", login.user.expose(), login.password.expose());
    BASE64_STANDARD.encode(text)
}

/// `HTTP/1.1 403 Forbidden`
fn status_line(line: &str) -> Option<(u16, &str)> {
    let (version, rest) = line.split_once(' ')?;
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_status = status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit());
    let status = status.parse().ok().filter(|_| is_status)?;
    version.starts_with("HTTP/1.").then_some((status, reason))
}

fn methods(proxy: &Proxy) -> Vec<u8> {
    match proxy.login {
        None => vec![SOCKS_VERSION, 1, NO_LOGIN],
        Some(_) => vec![SOCKS_VERSION, 2, NO_LOGIN, USER_AND_PASSWORD],
    }
}

fn socks_login(login: &ProxyLogin) -> Vec<u8> {
    let mut bytes = vec![LOGIN_VERSION];
    append_short(&mut bytes, login.user.expose());
    append_short(&mut bytes, login.password.expose());
    bytes
}

/// With its length before it, in one byte: names and logins are checked to be no longer.
fn append_short(bytes: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    bytes.push(length);
    bytes.extend(text.bytes().take(length.into()));
}

/// RFC 1928, section 6.
fn in_words(reply: u8) -> &'static str {
    match reply {
        1 => "general failure",
        2 => "its rules do not allow it",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the host refuses the connection",
        6 => "the connection took too long",
        7 => "it does not make connections",
        8 => "it does not know such addresses",
        _ => "an unknown reason",
    }
}

#[cfg(test)]
mod tests;
