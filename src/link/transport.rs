//! TLS under a session, with or without a WebSocket between them, without blocking.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::framing::Framing;
use super::session::Session;
use super::transport_error::TransportError;
use crate::clock::Moment;
use crate::net::tls_socket::{Incoming, TlsSocket};
use crate::net::uplink::Uplink;

/// The kernel takes no more than this ahead (Linux doubles it), so that bytes it took say that the
/// link moves: at 2 KB/s they are gone within half of the session's silence limit.
const SEND_BUFFER_BYTES: usize = 32 << 10;
/// Who issued a certificate that does not say so.
const UNNAMED: &str = "an unnamed authority";

/// No more than so many bytes are on their way: over a link of 2 KB/s they take two seconds.
const FEW_BYTES: usize = 4 << 10;
/// Few bytes that are not acknowledged for so long, by TCP, say that the path is, or was, interrupted: TCP itself
/// repeats them ever more rarely, and 20 s and more after the path is there again. A new connection is there at once.
/// Many have all the time that the session gives them, as they may crawl, or the hub may not be reading: Linux counts
/// the time in which the window has no place for the next segment as unacknowledged, however many bytes get through.
const FEW_UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(10);

/// Where a connection ends at this device.
pub(super) struct Socket {
    /// Connected.
    pub tcp: TcpStream,
    /// The peer's.
    pub name: ServerName<'static>,
    pub tls: Arc<ClientConfig>,
    /// What MQTT is carried in; in nothing unless it is given.
    pub framing: Option<Framing>,
    /// What it shares with the device's other connections.
    pub uplink: Arc<Uplink>,
}

/// A socket with TLS, and what its session has to do with it.
pub(crate) struct Transport {
    socket: TlsSocket,
    framing: Option<Framing>,
    uplink: Arc<Uplink>,
    /// What TCP was told last.
    is_impatient: bool,
}

impl Transport {
    /// Takes a connected socket over for the poller.
    pub fn new(
        Socket {
            tcp,
            name,
            tls,
            framing,
            uplink,
        }: Socket,
        registry: &Registry,
        token: Token,
    ) -> Result<Transport, TransportError> {
        let socket = TlsSocket::new(tcp, name, tls, registry, token)?;
        socket.limit_send_buffer(SEND_BUFFER_BYTES)?;
        Ok(Transport {
            socket,
            framing,
            uplink,
            is_impatient: false,
        })
    }

    /// Notes what the poller reported.
    pub fn note(&mut self, event: &mio::event::Event) {
        self.socket.note(event);
    }

    /// Whether there may be something to read.
    pub fn has_news(&self) -> bool {
        self.socket.has_news()
    }

    /// Whether the hub has sent anything at all.
    pub fn has_heard(&self) -> bool {
        self.socket.has_heard()
    }

    /// Brings the session all that has come.
    pub fn read(&mut self, session: &mut Session, now: Moment) -> Result<(), TransportError> {
        let incoming = match &mut self.framing {
            Some(framing) => framing.read(&mut self.socket, session, now),
            None => self.socket.read(|bytes| -> Result<bool, TransportError> {
                session.receive(bytes, now)?;
                Ok(true)
            }),
        };
        match incoming {
            Ok(Incoming::Open) => self.limit_unacknowledged(session),
            Ok(Incoming::Ended | Incoming::Cut) => Err(TransportError::Closed),
            Err(TransportError::WebSocket(error)) => Err(TransportError::NoWebSocket {
                error,
                issuer: self.socket.issuer().unwrap_or_else(|| UNNAMED.into()),
            }),
            Err(error) => Err(error),
        }
    }

    /// Sends what the session has, until the socket would have to wait.
    pub fn write(&mut self, session: &mut Session, now: Moment) -> Result<(), TransportError> {
        let has_sent = match &mut self.framing {
            Some(framing) => framing.write(&mut self.socket, session)?,
            None => self.socket.write(session.output())?,
        };
        if has_sent {
            let all = self.is_flushed(session);
            session.sent(all, now);
            self.limit_unacknowledged(session)?;
        }
        Ok(())
    }

    /// Whether only few bytes are on their way to the hub, and nothing large of other connections is before them.
    pub fn has_few_unanswered(&self) -> bool {
        self.socket.unanswered_bytes() <= FEW_BYTES && !self.uplink.is_busy()
    }

    /// Not while a Message is on its way: what the hub says meanwhile does not tell how much of it has left.
    fn limit_unacknowledged(&mut self, session: &Session) -> Result<(), TransportError> {
        let is_impatient = self.has_few_unanswered() && session.in_flight().oldest_sent().is_none();
        if is_impatient != self.is_impatient {
            self.is_impatient = is_impatient;
            let limit = is_impatient.then_some(FEW_UNACKNOWLEDGED_LIMIT);
            self.socket.limit_unacknowledged(limit)?;
        }
        Ok(())
    }

    /// Whether everything that the session wrote is with the kernel.
    pub fn is_flushed(&mut self, session: &mut Session) -> bool {
        let is_framed = self.framing.as_mut().is_none_or(Framing::is_flushed);
        session.output().is_empty() && is_framed && self.socket.is_flushed()
    }

    /// Says goodbye, the WebSocket's and that of TLS, behind what was written before.
    pub fn say_goodbye(&mut self) -> io::Result<()> {
        if let Some(framing) = &mut self.framing {
            framing.close(&mut self.socket)?;
        }
        self.socket.close_notify();
        Ok(())
    }

    /// Takes the socket out of the poller, before it is closed.
    pub fn deregister(&mut self, registry: &Registry) {
        if let Err(error) = self.socket.deregister(registry) {
            log::debug!("cannot deregister a socket: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::clock::SystemClock;
    use crate::identity::HubDeviceId;
    use crate::link::in_flight::InFlight;
    use crate::link::session::Login;
    use crate::net::trust::Trust;
    use crate::secret::Secret;

    fn session() -> Session {
        let login = Login {
            device: HubDeviceId {
                workspace_id: "w".to_owned(),
                device_id: "d".to_owned(),
            },
            hub_host_name: "hub.example".to_owned(),
            sas: Secret::new("SharedAccessSignature sr=x&sig=y&se=1"),
            keep_alive: Duration::from_secs(120),
            cloud_messages: false,
            methods: false,
        };
        let Ok(session) = Session::new(login, InFlight::default(), Moment::START) else {
            panic!("a session");
        };
        session
    }

    #[test]
    fn behind_an_upload_in_a_modems_queue_a_few_bytes_may_wait_as_long_as_many() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let trust = Trust::load(None, Arc::new(SystemClock)).unwrap();
        let uplink = Arc::<Uplink>::default();
        let socket = Socket {
            tcp,
            name: ServerName::try_from("hub.example").unwrap(),
            tls: trust.rustls(),
            framing: None,
            uplink: Arc::clone(&uplink),
        };
        let poll = mio::Poll::new().unwrap();
        let mut transport = Transport::new(socket, poll.registry(), Token(0)).unwrap();
        let session = session();
        let mut is_impatient = || {
            transport.limit_unacknowledged(&session).unwrap();
            assert_eq!(transport.has_few_unanswered(), transport.is_impatient);
            transport.is_impatient
        };
        assert!(is_impatient());
        let upload = uplink.begin_transfer();
        assert!(!is_impatient());
        drop(upload);
        assert!(is_impatient());
    }
}
