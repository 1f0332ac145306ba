//! The Platform's ports. Every port serves HTTP and MQTT: the first decrypted byte tells which it is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::api;
use crate::faults::Way;
use crate::hub::connection;
use crate::state::Core;

/// As many as std asks for.
const BACKLOG: u32 = 128;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// The first byte of MQTT's CONNECT; no HTTP method begins with it.
const CONNECT_BYTE: u8 = 0x10;

/// Serves what connects to one port, as long as `accepting` says so; tells in `listening` whether it does.
pub(crate) async fn listen(
    core: Arc<Core>,
    first: std::net::TcpListener,
    server: watch::Receiver<Arc<ServerConfig>>,
    way: Way,
    mut accepting: watch::Receiver<bool>,
    listening: watch::Sender<bool>,
) {
    let Ok(address) = first.local_addr() else {
        return;
    };
    let mut listener = TcpListener::from_std(first).ok();
    loop {
        listening.send_replace(listener.is_some());
        match &listener {
            Some(open) => {
                let gate = accepting.clone();
                tokio::select! {
                    () = accept_from(open, &core, &server, way, &gate) => {}
                    changed = accepting.wait_for(|accept| !accept) => {
                        if changed.is_err() {
                            return;
                        }
                    }
                }
                listener = None;
            }
            None => {
                let held = hold(address).await;
                if accepting.wait_for(|accept| *accept).await.is_err() {
                    return;
                }
                listener = held.listen(BACKLOG).ok();
            }
        }
    }
}

async fn accept_from(
    listener: &TcpListener,
    core: &Arc<Core>,
    server: &watch::Receiver<Arc<ServerConfig>>,
    way: Way,
    accepting: &watch::Receiver<bool>,
) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let acceptor = TlsAcceptor::from(server.borrow().clone());
                let core = core.clone();
                tokio::spawn(serve(core, tcp, acceptor, way, accepting.clone()));
            }
            // Out of file handles, or a client that was gone again at once: neither ends the Platform.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Keeps the port while nobody listens on it: who connects is refused, and no connection of this machine can be given
/// its number, which would keep the Platform from listening again.
async fn hold(address: SocketAddr) -> TcpSocket {
    loop {
        if let Ok(socket) = bound(address) {
            return socket;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // The connections that were taken before may go on.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(
    core: Arc<Core>,
    mut tcp: TcpStream,
    acceptor: TlsAcceptor,
    way: Way,
    accepting: watch::Receiver<bool>,
) {
    if tcp.set_nodelay(true).is_err() || !core.passes(way, &mut tcp).await {
        return;
    }
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await else {
        return;
    };
    let mut stream = BufReader::new(core.traffic.tap(stream));
    let first = timeout(HANDSHAKE_TIMEOUT, stream.fill_buf()).await;
    let Ok(Ok(Some(first))) = first.map(|read| read.map(|bytes| bytes.first().copied())) else {
        return;
    };
    if first != CONNECT_BYTE {
        api::serve(core, stream, accepting).await;
    } else if core.passes(Way::Mqtt, &mut stream).await {
        connection::serve(core, stream).await;
    }
}
