//! The technician's end: local ports, and a tunnel for each connection to one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{METHOD, OPEN_TIMEOUT, Tunnel, carry};
use crate::hub::NewCall;
use crate::news::Event;
use crate::state::{Core, State};
use crate::websocket::Socket;

/// Local ports that lead to devices.
pub(crate) type Forwards = Vec<Forward>;

pub(crate) struct Forward {
    pub local: SocketAddr,
    pub device: String,
    pub port: u16,
    pub task: JoinHandle<()>,
}

/// Takes technicians' connections until aborted.
pub(crate) async fn listen(core: Arc<Core>, listener: TcpListener, device: String, port: u16) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                tokio::spawn(serve(core.clone(), tcp, device.clone(), port));
            }
            // Out of file handles, or somebody who was gone again at once.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(core: Arc<Core>, mut tcp: TcpStream, device: String, port: u16) {
    // Fails only for a technician who is gone again.
    let _ = tcp.set_nodelay(true);
    let (tunnel, place) = core.change(|state| state.tunnels.open(&core.instance, &device, port));
    let result = match open(&core, &tunnel, place).await {
        Ok(socket) => {
            core.change(|state| state.tunnel_opened(&tunnel.id));
            carry::carry(&core, &tunnel.id, &mut tcp, socket).await
        }
        Err(reason) => Err(reason),
    };
    if result.is_err() {
        // The technician can tell it from an end in order.
        let _ = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    }
    drop(tcp);
    let reason = result.err().unwrap_or_else(|| "closed".to_owned());
    core.change(|state| state.tunnel_ended(&tunnel.id, reason));
}

impl State {
    fn tunnel_opened(&mut self, id: &str) {
        if let Some(entry) = self.tunnels.entry(id) {
            let tunnel = entry.public.clone();
            self.events.push(Event::TunnelOpened(tunnel));
        }
    }

    fn tunnel_ended(&mut self, id: &str, reason: String) {
        if let Some(entry) = self.tunnels.entry(id) {
            entry.place = None;
            entry.public.end = Some((Instant::now(), reason));
            let tunnel = entry.public.clone();
            self.events.push(Event::TunnelEnded(tunnel));
        }
    }
}

/// Calls the device and waits until it is at the relay and says so.
async fn open(
    core: &Core,
    tunnel: &Tunnel,
    place: oneshot::Receiver<Socket>,
) -> Result<Socket, String> {
    let payload = json!({
        "tunnelId": tunnel.id,
        "port": tunnel.port,
        "tunnelSecureUri": tunnel.uri,
        "traceparentHeader": tunnel.traceparent,
    });
    let payload = payload.to_string();
    let call = NewCall {
        name: METHOD,
        payload: payload.as_bytes(),
        timeout: OPEN_TIMEOUT,
    };
    let number = core
        .change(|state| state.call_method(&tunnel.device, call))
        .map_err(|error| error.to_string())?;
    let gives_up = Instant::now() + OPEN_TIMEOUT;
    let answered = core.until(|state| state.method_result(number));
    let answer = timeout(OPEN_TIMEOUT, answered)
        .await
        .map_err(|_| "the device did not answer in time".to_owned())?
        .map_err(|error| error.to_string())?;
    let body = String::from_utf8_lossy(&answer.payload).into_owned();
    core.change(|state| {
        state.tunnels.note(&tunnel.id, |tunnel| {
            tunnel.status = Some(answer.status);
            tunnel.answer = Some(body.clone());
        })
    });
    if answer.status != 200 {
        return Err(format!("the device answered {}: {body}", answer.status));
    }
    match timeout(gives_up - Instant::now(), place).await {
        Ok(Ok(socket)) => Ok(socket),
        _ => Err("the device did not connect to the relay".to_owned()),
    }
}
