//! What goes through a tunnel: whole, both ways, and no faster than it is taken.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use spotflow_emulator::{RelayFault, Tunnel};

use super::{Access, assert_passes, content, read};
use crate::support::{eventually, sender};

#[test]
fn bytes_go_both_ways_and_the_status_shows_it() {
    let access = Access::new();
    let (mut technician, mut service) = access.open();
    assert_passes(&mut technician, &mut service, b"ping");
    assert_passes(&mut service, &mut technician, b"pong!");
    let port = access.service.local_addr().unwrap().port();
    eventually("the status shows it", || {
        let tunnels = access.client.status().tunnels;
        tunnels
            .iter()
            .any(|it| (it.port, it.received_bytes, it.sent_bytes) == (port, 4, 5))
    });
    let tunnel = access.last(Tunnel::is_open);
    assert_eq!(tunnel.answer.as_deref(), Some(""));
    assert_eq!(tunnel.traceparent_header, Some(tunnel.traceparent));
}

#[test]
fn each_direction_ends_by_itself() {
    let access = Access::new();
    let (mut technician, mut service) = access.open();
    technician.write_all(b"the question").unwrap();
    technician.shutdown(Shutdown::Write).unwrap();
    let mut asked = Vec::new();
    service.read_to_end(&mut asked).unwrap();
    assert_eq!(asked, b"the question");
    service.write_all(b"the answer, later").unwrap();
    drop(service);
    let mut answered = Vec::new();
    technician.read_to_end(&mut answered).unwrap();
    assert_eq!(answered, b"the answer, later");
    access.wait_none();

    let (mut technician, mut service) = access.open();
    service.shutdown(Shutdown::Write).unwrap();
    technician.read_to_end(&mut Vec::new()).unwrap();
    assert_passes(&mut technician, &mut service, b"still");
    drop(technician);
    service.read_to_end(&mut Vec::new()).unwrap();
    drop(service);
    access.wait_none();
    assert_eq!(
        access.last(|tunnel| tunnel.end.is_some()).close_code,
        Some(1000)
    );
}

#[test]
fn much_content_arrives_whole_both_ways_at_once_however_the_relay_frames_it() {
    for fault in [
        None,
        Some(RelayFault::Fragments(1_000)),
        Some(RelayFault::LargeFrames(4 << 20)),
    ] {
        let access = Access::new();
        if let Some(fault) = fault {
            access.stage.platform.break_relay(fault);
        }
        let (technician, service) = access.open();
        let sent = content(16 << 20);
        std::thread::scope(|scope| {
            for end in [&technician, &service] {
                let sent = &sent;
                scope.spawn(move || {
                    let mut end = end;
                    end.write_all(sent).unwrap();
                    end.shutdown(Shutdown::Write).unwrap();
                });
                scope.spawn(move || {
                    let mut end = end;
                    let mut received = Vec::new();
                    end.read_to_end(&mut received).unwrap();
                    assert!(&received == sent, "{} bytes", received.len());
                });
            }
        });
        access.wait_none();
    }
}

/// Writes until all buffers on the way are full, and stay so; returns how much went.
fn fill(mut end: &TcpStream) -> usize {
    end.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut last_progress = Instant::now();
    while last_progress.elapsed() < Duration::from_secs(2) {
        match end.write(&[7; 64 << 10]) {
            Ok(count) => {
                sent += count;
                last_progress = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 256 << 20, "nobody holds it back");
    }
    end.set_nonblocking(false).unwrap();
    sent
}

#[test]
fn what_one_end_does_not_take_is_not_read_from_the_other() {
    let access = Access::new();
    let (technician, mut service) = access.open();
    let sent = fill(&technician);
    let received = access.client.status().tunnels[0].received_bytes;
    // What the device has read beyond what the service's socket took is its buffer.
    assert!(received <= sent as u64);
    let mut rest = sent;
    while rest > 0 {
        rest -= read(&mut service, rest.min(64 << 10)).len();
    }
    // The link was never held up by it.
    sender(&access.client).send_message("through").unwrap();
}

#[test]
fn what_the_technician_does_not_take_is_not_read_from_the_service_and_comes_later() {
    let access = Access::new();
    let (technician, service) = access.open();
    let sent = fill(&service);
    // Nothing comes the other way that would wake the tunnel, and its timer does only after half a minute.
    technician
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let rest = 8 << 20;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&service).write_all(&vec![7; rest]).unwrap();
            service.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        (&technician).read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent + rest);
    });
}

#[test]
fn a_limited_tunnel_brings_everything_in_the_end() {
    let access = Access::with(|options| options.bytes_per_second(200_000));
    let (mut technician, mut service) = access.open();
    let sent = content(400_000);
    std::thread::scope(|scope| {
        scope.spawn(|| technician.write_all(&sent).unwrap());
        assert!(read(&mut service, sent.len()) == sent);
    });
}
