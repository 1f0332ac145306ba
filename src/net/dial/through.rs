//! Asks a proxy, over a connection to it, to lead on to the host.

use std::io::{self, Read, Write};
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::DialError;
use crate::net::cancel::{SocketPoll, WaitError};
use crate::net::host::Host;
use crate::net::proxy::Proxy;
use crate::net::proxy::negotiation::{Negotiation, Refusal, Step};

const PROXY: Token = Token(usize::MAX - 1);

/// Returns the socket once it leads to the host.
pub(super) fn lead(
    socket: std::net::TcpStream,
    proxy: &Proxy,
    host: &Host,
    deadline: Instant,
    poll: &mut SocketPoll,
) -> Result<std::net::TcpStream, DialError> {
    let mut socket = TcpStream::from_std(socket);
    let interest = Interest::READABLE | Interest::WRITABLE;
    let registered = poll.registry().register(&mut socket, PROXY, interest);
    registered.map_err(DialError::System)?;
    let failed = |why: Failed| match why {
        Failed::Io(error) => {
            let why = Box::new(DialError::Connect(error));
            DialError::ProxyUnreachable(proxy.to_string(), why)
        }
        Failed::Refused(refusal) => DialError::ProxyRefused(proxy.to_string(), refusal),
        Failed::Wait(WaitError::TimedOut) => DialError::ProxyTimedOut(proxy.to_string()),
        Failed::Wait(why) => why.into(),
    };
    negotiate(&mut socket, proxy, host, deadline, poll).map_err(failed)?;
    let deregistered = poll.registry().deregister(&mut socket);
    deregistered.map_err(DialError::System)?;
    Ok(socket.into())
}

enum Failed {
    Io(io::Error),
    Refused(Refusal),
    Wait(WaitError),
}

fn negotiate(
    socket: &mut TcpStream,
    proxy: &Proxy,
    host: &Host,
    deadline: Instant,
    poll: &mut SocketPoll,
) -> Result<(), Failed> {
    let (mut negotiation, mut output) = Negotiation::start(proxy, host);
    let mut buffer = [0; 1024];
    loop {
        while !output.is_empty() {
            let written = until_ready(poll, deadline, || socket.write(&output))?;
            output.drain(..written);
        }
        let count = until_ready(poll, deadline, || socket.read(&mut buffer))?;
        if count == 0 {
            return Err(Failed::Refused(Refusal::Closed));
        }
        let received = buffer.get(..count).unwrap_or_default();
        match negotiation.receive(received).map_err(Failed::Refused)? {
            Step::Receive => {}
            Step::Send(bytes) => output = bytes,
            Step::Through => return Ok(()),
        }
    }
}

/// Repeats what would have had to wait when the poller has news.
fn until_ready(
    poll: &mut SocketPoll,
    deadline: Instant,
    mut attempt: impl FnMut() -> io::Result<usize>,
) -> Result<usize, Failed> {
    loop {
        match attempt() {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll.wait(Some(deadline), |_| {}).map_err(Failed::Wait)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failed::Io(error)),
        }
    }
}
