//! Which address and ports the Platform takes, and what it calls itself there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use super::{Settings, io_error};
use crate::Error;
use crate::faults::Way;

const HTTPS_PORT: u16 = 443;
const MQTT_PORT: u16 = 8883;
/// How many loopback addresses are tried for the standard ports.
const ADDRESSES_TRIED_MAX: u32 = 100;

/// Open ports and their names.
pub(crate) struct Ports {
    pub address: IpAddr,
    pub instance: String,
    pub hub_host: String,
    pub listeners: Vec<Listener>,
}

/// An open port.
pub(crate) struct Listener {
    pub tcp: TcpListener,
    /// What is blocked with it.
    pub way: Way,
    pub hub_only: bool,
}

impl Listener {
    fn new(tcp: TcpListener, way: Way, hub_only: bool) -> Self {
        Self { tcp, way, hub_only }
    }
}

impl Ports {
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        if settings.standard_ports {
            return Self::open_standard(settings.bind);
        }
        let api = bind(settings.bind, settings.port).map_err(io_error(&format!(
            "cannot listen on {}, port {}",
            settings.bind, settings.port
        )))?;
        let instance = name(&api)?;
        let mut hub_host = instance.clone();
        let mut listeners = vec![Listener::new(api, Way::Https, false)];
        if settings.own_hub_port {
            let hub = bind(settings.bind, 0).map_err(io_error("cannot listen on a second port"))?;
            hub_host = name(&hub)?;
            listeners.push(Listener::new(hub, Way::Https, true));
        }
        Ok(Self {
            address: settings.bind,
            instance,
            hub_host,
            listeners,
        })
    }

    fn open_standard(wanted: IpAddr) -> Result<Self, Error> {
        let mut failure = None;
        for address in std::iter::once(wanted).chain(other_loopback_addresses()) {
            match bind(address, HTTPS_PORT).and_then(|api| Ok((api, bind(address, MQTT_PORT)?))) {
                Ok((api, hub)) => {
                    let host = host(address);
                    let listeners = vec![
                        Listener::new(api, Way::Https, false),
                        Listener::new(hub, Way::Mqtt, true),
                    ];
                    return Ok(Self {
                        address,
                        instance: host.clone(),
                        hub_host: host,
                        listeners,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => failure = Some(error),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let failure = failure.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        Err(io_error(
            "cannot listen on the ports 443 and 8883 of a loopback address",
        )(failure))
    }
}

/// Different ones in different processes, so that few meet.
fn other_loopback_addresses() -> impl Iterator<Item = IpAddr> {
    let start = std::process::id().wrapping_mul(0x9E37_79B9);
    (0..ADDRESSES_TRIED_MAX).map(move |step| {
        let [_, a, b, c] = start.wrapping_add(step * 0x0101).to_be_bytes();
        Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)).into()
    })
}

fn bind(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::new(address, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn name(listener: &TcpListener) -> Result<String, Error> {
    let address = listener
        .local_addr()
        .map_err(io_error("cannot ask for the port"))?;
    Ok(format!("{}:{}", host(address.ip()), address.port()))
}

fn host(address: IpAddr) -> String {
    match address {
        // A name, because some TLS stacks know no certificates for addresses.
        IpAddr::V4(Ipv4Addr::LOCALHOST) => "localhost".to_owned(),
        IpAddr::V4(other) => other.to_string(),
        IpAddr::V6(other) => format!("[{other}]"),
    }
}
