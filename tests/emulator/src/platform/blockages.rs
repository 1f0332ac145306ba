//! Blocking ways to the Platform, and closing its ports.

use std::time::Duration;

use tokio::time::timeout;

use super::{Gate, Platform};
use crate::error::Timeout;
use crate::faults::{Blockage, Way};

/// A port is closed or taken again at once, unless somebody else has taken it meanwhile.
const PORT_TIMEOUT: Duration = Duration::from_secs(10);

impl Platform {
    /// Blocks a way to the Platform for connections that come from now on, until [`Platform::unblock`]. Another
    /// blockage of the same way replaces it. Each way is blocked by itself; connections that are there stay, see
    /// [`Platform::close_connections`].
    ///
    /// # Errors
    /// If a port cannot be closed or taken again.
    pub fn block(&self, way: Way, blockage: Blockage) -> Result<(), Timeout> {
        self.core
            .change(|state| state.faults.blocked.insert(way, blockage));
        self.set_gates(blockage != Blockage::Refused, |gate| gate.way == way)
    }

    /// Opens a way again. Connections that were taken in silence go on.
    ///
    /// # Errors
    /// If a port cannot be taken again.
    pub fn unblock(&self, way: Way) -> Result<(), Timeout> {
        self.core.change(|state| state.faults.blocked.remove(&way));
        self.set_gates(true, |gate| gate.way == way)
    }

    /// Stops listening, so that new connections of both kinds are refused, or listens again on the same ports.
    /// Existing MQTT connections stay (see [`Platform::close_connections`]); HTTP connections end with the request
    /// that they are at. Returns when it is so.
    ///
    /// # Errors
    /// If a port cannot be taken again.
    pub fn accept_connections(&self, accept: bool) -> Result<(), Timeout> {
        self.set_gates(accept, |_| true)
    }

    /// The same for the hub's own port only: see [`Builder::own_hub_port`](crate::Builder::own_hub_port) and
    /// [`Builder::standard_ports`](crate::Builder::standard_ports). Without such a port it does nothing.
    ///
    /// # Errors
    /// If the port cannot be taken again.
    pub fn accept_hub_connections(&self, accept: bool) -> Result<(), Timeout> {
        self.set_gates(accept, |gate| gate.hub_only)
    }

    fn set_gates(&self, accept: bool, which: impl Fn(&Gate) -> bool) -> Result<(), Timeout> {
        let failed = |awaited: &str| Timeout {
            waited: PORT_TIMEOUT,
            awaited: awaited.to_owned(),
        };
        let running = self.running.lock();
        let running = running
            .as_ref()
            .ok_or_else(|| failed("the Platform has ended"))?;
        for gate in self.gates.iter().filter(|gate| which(gate)) {
            gate.accepting.send_replace(accept);
            let mut listening = gate.listening.clone();
            let done = running.runtime.block_on(async {
                let done = listening.wait_for(|listening| *listening == accept);
                timeout(PORT_TIMEOUT, done).await.is_ok()
            });
            if !done {
                return Err(failed("a port is still in use"));
            }
        }
        Ok(())
    }
}
