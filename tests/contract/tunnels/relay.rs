//! Whatever the relay does wrong ends its tunnel, and nothing else.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use spotflow_emulator::{RelayFault, Route, Tunnel};

use super::{Access, assert_passes, content, read};
use crate::support::sender;

#[test]
fn a_relay_that_gives_no_sign_of_life_is_left_after_a_minute_and_a_half() {
    // The same time for all of them: a relay that answers no ping, one that stalls, and one that is well.
    std::thread::scope(|scope| {
        for (fault, reason) in [
            (RelayFault::NoPongs, Some("no sign of life")),
            (RelayFault::StallAfter(1), Some("no sign of life")),
            (RelayFault::None, None),
        ] {
            scope.spawn(move || {
                let access = Access::new();
                access.stage.platform.break_relay(fault);
                let (mut technician, mut service) = access.open();
                assert_passes(&mut technician, &mut service, b"x");
                service
                    .set_read_timeout(Some(Duration::from_secs(100)))
                    .unwrap();
                let end = service.read(&mut [0; 1]);
                if reason.is_none() {
                    let kind = end.unwrap_err().kind();
                    // The one is a time limit's on Unix, the other on Windows.
                    assert!(
                        matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut),
                        "{kind}"
                    );
                    assert!(access.last(Tunnel::is_open).pings_from_device > 0);
                    assert_passes(&mut technician, &mut service, b"y");
                } else {
                    assert!(matches!(end, Ok(0)), "{fault:?}: {end:?}");
                    access.wait_none();
                    sender(&access.client).send_message("well").unwrap();
                }
            });
        }
    });
}

#[test]
fn a_relay_that_refuses_or_is_none_is_an_answer_with_its_reason() {
    let refusals = [(401, "401"), (503, "503")];
    for (status, reason) in refusals {
        let access = Access::new();
        access
            .stage
            .platform
            .http_status(Route::Tunnel, status, None, 1);
        let tunnel = access.refused(access.technician);
        let answer = tunnel.answer.unwrap();
        assert!(
            tunnel.status == Some(500) && answer.contains(reason),
            "{answer}"
        );
        access.wait_none();
    }
}

#[test]
fn whatever_the_relay_does_wrong_ends_its_tunnel_and_nothing_else() {
    for fault in [
        RelayFault::Garbage,
        RelayFault::TextFrames,
        RelayFault::MaskedFrames,
        RelayFault::CutAfter(10),
    ] {
        let access = Access::new();
        access.stage.platform.break_relay(fault);
        let (mut technician, mut service) = access.open();
        // The relay may have hung up already.
        drop(technician.write_all(&[1; 100]));
        drop(service.read_to_end(&mut Vec::new()));
        drop(service);
        access.wait_none();
        access.stage.platform.mend_relay();
        let (mut technician, mut service) = access.open();
        assert_passes(&mut technician, &mut service, b"well");
        sender(&access.client).send_message("well").unwrap();
    }
}

#[test]
fn an_endless_frame_goes_through_as_it_comes() {
    let access = Access::new();
    access
        .stage
        .platform
        .break_relay(RelayFault::EndlessFrame(8 << 20));
    let (mut technician, mut service) = access.open();
    let sent = content(8 << 20);
    std::thread::scope(|scope| {
        // It is cut short by the service that leaves.
        scope.spawn(|| drop(technician.write_all(&sent)));
        assert!(read(&mut service, 1 << 20) == sent[..1 << 20]);
        drop(service);
    });
    access.wait_none();
}

#[test]
fn a_stalled_relay_ends_its_tunnel_at_the_idle_limit() {
    let access = Access::with(|options| options.idle_limit(Duration::from_millis(700)));
    access.stage.platform.break_relay(RelayFault::StallAfter(1));
    let (mut technician, mut service) = access.open();
    assert_passes(&mut technician, &mut service, b"x");
    assert_eq!(service.read(&mut [0; 1]).unwrap(), 0);
    access.wait_none();
}
