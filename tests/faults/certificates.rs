//! TLS: certificates that are wrong, expired or not yet valid, and handshakes that stall.

use std::time::{Duration, Instant, SystemTime};

use log::Level;
use spotflow_device::Error;
use spotflow_emulator::{Route, ServerCertificate};

use crate::proxy::{Direction, Proxy};
use crate::support::{
    DEVICE, LogCapture, PATIENCE, Stage, eventually, in_a_process_of_its_own, sender, within,
};

/// The limit for one attempt at the hub, with room for a busy machine.
const ATTEMPT: Duration = Duration::from_secs(30 + 15);

/// Certificates that are not in order, and what the log and the error say of each.
fn bad_certificates() -> [(ServerCertificate, &'static str); 5] {
    let next_year = SystemTime::now() + Duration::from_secs(365 * 86_400);
    let untrusted = "from an authority that this machine does not trust";
    [
        (ServerCertificate::Expired, "has expired"),
        (
            ServerCertificate::ValidFrom(next_year),
            "is not valid yet (before ",
        ),
        (ServerCertificate::OtherName, "is for another host name"),
        (ServerCertificate::UnknownAuthority, untrusted),
        (ServerCertificate::SelfSigned, untrusted),
    ]
}

/// What the log says since a moment.
struct Log(usize);

impl Log {
    fn from_here() -> Log {
        Log(LogCapture::install().lines().len())
    }

    fn count(&self, text: &str, level: Option<Level>) -> usize {
        let lines = LogCapture::install().lines();
        let lines = lines.iter().skip(self.0);
        lines
            .filter(|line| level.is_none_or(|level| line.level == level))
            .filter(|line| line.text.contains(text))
            .count()
    }

    /// Waits for so many failed attempts, of which only the first may be a warning.
    fn told_once_in(&self, attempts: usize, text: &str) {
        eventually(text, || self.count(text, None) >= attempts);
        assert_eq!(self.count(text, Some(Level::Warn)), 1, "{text}");
    }
}

#[test]
fn a_hub_with_a_bad_certificate_is_told_of_once_and_gets_nothing_until_it_is_in_order() {
    let name = "certificates::a_hub_with_a_bad_certificate_is_told_of_once_and_gets_nothing_until_it_is_in_order";
    in_a_process_of_its_own(name, || {
        for (certificate, text) in bad_certificates() {
            let stage = Stage::new();
            let client = stage.start();
            let sender = sender(&client);
            sender.send_message("before").unwrap();
            let log = Log::from_here();
            stage.platform.present_certificate(certificate).unwrap();
            stage.platform.close_connections();
            sender.enqueue_message("kept").unwrap();
            log.told_once_in(3, text);
            let error = client.status().last_error;
            assert!(matches!(error, Some(Error::Tls { .. })), "{error:?}");
            assert_eq!(stage.platform.connection_count(), 1, "{certificate:?}");

            let valid = ServerCertificate::Valid;
            stage.platform.present_certificate(valid).unwrap();
            client
                .wait_enqueued_messages_sent_timeout(PATIENCE)
                .unwrap();
            assert_eq!(stage.received(), ["before", "kept"]);
            // What is well again is news when it fails again.
            let log = Log::from_here();
            stage.platform.present_certificate(certificate).unwrap();
            stage.platform.close_connections();
            log.told_once_in(1, text);
        }
    });
}

#[test]
fn an_api_with_a_bad_certificate_is_told_of_once_and_gets_nothing_until_it_is_in_order() {
    let name = "certificates::an_api_with_a_bad_certificate_is_told_of_once_and_gets_nothing_until_it_is_in_order";
    in_a_process_of_its_own(name, || {
        for (certificate, text) in bad_certificates() {
            let stage = Stage::new();
            stage.platform.present_certificate(certificate).unwrap();
            let log = Log::from_here();
            std::thread::scope(|scope| {
                let started = scope.spawn(|| stage.start());
                log.told_once_in(3, text);
                assert_eq!(stage.platform.http_requests().len(), 0, "{certificate:?}");
                let valid = ServerCertificate::Valid;
                stage.platform.present_certificate(valid).unwrap();
                let client = started.join().unwrap();
                sender(&client).send_message("in").unwrap();
            });
            assert_eq!(stage.platform.operations().len(), 1);
        }
    });
}

#[test]
fn a_device_whose_clock_is_behind_goes_on_by_itself_when_it_is_right() {
    let name = "certificates::a_device_whose_clock_is_behind_goes_on_by_itself_when_it_is_right";
    in_a_process_of_its_own(name, || {
        let stage = Stage::new();
        let log = Log::from_here();
        let behind = Duration::from_secs(5);
        let certificate = ServerCertificate::ValidFrom(SystemTime::now() + behind);
        stage.platform.present_certificate(certificate).unwrap();
        let begun = Instant::now();
        let client = stage.start();
        assert!(begun.elapsed() > behind - Duration::from_secs(1));
        sender(&client).send_message("in").unwrap();
        assert_eq!(log.count("is not valid yet", Some(Level::Warn)), 1);
    });
}

/// The certificate of an authority that has nothing to do with the Platform.
fn foreign_ca() -> String {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem()
}

#[test]
fn trusted_certificates_that_change_count_at_the_next_handshake_without_a_restart() {
    let stage = Stage::new();
    let platforms = std::fs::read_to_string(stage.platform.ca_file()).unwrap();
    let bundle = stage.directory.path().join("ca.pem");
    let trust = |pem: &str| std::fs::write(&bundle, pem).unwrap();
    trust(&foreign_ca());
    std::thread::scope(|scope| {
        let started = scope.spawn(|| stage.device().ca_file(&bundle).start().unwrap());
        // No HTTP call is made before the API is trusted.
        let seen = stage
            .platform
            .wait_for_request(Route::Any, 1, PATIENCE / 10);
        assert!(seen.is_err());
        trust(&platforms);
        let client = started.join().unwrap();
        let sender = sender(&client);
        sender.send_message("trusted").unwrap();

        trust(&foreign_ca());
        stage.platform.close_connections();
        eventually("the hub is trusted no more", || {
            matches!(client.status().last_error, Some(Error::Tls { .. }))
        });
        sender.enqueue_message("kept").unwrap();
        trust(&format!("{}{platforms}", foreign_ca()));
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .unwrap();
        assert_eq!(stage.received(), ["trusted", "kept"]);
    });
}

#[test]
fn trusted_certificates_that_break_are_told_of_once_and_those_from_before_stay() {
    let name =
        "certificates::trusted_certificates_that_break_are_told_of_once_and_those_from_before_stay";
    in_a_process_of_its_own(name, || {
        let stage = Stage::new();
        let bundle = stage.directory.path().join("ca.pem");
        std::fs::copy(stage.platform.ca_file(), &bundle).unwrap();
        let client = stage.device().ca_file(&bundle).start().unwrap();
        let sender = sender(&client);
        sender.send_message("0").unwrap();
        let log = Log::from_here();
        std::fs::write(&bundle, "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
        for text in ["1", "2", "3"] {
            stage.platform.close_connections();
            let connected = |wanted| stage.platform.wait_for_connected(DEVICE, wanted, PATIENCE);
            connected(true).unwrap();
            sender.send_message(text).unwrap();
        }
        sender.send_message(vec![7; 300_000]).unwrap();
        assert_eq!(log.count("cannot be used", Some(Level::Warn)), 1);
        assert_eq!(stage.platform.connection_count(), 4);
    });
}

#[test]
fn a_handshake_that_stalls_is_given_up_within_half_a_minute_and_tried_again() {
    std::thread::scope(|scope| {
        // Nothing at all, half a record, half a handshake.
        for bytes in [0, 3, 200] {
            scope.spawn(move || {
                let stage = Stage::new();
                let proxy = Proxy::to(&stage.platform.hub_host_name());
                stage.platform.announce_hub(Some(&proxy.host()));
                proxy.stall_to_device_after(Some(bytes));
                let client = stage.start();
                sender(&client).enqueue_message("kept").unwrap();
                let begun = Instant::now();
                within(ATTEMPT, "the attempt is given up", || {
                    client.status().last_error.is_some()
                });
                // A hub that has said something has time to say the rest.
                assert!(bytes == 0 || begun.elapsed() > Duration::from_secs(20));
                let error = client.status().last_error;
                assert!(matches!(error, Some(Error::Network { .. })), "{error:?}");
                proxy.stall_to_device_after(None);
                client
                    .wait_enqueued_messages_sent_timeout(PATIENCE)
                    .unwrap();
                assert_eq!(stage.received(), ["kept"]);
                assert_eq!(stage.platform.connection_count(), 1);
            });
        }
    });
}

#[test]
fn a_stored_registration_starts_within_ten_seconds_while_the_apis_handshake_stalls() {
    let stage = Stage::new();
    let proxy = Proxy::to(&stage.platform.instance());
    let device = || stage.device().instance(proxy.host());
    device().start().unwrap().close();
    proxy.stall(Direction::ToDevice, true);
    let begun = Instant::now();
    let client = device().start().unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(client.device_id(), DEVICE);
    sender(&client).enqueue_message("kept").unwrap();
    let begun = Instant::now();
    client.close();
    assert!(begun.elapsed() < Duration::from_secs(8));
    proxy.stall(Direction::ToDevice, false);
    let client = device().start().unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["kept"]);
}
