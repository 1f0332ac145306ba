//! Ways to the Platform are blocked, each by itself.

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use rumqttc::mqttbytes::v4::Packet;
use spotflow_emulator::{Blockage, Platform, Route, Way};
use support::socket::Socket;
use support::{Client, Credentials, DEADLINE, call, device};

const A_WHILE: Duration = Duration::from_millis(100);

fn websocket(platform: &Platform) -> Result<Socket, u16> {
    let uri = format!(
        "wss://{}/$iothub/websocket?iothub-no-client-cert=true",
        platform.hub_host_name()
    );
    Socket::open(platform, &uri, &[("sec-websocket-protocol", "mqtt")])
}

/// What a device hears after its CONNECT, until `A_WHILE` is over or the end.
fn heard(platform: &Platform, credentials: &Credentials) -> Vec<u8> {
    let mut client = Client::open(platform, &platform.hub_host_name()).unwrap();
    client.send(&Packet::Connect(credentials.connect()));
    let mut stream = client.into_stream();
    stream.sock.set_read_timeout(Some(A_WHILE)).unwrap();
    let mut heard = Vec::new();
    let mut piece = [0; 100];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        heard.extend_from_slice(&piece[..read]);
    }
    heard
}

fn times_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn mqtt_on_a_shared_port_is_blocked_and_the_rest_is_not() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    for (blockage, answer) in [
        (Blockage::Refused, ""),
        (Blockage::Silent, ""),
        (Blockage::Cut, ""),
        (Blockage::Foreign, "HTTP/1.1 400 "),
    ] {
        platform.block(Way::Mqtt, blockage).unwrap();
        let heard = heard(&platform, &credentials);
        assert!(heard.starts_with(answer.as_bytes()), "{blockage:?}");
        assert_eq!(heard.is_empty(), answer.is_empty(), "{blockage:?}");
        assert!(websocket(&platform).is_ok(), "{blockage:?}");
    }
    assert_eq!(platform.connection_count(), 0);
    platform.unblock(Way::Mqtt).unwrap();
    Client::connect(&platform, &credentials);
}

#[test]
fn what_was_taken_in_silence_goes_on_after_it() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    platform.block(Way::Mqtt, Blockage::Silent).unwrap();
    let mut client = Client::open(&platform, &platform.hub_host_name()).unwrap();
    client.send(&Packet::Connect(credentials.connect()));
    assert!(client.stays_silent(A_WHILE));
    platform.unblock(Way::Mqtt).unwrap();
    assert_eq!(client.connack().0, 0);
}

#[test]
fn websockets_are_blocked_and_the_rest_is_not() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let open = || websocket(&platform).err();
    platform.block(Way::WebSocket, Blockage::Refused).unwrap();
    assert_eq!(open(), Some(403));
    platform.block(Way::WebSocket, Blockage::Foreign).unwrap();
    assert_eq!(open(), Some(200));
    platform.block(Way::WebSocket, Blockage::Cut).unwrap();
    let client = Client::open(&platform, &platform.hub_host_name()).unwrap();
    let mut stream = client.into_stream();
    stream
        .write_all(b"GET /$iothub/websocket HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let end = stream.read_to_end(&mut Vec::new());
    assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    Client::connect(&platform, &credentials);
    assert_eq!(call(&platform, "GET", "/", &[], b"").status, 404);

    platform.block(Way::WebSocket, Blockage::Silent).unwrap();
    let seen = platform.http_request_count(Route::HubWebSocket);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| websocket(&platform).err());
        platform
            .wait_for_request(Route::HubWebSocket, seen + 1, DEADLINE)
            .unwrap();
        assert!(!waiting.is_finished());
        platform.unblock(Way::WebSocket).unwrap();
        assert_eq!(waiting.join().unwrap(), None);
    });
}

#[test]
fn a_shared_port_is_blocked_as_a_whole() {
    let platform = Platform::start().unwrap();
    let instance = platform.instance();
    platform.block(Way::Https, Blockage::Refused).unwrap();
    assert!(TcpStream::connect(&instance).is_err());
    platform.block(Way::Https, Blockage::Foreign).unwrap();
    let mut plain = TcpStream::connect(&instance).unwrap();
    plain.set_read_timeout(Some(DEADLINE)).unwrap();
    plain.write_all(b"anything").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    platform.unblock(Way::Https).unwrap();
    device(&platform, "dev-1");
}

#[test]
fn the_hubs_own_port_is_blocked_before_tls() {
    let address = Ipv4Addr::new(127, 88, 3, 3);
    if TcpListener::bind((address, 443)).is_err() {
        eprintln!("skipped: it takes the right to listen on port 443");
        return;
    }
    let platform = Platform::builder()
        .bind(address)
        .standard_ports(true)
        .start()
        .unwrap();
    let port = format!("{}:8883", platform.hub_host_name());
    let connect = || {
        let tcp = TcpStream::connect(&port)?;
        tcp.set_read_timeout(Some(A_WHILE))?;
        Ok::<_, io::Error>(tcp)
    };
    // What a device hears after it began to speak TLS.
    let heard = || {
        let mut tcp = connect()?;
        tcp.write_all(&[0x16, 3, 1])?;
        let mut heard = Vec::new();
        tcp.read_to_end(&mut heard).map(|_| heard)
    };
    platform.block(Way::Mqtt, Blockage::Refused).unwrap();
    assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    platform.block(Way::Mqtt, Blockage::Silent).unwrap();
    assert!(times_out(&heard().unwrap_err()));
    platform.block(Way::Mqtt, Blockage::Cut).unwrap();
    assert_eq!(heard().unwrap(), b"");
    platform.block(Way::Mqtt, Blockage::Foreign).unwrap();
    let answer = {
        let mut tcp = connect().unwrap();
        tcp.write_all(&[0x16, 3, 1]).unwrap();
        let mut answer = [0; 12];
        tcp.read_exact(&mut answer).unwrap();
        answer
    };
    assert_eq!(&answer, b"HTTP/1.1 400");

    let credentials = device(&platform, "dev-1");
    assert!(websocket(&platform).is_ok(), "the port 443 works on");
    platform.unblock(Way::Mqtt).unwrap();
    platform.block(Way::Https, Blockage::Refused).unwrap();
    let mut client = Client::open(&platform, &port).unwrap();
    client.send(&Packet::Connect(credentials.connect()));
    assert_eq!(client.connack().0, 0);
}
