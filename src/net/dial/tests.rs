//! Dials of real sockets on loopback addresses.

use std::net::{TcpListener, TcpStream};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A listener whose queue is full: who connects waits, as for a host that does not answer.
#[cfg(target_os = "linux")]
pub(crate) fn unanswering() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(socket);
        assert!(waiting.len() < 10_000, "the system's queue has an end");
    }
    (listener, waiting)
}

fn host() -> Host {
    Host::parse("hub.example:8883", 8883).unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn refusing() -> SocketAddr {
    listener().1
}

fn dial(dialer: &Dialer, addresses: &[SocketAddr], limit: Duration) -> Result<Dialed, DialError> {
    let limits = DialLimits {
        connect: limit,
        ..DialLimits::PATIENT
    };
    dialer.dial_others(&host(), addresses.to_vec(), limits, &Arc::default())
}

#[test]
fn addresses_that_refuse_are_passed_over_at_once() {
    let (good, address) = listener();
    let addresses = [refusing(), refusing(), address];
    let begun = Instant::now();
    let dialed = dial(&Dialer::new(Proxies::none()), &addresses, PATIENCE).unwrap();
    assert_eq!(dialed.socket.peer_addr().unwrap(), address);
    assert_eq!(dialed.others, []);
    assert!(dialed.socket.nodelay().unwrap());
    assert!(begun.elapsed() < PATIENCE / 2);
    good.accept().unwrap();
}

#[test]
fn when_all_refuse_the_dial_fails_with_their_reason() {
    let error = dial(
        &Dialer::new(Proxies::none()),
        &[refusing(), refusing()],
        PATIENCE,
    )
    .unwrap_err();
    assert!(
        matches!(&error, DialError::Connect(cause) if cause.kind() == io::ErrorKind::ConnectionRefused),
        "{error:?}"
    );
    let error = dial(&Dialer::new(Proxies::none()), &[], PATIENCE).unwrap_err();
    assert!(matches!(error, DialError::Connect(_)), "{error:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_nobody_answers_at_leaves_time_for_the_next_and_what_worked_goes_first() {
    let (silent, _waiting) = unanswering();
    let silent = silent.local_addr().unwrap();
    let (good, address) = listener();
    let dialer = Dialer::new(Proxies::none());
    let begun = Instant::now();
    let dialed = dial(&dialer, &[silent, refusing(), address], PATIENCE).unwrap();
    assert!(begun.elapsed() < PATIENCE / 2);
    assert_eq!(dialed.socket.peer_addr().unwrap(), address);
    assert_eq!(dialed.others, [silent], "it has not failed");
    good.accept().unwrap();

    assert_eq!(dialer.best(&host()), Some(address));
    let dialed = dial(&dialer, &[silent, address], PATIENCE).unwrap();
    assert_eq!(dialed.others, [silent]);
    dialer.disappointed(&host());
    assert_eq!(dialer.best(&host()), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_dial_that_nobody_answers_ends_with_its_limit_or_its_cancellation() {
    let (silent, _waiting) = unanswering();
    let silent = silent.local_addr().unwrap();
    let limit = Duration::from_millis(300);
    let begun = Instant::now();
    let error = dial(&Dialer::new(Proxies::none()), &[silent], limit).unwrap_err();
    assert!(matches!(error, DialError::ConnectTimedOut), "{error:?}");
    assert!((limit..PATIENCE / 2).contains(&begun.elapsed()));

    let (dialer, cancellation) = (Dialer::new(Proxies::none()), Arc::<Cancellation>::default());
    std::thread::scope(|scope| {
        let dial = scope.spawn(|| {
            let limits = DialLimits::PATIENT;
            dialer.dial_others(&host(), vec![silent], limits, &cancellation)
        });
        cancellation.cancel();
        let error = dial.join().unwrap().unwrap_err();
        assert!(matches!(error, DialError::Cancelled), "{error:?}");
    });
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn what_worked_is_remembered_for_the_last_hosts_only() {
    let dialer = Dialer::new(Proxies::none());
    let of = |number: usize| Host::parse(&format!("host-{number}.example"), 443).unwrap();
    let address = SocketAddr::from(([192, 0, 2, 1], 443));
    for number in 0..HOSTS_MAX + 2 {
        dialer.remember(&of(number), address);
    }
    assert_eq!(dialer.best(&of(1)), None);
    assert_eq!(dialer.best(&of(2)), Some(address));
    assert_eq!(dialer.worked.lock().len(), HOSTS_MAX);
}
