//! Remote access: a technician reaches allowed ports of the device, whatever the relay does.

mod asking;
mod carrying;
mod ending;
mod relay;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use spotflow_device::{DeviceClient, RemoteAccess};
use spotflow_emulator::Tunnel;

use crate::support::{DEVICE, PATIENCE, Stage, eventually};

/// A device that allows one port, on which the test listens; and where a technician connects.
struct Access {
    stage: Stage,
    client: DeviceClient,
    service: TcpListener,
    technician: SocketAddr,
}

impl Access {
    fn new() -> Access {
        Access::with(|options| options)
    }

    fn with(change: impl FnOnce(RemoteAccess) -> RemoteAccess) -> Access {
        let stage = Stage::new();
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        let options = change(RemoteAccess::new().port(port));
        let client = stage.device().remote_access(options).start().unwrap();
        let technician = stage.platform.forward(0, DEVICE, port).unwrap();
        stage.wait_callable();
        Access {
            stage,
            client,
            service,
            technician,
        }
    }

    /// A tunnel: the technician's end and the service's.
    fn open(&self) -> (TcpStream, TcpStream) {
        let technician = connect(self.technician);
        let (service, _) = self.service.accept().unwrap();
        service.set_read_timeout(Some(PATIENCE)).unwrap();
        (technician, service)
    }

    /// What the device answers to a technician who is not let in.
    fn refused(&self, technician: SocketAddr) -> Tunnel {
        assert!(connect(technician).read_to_end(&mut Vec::new()).is_err());
        self.last(|tunnel| tunnel.status.is_some())
    }

    fn last(&self, what: impl Fn(&Tunnel) -> bool) -> Tunnel {
        let found = |tunnels: &[Tunnel]| tunnels.last().is_some_and(&what);
        let tunnels = self.stage.platform.wait_for_tunnels(found, PATIENCE);
        let tunnels =
            tunnels.unwrap_or_else(|error| panic!("{error}: {:?}", self.stage.platform.tunnels()));
        tunnels.last().unwrap().clone()
    }

    fn wait_none(&self) {
        eventually("no tunnel is left", || {
            self.client.status().tunnels.is_empty()
        });
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn assert_passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    assert_eq!(read(to, bytes.len()), bytes);
}

/// Bytes that repeat only after a long time.
fn content(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect()
}
