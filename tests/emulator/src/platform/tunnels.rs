//! Remote access: local ports that lead to ports of devices, and the relay's faults.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

use super::{Platform, io_error};
use crate::error::{Error, Timeout};
use crate::relay::{self, RelayFault, Tunnel};

impl Platform {
    /// Listens on a port of 127.0.0.1 (0: any that is free) for technicians, and has each of their connections
    /// carried to `port` of the device, which is asked for that by the direct method `!remote-access`. Returns the
    /// address to connect to; [`Platform::tunnels`] tells what became of the connections.
    ///
    /// The device need not be connected, or even known, before a technician comes. So `ssh -p PORT user@127.0.0.1`
    /// reaches the SSH server of the device.
    ///
    /// A close frame ends one direction: the content that the device sends after the relay's close frame still
    /// arrives, and the other way round. What ends otherwise ends the technician's connection with a reset.
    ///
    /// # Errors
    /// If the local port is taken, or the Platform has ended.
    pub fn forward(&self, local_port: u16, device: &str, port: u16) -> Result<SocketAddr, Error> {
        let failed = || io_error("cannot listen for technicians");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, local_port))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(failed())?;
        let running = self.running.lock();
        let running = running
            .as_ref()
            .ok_or_else(|| failed()(std::io::Error::other("the Platform has ended")))?;
        let _entered = running.runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(failed())?;
        let local = listener.local_addr().map_err(failed())?;
        let listening = relay::listen(self.core.clone(), listener, device.to_owned(), port);
        let forward = relay::Forward {
            local,
            device: device.to_owned(),
            port,
            task: running.runtime.spawn(listening),
        };
        self.core.change(|state| state.forwards.push(forward));
        Ok(local)
    }

    /// Ends a [forwarding](Platform::forward); tunnels that are open stay. Returns whether there was such a one.
    pub fn stop_forwarding(&self, local_port: u16) -> bool {
        let forward = self.core.change(|state| {
            let forwards = &mut state.forwards;
            let index = forwards
                .iter()
                .position(|forward| forward.local.port() == local_port)?;
            Some(forwards.remove(index))
        });
        let Some(forward) = forward else {
            return false;
        };
        forward.task.abort();
        if let Some(running) = self.running.lock().as_ref() {
            // Its end, after which the port is free.
            let _ = running.runtime.block_on(forward.task);
        }
        true
    }

    /// The local ports that lead to devices: their address, the device, and its port.
    pub fn forwardings(&self) -> Vec<(SocketAddr, String, u16)> {
        let state = self.core.look();
        let forwards = state.forwards.iter();
        forwards
            .map(|forward| (forward.local, forward.device.clone(), forward.port))
            .collect()
    }

    /// The tunnels there were and are, the oldest first; the last thousands are kept.
    pub fn tunnels(&self) -> Vec<Tunnel> {
        self.core.look().tunnels.all().cloned().collect()
    }

    /// Waits until the tunnels are as the predicate wants them. It is asked whenever one is opened, answered,
    /// connected or ended, but not for every byte.
    ///
    /// # Errors
    /// If they are not in time.
    pub fn wait_for_tunnels(
        &self,
        mut wanted: impl FnMut(&[Tunnel]) -> bool,
        timeout: Duration,
    ) -> Result<Vec<Tunnel>, Timeout> {
        let mut last = Vec::new();
        let waited = self.core.wait(
            timeout,
            |state| {
                last = state.tunnels.all().cloned().collect();
                wanted(&last).then(|| last.clone())
            },
            |_| String::new(),
        );
        waited.map_err(|error| Timeout {
            awaited: format!("tunnels as wanted; they were {last:?}"),
            ..error
        })
    }

    /// Has the relay do that wrong with every tunnel whose device answers from now on.
    pub fn break_relay(&self, fault: RelayFault) {
        self.core.change(|state| state.tunnels.fault = fault);
    }

    /// Takes [`Platform::break_relay`] back; tunnels that stall go on.
    pub fn mend_relay(&self) {
        self.break_relay(RelayFault::None);
    }
}
