//! Step 3: the two connections of a tunnel.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Interest;
use mio::net::TcpStream;
use rustls::pki_types::ServerName;

use super::WayOut;
use super::pump::{Inward, LOCAL, RELAY, Relay, Tunnel};
use super::request::OpenTunnel;
use crate::error::Chain;
use crate::net::cancel::{Cancellation, SocketPoll, WaitError};
use crate::net::dial::DialLimits;
use crate::net::tls_failure::tls_failure;
use crate::net::tls_socket::{Piece, TlsSocket, TlsSocketError};
use crate::net::web_socket::{Request, WebSocket, WebSocketError};

/// The port of this device has to take the connection within this time, the relay within that, handshakes included
/// (both as the published SDK has them).
const LOCAL_LIMIT: Duration = Duration::from_secs(5);
const RELAY_LIMIT: Duration = Duration::from_secs(20);

/// Why the relay was not reached. None of the words repeats its address.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("the connection failed")]
    Io(#[source] io::Error),
    #[error(transparent)]
    Tls(crate::Error),
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    #[error("the relay ended the connection")]
    Ended,
    #[error("the relay did not answer within {} s", RELAY_LIMIT.as_secs())]
    TimedOut,
    #[error("the device's program ends")]
    Cancelled,
    #[error(transparent)]
    Dial(#[from] crate::net::dial::DialError),
}

impl From<TlsSocketError> for RelayError {
    fn from(error: TlsSocketError) -> RelayError {
        match error {
            TlsSocketError::Io(error) => RelayError::Io(error),
            TlsSocketError::Tls(error) => {
                RelayError::Tls(tls_failure("connect to the relay", error))
            }
        }
    }
}

impl From<WaitError> for RelayError {
    fn from(error: WaitError) -> RelayError {
        match error {
            WaitError::Cancelled => RelayError::Cancelled,
            WaitError::TimedOut => RelayError::TimedOut,
            WaitError::System(error) => RelayError::Io(error),
        }
    }
}

/// Connects to the port, then to the relay; or says what failed.
pub(super) fn open(
    asked: &OpenTunnel,
    way: &WayOut,
    cancellation: &Arc<Cancellation>,
) -> Result<Tunnel, String> {
    let mut poll =
        SocketPoll::new(cancellation).map_err(|error| RelayError::from(error).to_string())?;
    let local = connect_local(asked.port, &mut poll).map_err(|error| {
        format!(
            "port {} of the device cannot be reached: {error}",
            asked.port
        )
    })?;
    connect_relay(asked, way, cancellation, &mut poll)
        .map(|relay| Tunnel::new(poll, local, relay))
        .map_err(|error| format!("the relay cannot be reached: {}", Chain(&error)))
}

fn connect_local(port: u16, poll: &mut SocketPoll) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut socket = TcpStream::connect(address)?;
    let interest = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut socket, LOCAL, interest)?;
    let deadline = Instant::now() + LOCAL_LIMIT;
    loop {
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
        poll.wait(Some(deadline), |_| {})
            .map_err(|error| match error {
                WaitError::System(error) => error,
                WaitError::TimedOut => io::ErrorKind::TimedOut.into(),
                WaitError::Cancelled => io::ErrorKind::Interrupted.into(),
            })?;
    }
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn connect_relay(
    asked: &OpenTunnel,
    way: &WayOut,
    cancellation: &Arc<Cancellation>,
    poll: &mut SocketPoll,
) -> Result<Relay, RelayError> {
    let deadline = Instant::now() + RELAY_LIMIT;
    let limits = DialLimits {
        deadline: Some(deadline),
        ..DialLimits::PATIENT
    };
    let name = ServerName::try_from(asked.relay.name.clone())
        .map_err(|_| WebSocketError::Request("its host is not a name"))?;
    let socket = way.dialer.dial(&asked.relay, limits, cancellation)?.socket;
    let mut relay = TlsSocket::new(socket, name, way.trust.rustls(), poll.registry(), RELAY)?;
    let traceparent: Vec<_> = asked
        .traceparent
        .iter()
        .map(|value| ("traceparent", value.as_str()))
        .collect();
    let mut web_socket = WebSocket::new(&Request {
        authority: &asked.relay.authority(443),
        path: asked.path.expose(),
        protocol: None,
        headers: &traceparent,
    })?;
    // Payload may come with the end of the handshake.
    let mut first = Inward::default();
    loop {
        while !web_socket.is_open() {
            let mut buffer = [0; 4096];
            match relay.read_some(&mut buffer)? {
                Piece::Bytes(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    web_socket.receive(bytes, |event| first.take(event))?;
                }
                Piece::Nothing => break,
                Piece::End(_) => return Err(RelayError::Ended),
            }
        }
        if web_socket.is_open() {
            return Ok(Relay {
                socket: relay,
                web_socket,
                inward: first,
            });
        }
        // Behind the read: what it brought may let the next part go, of TLS's handshake or the WebSocket's.
        relay.write(web_socket.output()).map_err(RelayError::Io)?;
        poll.wait(Some(deadline), |event| {
            if event.token() == RELAY {
                relay.note(event);
            }
        })?;
    }
}
