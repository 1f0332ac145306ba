//! Remote access: a technician's connection reaches a port of the device, through the relay.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Packet;
use serde_json::{Value, json};
use spotflow_emulator::{MethodOutcome, Platform, RelayFault, Route, Tunnel};
use support::socket::{BINARY, CLOSE, CONTINUE, PING, PONG, Socket, TEXT};
use support::{Client, DEADLINE, device};
use tungstenite::protocol::frame::coding::OpCode;

const NORMAL: &[u8] = &1000u16.to_be_bytes();

struct Stage {
    platform: Platform,
    client: Client,
    local: SocketAddr,
}

/// What the device was asked for.
struct Request {
    rid: String,
    payload: Value,
}

impl Request {
    fn text(&self, name: &str) -> &str {
        self.payload[name].as_str().unwrap()
    }
}

impl Stage {
    fn new() -> Self {
        let platform = Platform::start().unwrap();
        let credentials = device(&platform, "dev-1");
        let (mut client, _) = Client::connect(&platform, &credentials);
        client.subscribe("$iothub/methods/POST/#", QoS::AtMostOnce);
        let local = platform.forward(0, "dev-1", 22).unwrap();
        Self {
            platform,
            client,
            local,
        }
    }

    fn technician(&self) -> TcpStream {
        let technician = TcpStream::connect(self.local).unwrap();
        technician.set_read_timeout(Some(DEADLINE)).unwrap();
        technician
    }

    fn request(&mut self) -> Request {
        let call = self.client.receive_publish();
        let rid = call
            .topic
            .strip_prefix("$iothub/methods/POST/!remote-access/?$rid=");
        Request {
            rid: rid.unwrap().to_owned(),
            payload: serde_json::from_slice(&call.payload).unwrap(),
        }
    }

    fn answer(&mut self, request: &Request, status: u16, body: &str) {
        let topic = format!("$iothub/methods/res/{status}/?$rid={}", request.rid);
        self.client.publish(&topic, 1, body.as_bytes());
        self.client
            .until(|packet| matches!(packet, Packet::PubAck(_)));
    }

    fn connect(&self, request: &Request) -> Result<Socket, u16> {
        let headers = [("traceparent", request.text("traceparentHeader"))];
        Socket::open(&self.platform, request.text("tunnelSecureUri"), &headers)
    }

    /// An open tunnel: the technician's end and the device's.
    fn tunnel(&mut self) -> (TcpStream, Socket) {
        let technician = self.technician();
        let request = self.request();
        let socket = self.connect(&request).unwrap();
        self.answer(&request, 200, "");
        (technician, socket)
    }

    fn broken_tunnel(fault: RelayFault) -> (Self, TcpStream, Socket) {
        let mut stage = Self::new();
        stage.platform.break_relay(fault);
        let (technician, socket) = stage.tunnel();
        (stage, technician, socket)
    }

    /// The only tunnel, once it has ended.
    fn ended(&self) -> Tunnel {
        let ended = |tunnels: &[Tunnel]| tunnels.iter().all(|tunnel| tunnel.end.is_some());
        let tunnels = self.platform.wait_for_tunnels(ended, DEADLINE).unwrap();
        tunnels.last().unwrap().clone()
    }

    fn end_reason(&self) -> String {
        self.ended().end.unwrap().1
    }
}

fn read_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    stream.read_exact(&mut content).unwrap();
    content
}

/// The end of a connection that is no end in order.
fn assert_reset(technician: &mut TcpStream) {
    let end = technician.read_to_end(&mut Vec::new());
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn bytes_go_both_ways_and_are_counted() {
    let mut stage = Stage::new();
    let mut technician = stage.technician();
    let request = stage.request();
    assert_eq!(request.payload["port"], 22);
    let mut socket = stage.connect(&request).unwrap();
    stage.answer(&request, 200, "");

    technician.write_all(b"to the device").unwrap();
    assert_eq!(socket.receive_content(13), b"to the device");
    socket.send(BINARY, b"to ");
    socket.send_piece(BINARY, b"the ", false);
    socket.send_piece(CONTINUE, b"technician", true);
    assert_eq!(read_exactly(&mut technician, 17), b"to the technician");
    socket.send(PING, b"alive?");
    assert_eq!(socket.receive(), (PONG, b"alive?".to_vec()));

    drop(technician);
    assert_eq!(socket.receive(), (CLOSE, NORMAL.to_vec()));
    socket.send(CLOSE, &1001u16.to_be_bytes());
    assert!(socket.next().is_err());
    let tunnel = stage.ended();
    assert_eq!(tunnel.id, request.text("tunnelId"));
    assert_eq!((tunnel.device.as_str(), tunnel.port), ("dev-1", 22));
    assert_eq!(
        (tunnel.status, tunnel.answer.as_deref()),
        (Some(200), Some(""))
    );
    assert_eq!(tunnel.traceparent_header, Some(tunnel.traceparent));
    assert_eq!((tunnel.bytes_to_device, tunnel.bytes_from_device), (13, 17));
    assert_eq!((tunnel.frames_from_device, tunnel.frame_bytes_max), (3, 10));
    assert_eq!(
        (tunnel.pings_from_device, tunnel.close_code),
        (1, Some(1001))
    );
    assert_eq!(tunnel.end.unwrap().1, "closed");
    assert_eq!(stage.platform.http_request_count(Route::Tunnel), 1);
}

#[test]
fn each_direction_ends_by_itself() {
    let mut stage = Stage::new();
    let (mut technician, mut socket) = stage.tunnel();
    technician.write_all(b"question").unwrap();
    technician.shutdown(Shutdown::Write).unwrap();
    assert_eq!(socket.receive_content(8), b"question");
    assert_eq!(socket.receive(), (CLOSE, NORMAL.to_vec()));
    socket.send(BINARY, b"answer after the close frame");
    assert_eq!(
        read_exactly(&mut technician, 28),
        b"answer after the close frame"
    );
    socket.send(CLOSE, b"");
    assert_eq!(technician.read(&mut [0]).unwrap(), 0);
    assert_eq!(stage.ended().close_code, Some(1005));

    let (mut technician, mut socket) = stage.tunnel();
    socket.send(BINARY, b"greeting");
    socket.send(CLOSE, NORMAL);
    assert_eq!(read_exactly(&mut technician, 8), b"greeting");
    assert_eq!(technician.read(&mut [0]).unwrap(), 0);
    technician.write_all(b"said after that").unwrap();
    assert_eq!(socket.receive_content(15), b"said after that");
    technician.shutdown(Shutdown::Write).unwrap();
    assert_eq!(socket.receive(), (CLOSE, NORMAL.to_vec()));
    assert_eq!(stage.end_reason(), "closed");
}

#[test]
fn much_content_passes_whole_in_both_directions_at_once() {
    let mut stage = Stage::new();
    let (technician, mut socket) = stage.tunnel();
    let content: Vec<u8> = (0..3_000_000u32).map(|i| i.wrapping_mul(i) as u8).collect();
    let (mut writes, mut reads) = (technician.try_clone().unwrap(), technician);
    let sent = content.clone();
    let writer = std::thread::spawn(move || writes.write_all(&sent).unwrap());
    let expected = content.clone();
    let reader = std::thread::spawn(move || {
        assert!(read_exactly(&mut reads, expected.len()) == expected);
        reads
    });
    let mut received = Vec::new();
    for piece in content.chunks(100_000) {
        socket.send(BINARY, piece);
        received.extend(socket.receive_content(50_000));
    }
    received.extend(socket.receive_content(content.len() - received.len()));
    assert!(received == content);
    writer.join().unwrap();
    drop(reader.join().unwrap());
}

#[test]
fn a_device_that_refuses_or_is_away_ends_the_technicians_connection() {
    let mut stage = Stage::new();
    let mut technician = stage.technician();
    let request = stage.request();
    stage.answer(&request, 500, r#"{"detail": "nothing listens there"}"#);
    assert_reset(&mut technician);
    let tunnel = stage.ended();
    assert_eq!(tunnel.status, Some(500));
    assert!(tunnel.end.unwrap().1.contains("nothing listens there"));
    assert_eq!(stage.connect(&request).err(), Some(409), "it has ended");

    stage.client.unsubscribe("$iothub/methods/POST/#");
    assert_reset(&mut stage.technician());
    assert!(stage.end_reason().contains("not connected"));
    let nobody = stage.platform.forward(0, "dev-2", 22).unwrap();
    let mut technician = TcpStream::connect(nobody).unwrap();
    assert_reset(&mut technician);
    assert!(stage.end_reason().contains("no device"));
}

#[test]
fn a_place_at_the_relay_is_for_one_device_that_knows_the_token() {
    let mut stage = Stage::new();
    let _technician = stage.technician();
    let request = stage.request();
    let uri = request.text("tunnelSecureUri");
    assert!(
        stage
            .platform
            .secrets()
            .iter()
            .any(|secret| uri.ends_with(secret))
    );
    let open = |uri: &str| Socket::open(&stage.platform, uri, &[]).err();
    assert_eq!(open(uri.split('?').next().unwrap()), Some(401));
    assert_eq!(open(&format!("{uri}x")), Some(401));
    assert_eq!(
        open(&uri.replace(request.text("tunnelId"), "other")),
        Some(404)
    );
    let plain = support::call(
        &stage.platform,
        "GET",
        &uri.replace("wss:", "https:"),
        &[],
        b"",
    );
    assert_eq!(plain.status, 426);
    let mut socket = stage.connect(&request).unwrap();
    assert_eq!(stage.connect(&request).err(), Some(409));
    stage.answer(&request, 409, "");
    assert!(
        socket.next().is_err(),
        "not wanted after another answer than 200"
    );
}

#[test]
fn forwardings_are_listed_and_end() {
    let stage = Stage::new();
    let local = stage.local;
    assert_eq!(
        stage.platform.forwardings(),
        [(local, "dev-1".to_owned(), 22)]
    );
    assert!(
        stage.platform.forward(local.port(), "dev-1", 80).is_err(),
        "it is taken"
    );
    assert!(stage.platform.stop_forwarding(local.port()));
    assert!(!stage.platform.stop_forwarding(local.port()));
    assert!(TcpStream::connect(local).is_err());
    assert_eq!(
        stage.platform.forward(local.port(), "dev-1", 80).unwrap(),
        local
    );
    stage.platform.stop();
    assert!(TcpStream::connect(local).is_err());
    assert!(stage.platform.forward(0, "dev-1", 80).is_err());
}

#[test]
fn a_device_that_breaks_off_or_talks_nonsense_ends_the_tunnel() {
    type Offence = fn(&mut Socket);
    let offences: [(Offence, &str); 4] = [
        (|socket| socket.send(TEXT, b"text"), "text frame"),
        (|socket| socket.send_bytes(&[0xff; 16]), "Reserved bits"),
        (|socket| socket.send_bytes(&[0x82]), "without a close frame"),
        (|_| {}, "without a close frame"),
    ];
    for (offence, told) in offences {
        let mut stage = Stage::new();
        let (mut technician, mut socket) = stage.tunnel();
        offence(&mut socket);
        drop(socket);
        assert_reset(&mut technician);
        let reason = stage.end_reason();
        assert!(reason.contains(told), "{reason}");
    }
}

#[test]
fn what_comes_before_the_websocket_is_broken_as_other_calls_are() {
    let mut stage = Stage::new();
    let _technician = stage.technician();
    let request = stage.request();
    for status in [401, 503] {
        stage.platform.http_status(Route::Tunnel, status, None, 1);
        assert_eq!(stage.connect(&request).err(), Some(status));
    }
    assert!(stage.connect(&request).is_ok(), "its place is still free");
}

#[test]
fn content_comes_in_frames_of_other_kinds() {
    let frames = |fault: RelayFault, length: usize| {
        let (_stage, mut technician, mut socket) = Stage::broken_tunnel(fault);
        technician.write_all(&vec![b'x'; length]).unwrap();
        technician.shutdown(Shutdown::Write).unwrap();
        let mut frames = Vec::new();
        loop {
            let frame = socket.next().unwrap();
            let header = frame.header().clone();
            if header.opcode == CLOSE {
                return frames;
            }
            let masked = header.mask.is_some();
            let seen: (OpCode, bool, bool, usize) = (
                header.opcode,
                header.is_final,
                masked,
                frame.payload().len(),
            );
            frames.push(seen);
        }
    };
    assert_eq!(frames(RelayFault::None, 10), [(BINARY, true, false, 10)]);
    assert_eq!(
        frames(RelayFault::TextFrames, 10),
        [(TEXT, true, false, 10)]
    );
    assert_eq!(
        frames(RelayFault::Fragments(4), 10),
        [
            (BINARY, false, false, 4),
            (CONTINUE, false, false, 4),
            (CONTINUE, true, false, 2)
        ]
    );
    assert_eq!(
        frames(RelayFault::LargeFrames(1_000_000), 2_000_001),
        [
            (BINARY, true, false, 1_000_000),
            (BINARY, true, false, 1_000_000),
            (BINARY, true, false, 1)
        ]
    );
}

#[test]
fn frames_are_masked_or_none_at_all() {
    let (_stage, mut technician, mut socket) = Stage::broken_tunnel(RelayFault::MaskedFrames);
    technician.write_all(b"hello").unwrap();
    let mut head = [0; 6];
    socket.stream().read_exact(&mut head).unwrap();
    assert_eq!(head[..2], [0x82, 0x80 | 5]);

    let (_stage, _technician, mut socket) = Stage::broken_tunnel(RelayFault::Garbage);
    assert!(matches!(
        socket.next(),
        Err(tungstenite::Error::Protocol(_))
    ));

    let announced = RelayFault::EndlessFrame(1 << 62);
    let (_stage, mut technician, mut socket) = Stage::broken_tunnel(announced);
    technician.write_all(b"content").unwrap();
    let mut bytes = [0; 17];
    socket.stream().read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..10], [0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[10..], *b"content");
}

#[test]
fn the_relay_closes_and_cuts_as_told() {
    let (stage, mut technician, mut socket) = Stage::broken_tunnel(RelayFault::CloseWith(1011));
    assert_eq!(socket.receive(), (CLOSE, 1011u16.to_be_bytes().to_vec()));
    assert!(socket.next().is_err());
    assert_reset(&mut technician);
    assert_eq!(stage.end_reason(), "told to close with 1011");

    let (stage, mut technician, mut socket) = Stage::broken_tunnel(RelayFault::CutAfter(8));
    socket.send(BINARY, b"1234");
    assert_eq!(read_exactly(&mut technician, 4), b"1234");
    technician.write_all(b"5678").unwrap();
    assert_eq!(socket.receive_content(4), b"5678");
    assert!(socket.next().is_err());
    assert_reset(&mut technician);
    assert_eq!(stage.end_reason(), "told to cut the connection");
}

#[test]
fn a_stalled_relay_goes_on_once_it_is_mended() {
    let (stage, mut technician, mut socket) = Stage::broken_tunnel(RelayFault::StallAfter(4));
    technician.write_all(b"1234").unwrap();
    assert_eq!(socket.receive_content(4), b"1234");
    technician.write_all(b"5678").unwrap();
    socket.send(PING, b"alive?");
    let patience = Some(Duration::from_millis(100));
    socket.stream().sock.set_read_timeout(patience).unwrap();
    let silent = socket.next().unwrap_err();
    assert!(matches!(silent, tungstenite::Error::Io(_)), "{silent}");
    socket
        .stream()
        .sock
        .set_read_timeout(Some(DEADLINE))
        .unwrap();
    stage.platform.mend_relay();
    let mut seen = [socket.receive(), socket.receive()];
    seen.sort_by_key(|(opcode, _)| *opcode == PONG);
    assert_eq!(
        seen,
        [(BINARY, b"5678".to_vec()), (PONG, b"alive?".to_vec())]
    );
}

#[test]
fn pings_are_left_unanswered_as_told() {
    let (_stage, mut technician, mut socket) = Stage::broken_tunnel(RelayFault::NoPongs);
    socket.send(PING, b"alive?");
    socket.send(BINARY, b"heard");
    assert_eq!(read_exactly(&mut technician, 5), b"heard");
    technician.write_all(b"content").unwrap();
    assert_eq!(socket.receive(), (BINARY, b"content".to_vec()));
}

#[test]
fn the_call_is_one_like_others() {
    let mut stage = Stage::new();
    let (_technician, _socket) = stage.tunnel();
    let open = |tunnels: &[Tunnel]| tunnels.iter().all(Tunnel::is_open);
    let tunnels = stage.platform.wait_for_tunnels(open, DEADLINE).unwrap();
    let [tunnel] = tunnels.try_into().unwrap();
    let again = json!({ "tunnelId": tunnel.id, "port": 22, "tunnelSecureUri": tunnel.uri });
    let number = stage
        .platform
        .begin_method("dev-1", "!remote-access", again.to_string(), DEADLINE)
        .unwrap();
    let request = stage.request();
    assert_eq!(request.text("tunnelId"), tunnel.id);
    stage.answer(&request, 409, "");
    assert_eq!(
        stage
            .platform
            .wait_for_method(number, DEADLINE)
            .unwrap()
            .status,
        409
    );
    let [first, second] = stage.platform.method_calls().try_into().unwrap();
    assert_eq!(
        (first.name, second.name.as_str()),
        ("!remote-access".to_owned(), "!remote-access")
    );
    assert!(matches!(first.outcome, MethodOutcome::Answered { .. }));
}
