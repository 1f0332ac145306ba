use spotflow_fuzz::fuzz;

use super::*;

fn request() -> Request<'static> {
    Request {
        authority: "relay.example:8443",
        path: "/tunnel?sig=secret",
        protocol: Some("mqtt"),
        headers: &[("traceparent", "00-1-2-01")],
    }
}

fn answer(request: &[u8], status: &str) -> String {
    let request = String::from_utf8(request.to_vec()).unwrap();
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// What came, with the pieces of payload put together.
fn receive(
    socket: &mut WebSocket,
    bytes: &[u8],
) -> Result<(Vec<u8>, Vec<&'static str>), WebSocketError> {
    let (mut data, mut events) = (Vec::new(), Vec::new());
    socket.receive(bytes, |event| -> Result<(), WebSocketError> {
        match event {
            Event::Open => events.push("open"),
            Event::Data(piece) => data.extend_from_slice(piece),
            Event::Closed => events.push("closed"),
        }
        Ok(())
    })?;
    Ok((data, events))
}

fn open() -> WebSocket {
    let mut socket = WebSocket::new(&request()).unwrap();
    let answer = answer(&socket.output().split(), "101 Switching Protocols");
    let came = receive(&mut socket, answer.as_bytes()).unwrap();
    assert_eq!(came, (vec![], vec!["open"]));
    socket
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(length as u8),
        length @ 126..0x1_0000 => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

/// The frames in the output as a server reads them: first byte and payload.
fn sent(socket: &mut WebSocket) -> Vec<(u8, Vec<u8>)> {
    let output = socket.output().split();
    let mut cursor = Cursor::new(&output[..]);
    let mut frames = Vec::new();
    while (cursor.position() as usize) < output.len() {
        let first = output[cursor.position() as usize];
        let (head, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        let begin = cursor.position() as usize;
        let masked = &output[begin..begin + length as usize];
        let mask = head.mask.expect("a client masks");
        let payload = masked
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask);
        frames.push((first, payload.collect()));
        cursor.set_position((begin + length as usize) as u64);
    }
    frames
}

#[test]
fn the_request_names_what_is_asked_for() {
    let mut socket = WebSocket::new(&request()).unwrap();
    let text = String::from_utf8(socket.output().to_vec()).unwrap();
    assert!(
        text.starts_with("GET /tunnel?sig=secret HTTP/1.1\r\n"),
        "{text}"
    );
    for line in [
        "Host: relay.example:8443",
        "Sec-WebSocket-Protocol: mqtt",
        "traceparent: 00-1-2-01",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line}: {text}");
    }
    assert!(!socket.is_open());
}

#[test]
fn a_refusal_says_its_status_and_what_is_no_websocket_is_an_error() {
    let mut socket = WebSocket::new(&request()).unwrap();
    let refused = answer(&socket.output().split(), "503 Service Unavailable");
    let error = receive(&mut socket, refused.as_bytes()).unwrap_err();
    assert!(
        matches!(error, WebSocketError::Refused { status: 503, .. }),
        "{error}"
    );
    for answer in [
        "HTTP/1.1 101 Switching\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "\0\r\n\r\n",
        &"x".repeat(70_000),
    ] {
        let mut socket = WebSocket::new(&request()).unwrap();
        let error = receive(&mut socket, answer.as_bytes()).unwrap_err();
        assert!(matches!(error, WebSocketError::NoWebSocket), "{error}");
    }
}

#[test]
fn an_address_that_is_none_is_an_error_that_does_not_repeat_it() {
    for path in ["/a b?secret", "secret", "/\nsecret"] {
        let asked = Request { path, ..request() };
        let error = WebSocket::new(&asked).err().expect(path);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn payload_comes_through_however_it_is_cut_into_frames_and_reads() {
    fuzz("WebSocket frames", |choices| {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..choices.below(6) {
            let pieces = 1 + choices.below(3);
            for piece in 0..pieces {
                let length = if choices.one_in(100) {
                    choices.pick(&[4_096, 65_535, 65_536])
                } else {
                    choices.pick(&[0, 1, 125, 126, 127])
                };
                let payload: Vec<u8> = (0..length).map(|i| (i * 7 + piece) as u8).collect();
                let first =
                    if piece == 0 { 2 } else { 0 } | if piece + 1 == pieces { 0x80 } else { 0 };
                bytes.extend(frame(first, &payload));
                expected.extend(payload);
                // Control frames may come within a message.
                if choices.bool() {
                    bytes.extend(frame(0x8a, b"pong"));
                }
            }
        }
        bytes.extend(frame(0x88, &[]));
        let mut socket = open();
        let (mut data, mut events) = (Vec::new(), Vec::new());
        for piece in choices.split(&bytes) {
            let came = receive(&mut socket, piece).unwrap();
            data.extend(came.0);
            events.extend(came.1);
        }
        assert!(
            data == expected,
            "{} of {} bytes",
            data.len(),
            expected.len()
        );
        assert_eq!(events, ["closed"]);
    });
}

#[test]
fn memory_does_not_grow_with_a_frame() {
    let mut socket = open();
    let huge = frame(0x82, &vec![1; 8 << 20]);
    for piece in huge.chunks(16 << 10) {
        receive(&mut socket, piece).unwrap();
        assert!(
            socket.input.capacity() < 64 << 10,
            "{}",
            socket.input.capacity()
        );
    }
}

#[test]
fn a_ping_is_answered_and_a_close_is_told_but_not_answered() {
    let mut socket = open();
    receive(&mut socket, &frame(0x89, b"are you there")).unwrap();
    assert_eq!(sent(&mut socket), [(0x8a, b"are you there".to_vec())]);
    assert_eq!(
        receive(&mut socket, &frame(0x88, &[3, 232])).unwrap().1,
        ["closed"]
    );
    // The other direction is still open.
    socket.write(b"still");
    socket.close();
    socket.close();
    socket.write(b"not this");
    assert_eq!(
        sent(&mut socket),
        [(0x82, b"still".to_vec()), (0x88, vec![3, 232])]
    );
}

#[test]
fn a_peer_that_asks_and_takes_no_answer_costs_no_memory() {
    let mut socket = open();
    let pings = frame(0x89, b"are you there?").repeat(100_000);
    receive(&mut socket, &pings).unwrap();
    assert!(socket.output().len() < 2 * UNTAKEN_BYTES_MAX);
    socket.output().clear();
    receive(&mut socket, &frame(0x89, b"again")).unwrap();
    assert_eq!(sent(&mut socket), [(0x8a, b"again".to_vec())]);
}

#[test]
fn what_is_written_is_masked_binary_frames_of_any_size() {
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let mut socket = open();
        let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
        socket.write(&payload);
        assert_eq!(sent(&mut socket), [(0x82, payload)]);
    }
    let mut socket = open();
    socket.write(&[0; 64]);
    let bytes = socket.output().to_vec();
    assert_ne!(
        bytes[6..],
        [0; 64],
        "a mask of zeroes is one in four thousand million"
    );
}

#[test]
fn frames_as_no_server_may_send_them_end_it() {
    let masked = {
        let mut bytes = frame(0x82, b"1234");
        bytes[1] |= 0x80;
        bytes
    };
    let begun = [frame(0x02, b"a"), frame(0x82, b"b")].concat();
    let behind = [frame(0x88, &[]), frame(0x82, b"b")].concat();
    for bytes in [
        masked,
        begun,
        behind,
        frame(0x81, b"text"),
        frame(0x80, b"the rest of nothing"),
        frame(0xc2, b"rsv"),
        frame(0x83, b"reserved"),
        frame(0x8b, b"reserved"),
        frame(0x09, b"a ping in pieces"),
        frame(0x89, &[0; 126]),
    ] {
        let error = receive(&mut open(), &bytes).unwrap_err();
        assert!(
            matches!(error, WebSocketError::Unexpected(_)),
            "{error}: {bytes:?}"
        );
    }
}

#[test]
fn damaged_frames_never_panic() {
    fuzz("WebSocket bytes", |choices| {
        let mut bytes = [frame(0x02, b"ab"), frame(0x89, b"c"), frame(0x80, b"d")].concat();
        choices.damage(&mut bytes);
        // Whether it is an error is up to the damage.
        drop(receive(&mut open(), &bytes));
    });
}
