//! How MQTT goes to the hub: the application's choice, and what carries a connection.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the client connects to the hub. Chosen by
/// [`DeviceClientBuilder::transport`](crate::DeviceClientBuilder::transport).
///
/// ```no_run
/// use spotflow_device::{DeviceClient, Transport};
///
/// // Port 8883 is closed here, and nobody needs to find that out.
/// let client = DeviceClient::builder("CAEaBA...", "/var/lib/gateway/spotflow.db")
///     .transport(Transport::WebSocket)
///     .start()?;
/// assert_ne!(client.status().transport, Some(Transport::Mqtt));
/// # Ok::<(), spotflow_device::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Transport {
    /// Whichever works: MQTT at first, and WebSocket where that does not come through. The one that worked is kept in
    /// the database and tried first from then on.
    #[default]
    Automatic,
    /// MQTT over TLS, port 8883.
    Mqtt,
    /// MQTT over WebSocket over TLS, port 443, which is that of HTTPS.
    WebSocket,
}

/// What carries a connection to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Carrier {
    /// MQTT over TLS.
    Tls,
    /// MQTT over WebSocket over TLS.
    WebSocket,
}

impl Carrier {
    /// As the application knows it.
    pub fn transport(self) -> Transport {
        match self {
            Carrier::Tls => Transport::Mqtt,
            Carrier::WebSocket => Transport::WebSocket,
        }
    }

    pub fn other(self) -> Carrier {
        match self {
            Carrier::Tls => Carrier::WebSocket,
            Carrier::WebSocket => Carrier::Tls,
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Carrier::Tls => "MQTT (port 8883)",
            Carrier::WebSocket => "MQTT over WebSocket (port 443)",
        })
    }
}
