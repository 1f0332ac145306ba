//! One TLS handshake on a connected socket, and, if wanted, one question whose answer's head tells the server's time.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::http::time::ServerTime;
use crate::net::host::{HTTPS_PORT, Host};
use crate::net::issuer::issuer;

const HEAD_BYTES_MAX: usize = 16 << 10;

/// How a handshake failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Not a byte came.
    Silent,
    Tls(rustls::Error),
    /// It was cut, or its end did not come.
    Io(io::Error),
}

/// What is learnt of a server.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub issuer: Option<String>,
    /// By its own clock.
    pub time: Option<ServerTime>,
}

/// A socket that gives up at a deadline, and knows whether anything came.
struct Timed<'a> {
    socket: &'a TcpStream,
    deadline: Instant,
    has_heard: bool,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<std::time::Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        let read = self.socket.read(buffer)?;
        self.has_heard |= read > 0;
        Ok(read)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Shakes hands; `asks_time`: and asks an HTTP server for nothing in particular.
pub(super) fn shake_hands(
    socket: &TcpStream,
    host: &Host,
    config: Arc<ClientConfig>,
    deadline: Instant,
    asks_time: bool,
) -> Result<Met, Failed> {
    let name = ServerName::try_from(host.name.clone());
    let name = name.map_err(|error| Failed::Io(io::Error::other(error)))?;
    let mut tls = ClientConnection::new(config, name).map_err(Failed::Tls)?;
    socket.set_nonblocking(false).map_err(Failed::Io)?;
    let mut timed = Timed {
        socket,
        deadline,
        has_heard: false,
    };
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut timed) {
            return Err(explain(error, timed.has_heard));
        }
    }
    let certificate = tls.peer_certificates().and_then(|chain| chain.first());
    let mut met = Met {
        issuer: certificate.and_then(|certificate| issuer(certificate)),
        time: None,
    };
    if asks_time {
        let mut stream = rustls::Stream::new(&mut tls, &mut timed);
        met.time = ask_time(&mut stream, host);
    }
    tls.send_close_notify();
    // Only manners: the server has said all that is wanted.
    drop(tls.write_tls(&mut timed));
    Ok(met)
}

fn explain(error: io::Error, has_heard: bool) -> Failed {
    use io::ErrorKind::{TimedOut, WouldBlock};
    let tls = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<rustls::Error>());
    if let Some(tls) = tls {
        return Failed::Tls(tls.clone());
    }
    match error.kind() {
        TimedOut | WouldBlock if !has_heard => Failed::Silent,
        _ => Failed::Io(error),
    }
}

fn ask_time(stream: &mut (impl Read + Write), host: &Host) -> Option<ServerTime> {
    let host = host.authority(HTTPS_PORT);
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while head.len() < HEAD_BYTES_MAX && !head.windows(4).any(|it| it == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => head.extend_from_slice(buffer.get(..read)?),
            _ => break,
        }
    }
    date(&String::from_utf8_lossy(&head))
}

/// The `Date` of an answer's head.
fn date(head: &str) -> Option<ServerTime> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_date = name.eq_ignore_ascii_case("date");
        is_date.then(|| ServerTime::from_http_date(value.trim()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_found_in_a_head_and_nothing_else_is_taken_for_it() {
        let head =
            "HTTP/1.1 404 Not Found\r\nx-date: 1\r\nDATE: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n";
        assert_eq!(date(head), Some(ServerTime(1_795_348_800)));
        assert_eq!(date("HTTP/1.1 200 OK\r\ndate: now\r\n\r\n"), None);
        assert_eq!(date(""), None);
    }
}
