//! From a name to a connection, with real sockets and a resolver that says what the test wants.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use spotflow_emulator::Platform;

use crate::net::dial::pretended;
use crate::{Compression, DeviceClient, DeviceClientBuilder, Error};

const DEVICE: &str = "test-device";
const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    platform: Platform,
    directory: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        Stage {
            platform: Platform::builder().own_hub_port(true).start().unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn device(&self) -> DeviceClientBuilder {
        let database = self.directory.path().join("device.db");
        DeviceClient::builder(self.platform.provisioning_token(), database)
            .instance(self.platform.instance())
            .ca_file(self.platform.ca_file())
            .device_id(DEVICE)
            .on_provisioning(|_| {})
    }

    fn received(&self) -> Vec<String> {
        let messages = self.platform.messages();
        messages.iter().map(|message| message.text()).collect()
    }
}

fn address(host: &str) -> SocketAddr {
    let (_, port) = host.rsplit_once(':').unwrap();
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.parse().unwrap())
}

fn enqueue(client: &DeviceClient, text: &str) {
    let sender = client
        .create_stream_sender(None, None, Compression::Uncompressed)
        .unwrap();
    sender.enqueue_message(text).unwrap();
}

fn wait_sent(client: &DeviceClient) {
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A name that resolves only while it is said to, and how often it was looked up in vain.
fn flaky_name(host: &str) -> (Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (works, failed) = (
        Arc::new(AtomicBool::new(true)),
        Arc::<AtomicUsize>::default(),
    );
    let address = address(host);
    let (say, count) = (Arc::clone(&works), Arc::clone(&failed));
    pretended::set(address.port(), move || {
        if say.load(Ordering::SeqCst) {
            return Ok(vec![address]);
        }
        count.fetch_add(1, Ordering::SeqCst);
        let text = "Temporary failure in name resolution";
        Err(io::Error::other(text))
    });
    (works, failed)
}

#[test]
fn a_hub_whose_name_stops_resolving_is_looked_up_until_it_does_again() {
    let stage = Stage::new();
    let (works, failed) = flaky_name(&stage.platform.hub_host_name());
    let client = stage.device().start().unwrap();
    let connected = |wanted| stage.platform.wait_for_connected(DEVICE, wanted, PATIENCE);
    connected(true).unwrap();
    works.store(false, Ordering::SeqCst);
    // Else it would be reached at the address that worked.
    stage.platform.accept_hub_connections(false).unwrap();
    stage.platform.close_connections();
    connected(false).unwrap();
    enqueue(&client, "kept");
    eventually("it is looked up again", || {
        failed.load(Ordering::SeqCst) >= 3
    });
    let error = client.status().last_error;
    assert!(matches!(error, Some(Error::Network { .. })), "{error:?}");
    assert!(
        error
            .unwrap()
            .to_string()
            .contains("look up the hub's name")
    );
    stage.platform.accept_hub_connections(true).unwrap();
    works.store(true, Ordering::SeqCst);
    wait_sent(&client);
    assert_eq!(stage.received(), ["kept"]);
}

#[test]
fn without_a_name_server_the_hub_is_reached_where_it_was_last() {
    let stage = Stage::new();
    let (works, failed) = flaky_name(&stage.platform.hub_host_name());
    let client = stage.device().start().unwrap();
    let connected = |wanted| stage.platform.wait_for_connected(DEVICE, wanted, PATIENCE);
    connected(true).unwrap();
    works.store(false, Ordering::SeqCst);
    stage.platform.close_connections();
    connected(false).unwrap();
    enqueue(&client, "through");
    wait_sent(&client);
    assert!(failed.load(Ordering::SeqCst) >= 1, "it was looked up first");
    assert_eq!(stage.received(), ["through"]);
}

#[test]
fn while_no_name_server_answers_the_hub_is_reached_where_it_was_last_and_else_at_the_answer() {
    let stage = Stage::new();
    let hub = address(&stage.platform.hub_host_name());
    let (silence, silent) = std::sync::mpsc::channel::<()>();
    let silent = parking_lot::Mutex::new(silent);
    let is_silent = Arc::new(AtomicBool::new(false));
    let is_waited_for = Arc::clone(&is_silent);
    pretended::set(hub.port(), move || {
        if is_waited_for.load(Ordering::SeqCst) {
            silent.lock().recv().ok();
        }
        Ok(vec![hub])
    });
    let client = stage.device().start().unwrap();
    let connected = |wanted| stage.platform.wait_for_connected(DEVICE, wanted, PATIENCE);
    connected(true).unwrap();
    is_silent.store(true, Ordering::SeqCst);
    stage.platform.close_connections();
    connected(false).unwrap();
    enqueue(&client, "in silence");
    wait_sent(&client);

    // Nobody listens there while the answer is waited for: it is used when it comes.
    stage.platform.accept_hub_connections(false).unwrap();
    stage.platform.close_connections();
    connected(false).unwrap();
    enqueue(&client, "with the answer");
    eventually("the old address is tried", || {
        client.status().last_error.is_some()
    });
    stage.platform.accept_hub_connections(true).unwrap();
    drop(silence);
    wait_sent(&client);
    assert_eq!(stage.received(), ["in silence", "with the answer"]);
}

#[test]
fn an_instance_whose_name_does_not_resolve_at_first_is_looked_up_until_it_does() {
    let stage = Stage::new();
    let (works, failed) = flaky_name(&stage.platform.instance());
    works.store(false, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| stage.device().start().unwrap());
        eventually("it is looked up again", || {
            failed.load(Ordering::SeqCst) >= 3
        });
        works.store(true, Ordering::SeqCst);
        let client = client.join().unwrap();
        enqueue(&client, "in");
        wait_sent(&client);
    });
    assert_eq!(stage.received(), ["in"]);
}

/// An address that nobody listens on.
fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// An address that never answers a connection attempt, as long as what is returned beside it is kept.
fn unreachable() -> (SocketAddr, impl Sized) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Once the queue of those that nobody accepts is full, the system drops what comes.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        waiting.push(stream);
    }
    (address, (socket, waiting))
}

#[test]
fn addresses_that_refuse_or_never_answer_are_passed_over_soon() {
    let stage = Stage::new();
    let hub = address(&stage.platform.hub_host_name());
    let (silent, _keep) = unreachable();
    let addresses = vec![refusing(), silent, refusing(), hub];
    pretended::set(hub.port(), move || Ok(addresses.clone()));
    let begun = Instant::now();
    let client = stage.device().start().unwrap();
    enqueue(&client, "through");
    wait_sent(&client);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(stage.received(), ["through"]);
}

#[test]
fn an_only_address_that_never_answers_is_given_up_within_half_a_minute_and_tried_again() {
    let stage = Stage::new();
    let hub = address(&stage.platform.hub_host_name());
    let (silent, _keep) = unreachable();
    let is_right = Arc::new(AtomicBool::new(false));
    let say = Arc::clone(&is_right);
    pretended::set(hub.port(), move || {
        let address = if say.load(Ordering::SeqCst) {
            hub
        } else {
            silent
        };
        Ok(vec![address])
    });
    let begun = Instant::now();
    let client = stage.device().start().unwrap();
    enqueue(&client, "kept");
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed);
    assert!(sender.unwrap().enqueue_message("this, too").is_ok());
    eventually("the attempt is given up", || {
        client.status().last_error.is_some()
    });
    let took = begun.elapsed();
    assert!((20..50).contains(&took.as_secs()), "{took:?}");
    is_right.store(true, Ordering::SeqCst);
    wait_sent(&client);
    assert_eq!(stage.received(), ["kept", "this, too"]);
}

#[test]
fn a_hub_that_refuses_the_login_is_not_asked_at_another_address() {
    let stage = Stage::new();
    let hub = address(&stage.platform.hub_host_name());
    let addresses = vec![hub, refusing()];
    pretended::set(hub.port(), move || Ok(addresses.clone()));
    stage.platform.refuse_connects(3, Some(2));
    let client = stage.device().start().unwrap();
    enqueue(&client, "through");
    wait_sent(&client);
    let error = client.status().last_error;
    assert!(
        matches!(error, Some(Error::ConnectionRefused { .. })),
        "{error:?}"
    );
    let connections = stage.platform.connections();
    let codes: Vec<u8> = connections.iter().map(|it| it.code).collect();
    assert_eq!(codes, [3, 3, 0]);
}

#[test]
fn what_came_of_the_address_that_answered_is_told_and_not_that_nobody_listens_on_the_next() {
    let stage = Stage::new();
    // Its certificate is of an authority that the device does not trust.
    let stranger = Platform::builder().own_hub_port(true).start().unwrap();
    let addresses = vec![address(&stranger.hub_host_name()), refusing()];
    let hub = address(&stage.platform.hub_host_name());
    pretended::set(hub.port(), move || Ok(addresses.clone()));
    let client = stage.device().start().unwrap();
    eventually("the attempt fails", || client.status().last_error.is_some());
    let error = client.status().last_error;
    assert!(matches!(error, Some(Error::Tls { .. })), "{error:?}");
}

#[test]
fn a_close_does_not_wait_for_a_name_that_nobody_answers_for() {
    const PROMPT: Duration = Duration::from_secs(4);
    let stage = Stage::new();
    let client = stage.device().start().unwrap();
    let connected = |wanted| stage.platform.wait_for_connected(DEVICE, wanted, PATIENCE);
    connected(true).unwrap();
    let lookups = Arc::<AtomicUsize>::default();
    let (silence, silent) = std::sync::mpsc::channel::<()>();
    let silent = Arc::new(parking_lot::Mutex::new(silent));
    for host in [stage.platform.hub_host_name(), stage.platform.instance()] {
        let (count, silent) = (Arc::clone(&lookups), Arc::clone(&silent));
        pretended::set(address(&host).port(), move || {
            count.fetch_add(1, Ordering::SeqCst);
            // Until the test ends.
            silent.lock().recv().ok();
            Err(io::Error::other("Temporary failure in name resolution"))
        });
    }
    let are_under_way = |number| lookups.load(Ordering::SeqCst) == number;
    stage.platform.close_connections();
    eventually("the hub is looked up", || are_under_way(1));
    let begun = Instant::now();
    client.close();
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());

    // And the instance; the interrupted start closes its client.
    let begun = Instant::now();
    let of_check = Arc::clone(&lookups);
    let is_looked_up = move || of_check.load(Ordering::SeqCst) == 2;
    let result = stage.device().interrupt_check(is_looked_up).start();
    assert!(matches!(result, Err(Error::Interrupted)));
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    drop(silence);
}
