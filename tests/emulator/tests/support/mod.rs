//! A device in its barest form: HTTP calls, and MQTT packets over blocking TLS.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod socket;
pub mod upload;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{
    Connect, Packet, PubAck, Publish, Subscribe, SubscribeReasonCode, Unsubscribe,
};
use rumqttc::mqttbytes::{Error as CodecError, QoS};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use spotflow_emulator::Platform;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Ends a wait that a fault in the emulator made endless.
pub const DEADLINE: Duration = Duration::from_secs(20);
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// An answer over HTTP.
pub struct Answer {
    pub status: u16,
    pub date: Option<String>,
    pub content_type: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

fn agent(platform: &Platform) -> ureq::Agent {
    let certificate = Certificate::from_pem(platform.ca_certificate_pem().as_bytes()).unwrap();
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(vec![certificate])))
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(DEADLINE))
        .build()
        .into()
}

/// Calls the Platform; `path` begins with `/`, or is a URL.
pub fn call(
    platform: &Platform,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let url = if path.starts_with('/') {
        format!("https://{}{path}", platform.instance())
    } else {
        path.to_owned()
    };
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent(platform).run(request.body(body).unwrap()).unwrap();
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    Answer {
        status: response.status().as_u16(),
        date: header("date"),
        content_type: header("content-type").unwrap_or_default(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

/// An API call with a device token.
pub fn api(platform: &Platform, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let authorization = format!("DeviceToken {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    call(
        platform,
        method,
        path,
        &headers,
        body.to_string().as_bytes(),
    )
}

/// Init and complete against a Platform that approves by itself; returns the Registration Token.
pub fn provision(platform: &Platform, device_id: &str) -> String {
    let token = platform.provisioning_token();
    let operation = api(
        platform,
        "POST",
        "/provisioning-operations/init",
        &token,
        &json!({ "deviceId": device_id }),
    );
    assert_eq!(operation.status, 200, "{}", operation.body);
    let id = &operation.json()["provisioningOperationId"];
    let complete = json!({ "provisioningOperationId": id });
    let answer = api(
        platform,
        "PUT",
        "/provisioning-operations/complete",
        &token,
        &complete,
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["registrationToken"]
        .as_str()
        .unwrap()
        .to_owned()
}

pub fn register(platform: &Platform, registration_token: &str) -> Answer {
    let body = json!({ "connectionStringType": "SharedAccessSignature" });
    api(
        platform,
        "PUT",
        "/devices/register",
        registration_token,
        &body,
    )
}

/// What a device needs for the hub.
#[derive(Clone)]
pub struct Credentials {
    pub hub_host: String,
    pub hub_id: String,
    pub sas: String,
}

impl Credentials {
    pub fn parse(registration: &Value) -> Self {
        let string = registration["connectionString"].as_str().unwrap();
        let part = |name: &str| {
            let found = string
                .split(';')
                .find_map(|part| part.split_once('=').filter(|(key, _)| *key == name));
            found.unwrap().1.to_owned()
        };
        Self {
            hub_host: part("HostName"),
            hub_id: part("DeviceId"),
            sas: part("SharedAccessSignature"),
        }
    }

    pub fn connect(&self) -> Connect {
        let mut connect = Connect::new(&self.hub_id);
        connect.keep_alive = 300;
        connect.clean_session = false;
        let user = format!("{}/{}/?api-version=2018-06-30", self.hub_host, self.hub_id);
        connect.set_login(user, &self.sas);
        connect
    }

    pub fn events(&self, bag: &str) -> String {
        format!("devices/{}/messages/events/{bag}", self.hub_id)
    }
}

/// A provisioned and registered device.
pub fn device(platform: &Platform, device_id: &str) -> Credentials {
    let registration = register(platform, &provision(platform, device_id));
    assert_eq!(registration.status, 200, "{}", registration.body);
    Credentials::parse(&registration.json())
}

/// An MQTT connection.
pub struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: BytesMut,
}

impl Client {
    /// TCP and TLS, nothing sent yet.
    pub fn open(platform: &Platform, host: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(platform.ca_certificate_pem().as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = host.rsplit_once(':').unwrap().0.to_owned();
        let tcp = TcpStream::connect(host)?;
        tcp.set_read_timeout(Some(DEADLINE))?;
        tcp.set_nodelay(true)?;
        let tls =
            ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
        Ok(Self {
            stream: StreamOwned::new(tls, tcp),
            buffer: BytesMut::new(),
        })
    }

    /// The bare stream, for what is no MQTT.
    pub fn into_stream(self) -> StreamOwned<ClientConnection, TcpStream> {
        self.stream
    }

    /// Connects as the device does; returns whether the session was present.
    pub fn connect(platform: &Platform, credentials: &Credentials) -> (Self, bool) {
        let (client, code, session_present) = Self::connect_with(platform, credentials.connect());
        assert_eq!(code, 0, "CONNACK code");
        (client, session_present)
    }

    /// Connects with that packet; returns the code and whether the session was present.
    pub fn connect_with(platform: &Platform, connect: Connect) -> (Self, u8, bool) {
        let mut client = Self::open(platform, &platform.hub_host_name()).unwrap();
        client.send(&Packet::Connect(connect));
        let (code, session_present) = client.connack();
        (client, code, session_present)
    }

    /// The raw CONNACK: return code and session present.
    pub fn connack(&mut self) -> (u8, bool) {
        let bytes = self.read_exactly(4);
        assert_eq!(bytes[..2], [0x20, 2], "a CONNACK");
        (bytes[3], bytes[2] == 1)
    }

    pub fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, PACKET_BYTES_MAX).unwrap();
        self.send_bytes(&bytes).unwrap();
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    pub fn publish(&mut self, topic: &str, packet_id: u16, payload: &[u8]) {
        self.send(&Packet::Publish(publish(topic, packet_id, payload)));
    }

    /// Publishes and waits for the acknowledgement.
    pub fn deliver(&mut self, topic: &str, packet_id: u16, payload: &[u8]) {
        self.publish(topic, packet_id, payload);
        self.expect_ack(packet_id);
    }

    pub fn expect_ack(&mut self, packet_id: u16) {
        assert_eq!(self.receive(), Packet::PubAck(PubAck::new(packet_id)));
    }

    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> SubscribeReasonCode {
        let mut subscribe = Subscribe::new(filter, qos);
        subscribe.pkid = 60_000;
        self.send(&Packet::Subscribe(subscribe));
        match self.receive() {
            Packet::SubAck(ack) => ack.return_codes[0],
            other => panic!("SUBACK expected, got {other:?}"),
        }
    }

    pub fn unsubscribe(&mut self, filter: &str) {
        let mut unsubscribe = Unsubscribe::new(filter);
        unsubscribe.pkid = 60_001;
        self.send(&Packet::Unsubscribe(unsubscribe));
        assert!(matches!(self.receive(), Packet::UnsubAck(_)));
    }

    /// The next packet; panics at the end of the connection or of patience.
    pub fn receive(&mut self) -> Packet {
        self.next()
            .unwrap_or_else(|error| panic!("a packet expected: {error}"))
    }

    pub fn receive_publish(&mut self) -> Publish {
        match self.receive() {
            Packet::Publish(publish) => publish,
            other => panic!("PUBLISH expected, got {other:?}"),
        }
    }

    /// Reads on until such a packet came.
    pub fn until(&mut self, wanted: impl Fn(&Packet) -> bool) {
        while !wanted(&self.receive()) {}
    }

    /// Like `unsubscribe`, where other packets may come first.
    pub fn unsubscribe_among_others(&mut self, filter: &str) {
        let mut unsubscribe = Unsubscribe::new(filter);
        unsubscribe.pkid = 60_001;
        self.send(&Packet::Unsubscribe(unsubscribe));
        self.until(|packet| matches!(packet, Packet::UnsubAck(_)));
    }

    /// Reads on until the connection ends; returns the packets that came before.
    pub fn until_closed(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.next() {
                Ok(packet) => packets.push(packet),
                Err(error) => {
                    let patience = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
                    assert!(
                        !patience.contains(&error.kind()),
                        "the connection does not end"
                    );
                    return packets;
                }
            }
        }
    }

    /// Whether nothing comes for a while, and the connection stays open.
    pub fn stays_silent(&mut self, a_while: Duration) -> bool {
        self.stream.sock.set_read_timeout(Some(a_while)).unwrap();
        let result = self.next();
        self.stream.sock.set_read_timeout(Some(DEADLINE)).unwrap();
        let patience = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        result.is_err_and(|error| patience.contains(&error.kind()))
    }

    /// Waits for a packet and reads on as long as the buffer holds whole ones; returns how many there were.
    pub fn receive_available(&mut self) -> u64 {
        self.receive();
        let mut received = 1;
        while Packet::read(&mut self.buffer, PACKET_BYTES_MAX).is_ok() {
            received += 1;
        }
        received
    }

    fn next(&mut self) -> io::Result<Packet> {
        loop {
            match Packet::read(&mut self.buffer, PACKET_BYTES_MAX) {
                Ok(packet) => return Ok(packet),
                Err(CodecError::InsufficientBytes(_)) => {}
                Err(error) => panic!("not MQTT: {error}"),
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.buffer.extend_from_slice(&bytes[..read]),
            }
        }
    }
}

pub fn publish(topic: &str, packet_id: u16, payload: &[u8]) -> Publish {
    let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
    publish.pkid = packet_id;
    publish
}
