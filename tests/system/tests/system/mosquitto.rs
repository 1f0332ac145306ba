//! A real broker of another make behind the plain path: connect, publish, acknowledge, reconnect.
//!
//! The embedded Platform registers the device and names Mosquitto as its hub. Between the two is a
//! gate, so that after a restart of the broker the subscriber is there before the device.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, Packet, Subscribe};
use spotflow_device::{DeviceClient, Transport};
use spotflow_emulator::Route;

use crate::support::{DEVICE, PATIENCE, Seen, Stage, registration, sender};

/// A broker that can be killed, with what it needs to come back on the same ports.
struct Mosquitto {
    directory: PathBuf,
    plain_port: u16,
    tls_port: u16,
    web_socket_port: u16,
    process: Child,
}

impl Mosquitto {
    /// Writes its certificate, of an authority of its own, beside that authority's.
    fn start(directory: PathBuf) -> Mosquitto {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        fs::write(
            directory.join("ca.pem"),
            ca.self_signed(&ca_key).unwrap().pem(),
        )
        .unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = server
            .signed_by(&key, &rcgen::Issuer::new(ca, ca_key))
            .unwrap();
        fs::write(directory.join("server.pem"), certificate.pem()).unwrap();
        fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
        // A port that was free a moment ago may be taken: then with others.
        let mut attempts = (0..5).map(|_| {
            let ports = [free_port(), free_port(), free_port()];
            let process = run(&directory, ports).ok()?;
            Some((process, ports))
        });
        let (process, ports) = attempts.find_map(|it| it).expect("free ports");
        let [plain_port, tls_port, web_socket_port] = ports;
        Mosquitto {
            directory,
            plain_port,
            tls_port,
            web_socket_port,
            process,
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        let ports = [self.plain_port, self.tls_port, self.web_socket_port];
        self.process = run(&self.directory, ports).expect("mosquitto starts again");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Returns when it accepts connections; an error if it ended instead.
fn run(directory: &std::path::Path, ports: [u16; 3]) -> io::Result<Child> {
    let [plain_port, tls_port, web_socket_port] = ports;
    let path = |name: &str| directory.join(name).display().to_string();
    let configuration = format!(
        "user root\nper_listener_settings false\nallow_anonymous true\npersistence false\n\
         listener {plain_port} 127.0.0.1\n\
         listener {tls_port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n\
         listener {web_socket_port} 127.0.0.1\nprotocol websockets\ncertfile {certificate}\nkeyfile {key}\n",
        certificate = path("server.pem"),
        key = path("key.pem"),
    );
    fs::write(path("mosquitto.conf"), configuration)?;
    let spawn = |program: &str| {
        Command::new(program)
            .args(["-c", &path("mosquitto.conf")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    };
    let mut process = spawn("mosquitto")
        .or_else(|_| spawn("/usr/sbin/mosquitto"))
        .expect("this test needs the broker Mosquitto; on Debian: apt-get install mosquitto");
    let deadline = Instant::now() + PATIENCE;
    loop {
        if process.try_wait()?.is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listens = |port: u16| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        if ports.iter().all(|port| listens(*port)) {
            return Ok(process);
        }
        assert!(Instant::now() < deadline, "mosquitto does not listen");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Lets connections through to a port while it is open.
struct Gate {
    port: u16,
    open: Arc<AtomicBool>,
}

impl Gate {
    fn to(target: u16) -> Gate {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let gate = Gate {
            port: listener.local_addr().unwrap().port(),
            open: Arc::new(AtomicBool::new(true)),
        };
        let open = Arc::clone(&gate.open);
        // Ends with the process.
        thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                let target = (Ipv4Addr::LOCALHOST, target);
                if open.load(Ordering::SeqCst)
                    && let Ok(broker) = TcpStream::connect(target)
                {
                    forward(&device, &broker);
                    forward(&broker, &device);
                }
            }
        });
        gate
    }

    fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

fn forward(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    from.set_nodelay(true).unwrap();
    thread::spawn(move || {
        // However one side ends, so does the other.
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Both).ok();
        from.shutdown(Shutdown::Both).ok();
    });
}

/// A subscriber to all Messages; ends with the broker.
struct Subscriber(JoinHandle<()>);

impl Subscriber {
    /// Subscribed when it returns. With QoS 0 the broker passes on at once what it acknowledges.
    fn start(port: u16, payloads: &Arc<Seen<String>>) -> Subscriber {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut subscribe = Subscribe::new("devices/#", QoS::AtMostOnce);
        subscribe.pkid = 1;
        let mut output = BytesMut::new();
        let mut connect = Connect::new("subscriber");
        connect.keep_alive = 0;
        for packet in [Packet::Connect(connect), Packet::Subscribe(subscribe)] {
            packet.write(&mut output, usize::MAX).unwrap();
        }
        stream.write_all(&output).unwrap();
        let mut input = BytesMut::new();
        while !matches!(next(&mut stream, &mut input), Some(Packet::SubAck(_))) {}
        let payloads = Arc::clone(payloads);
        Subscriber(thread::spawn(move || {
            while let Some(packet) = next(&mut stream, &mut input) {
                if let Packet::Publish(publish) = packet {
                    payloads.push(String::from_utf8(publish.payload.to_vec()).unwrap());
                }
            }
        }))
    }

    /// Returns when it has read all that the broker sent.
    fn ended(self) {
        self.0.join().unwrap();
    }
}

/// The next packet; none at the end of the connection.
fn next(stream: &mut TcpStream, input: &mut BytesMut) -> Option<Packet> {
    loop {
        if let Ok(packet) = Packet::read(input, usize::MAX) {
            return Some(packet);
        }
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        input.extend_from_slice(&buffer[..count]);
    }
}

/// A device whose hub is Mosquitto, behind the gate.
fn device(stage: &Stage, gate: &Gate, transport: Transport) -> DeviceClient {
    let hub_device = format!("{}:{DEVICE}", stage.platform.workspace_id());
    let hub = format!("localhost:{}", gate.port);
    let answer = registration(&hub, &hub_device, Duration::from_secs(3600));
    stage.platform.http_body(Route::Register, answer, u64::MAX);
    let authorities = [
        stage.platform.ca_certificate_pem().to_owned(),
        fs::read_to_string(stage.directory.path().join("ca.pem")).unwrap(),
    ];
    let ca_file = stage.directory.path().join("authorities.pem");
    fs::write(&ca_file, authorities.concat()).unwrap();
    let device = stage.device().ca_file(ca_file);
    device.transport(transport).start().unwrap()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

#[test]
fn messages_arrive_through_mosquitto_in_order_and_once() {
    arrive_in_order_and_once(Transport::Mqtt);
}

#[test]
fn messages_arrive_through_mosquittos_websocket_in_order_and_once() {
    arrive_in_order_and_once(Transport::WebSocket);
}

fn arrive_in_order_and_once(transport: Transport) {
    let stage = Stage::new();
    let broker = Mosquitto::start(stage.directory.path().to_owned());
    let payloads = Seen::new();
    let _subscriber = Subscriber::start(broker.plain_port, &payloads);
    let port = match transport {
        Transport::WebSocket => broker.web_socket_port,
        _ => broker.tls_port,
    };
    let gate = Gate::to(port);
    let client = device(&stage, &gate, transport);
    // Mosquitto knows no twins: requests without an answer must not matter.
    client
        .update_reported_properties(&serde_json::json!({"a": 1}))
        .unwrap();
    let sender = sender(&client);
    sender.enqueue_messages(numbers(300)).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    payloads.wait(|payload| payload == "299");
    assert_eq!(payloads.all(), numbers(300));
    assert!(client.any_pending_reported_properties_updates());
    assert_eq!(client.status().reconnects, 0);
}

#[test]
fn a_killed_mosquitto_costs_no_message_and_no_order() {
    const COUNT: usize = 3000;
    let stage = Stage::new();
    let mut broker = Mosquitto::start(stage.directory.path().to_owned());
    let payloads = Seen::new();
    let mut subscriber = Subscriber::start(broker.plain_port, &payloads);
    let gate = Gate::to(broker.tls_port);
    let client = device(&stage, &gate, Transport::Mqtt);
    sender(&client).enqueue_messages(numbers(COUNT)).unwrap();
    for kill_at in [500, 1500] {
        payloads.wait(|payload| payload == &kill_at.to_string());
        broker.kill();
        gate.set_open(false);
        subscriber.ended();
        broker.start_again();
        subscriber = Subscriber::start(broker.plain_port, &payloads);
        gate.set_open(true);
    }
    client.wait_enqueued_messages_sent().unwrap();
    payloads.wait(|payload| payload == &(COUNT - 1).to_string());
    let mut distinct = payloads.all();
    distinct.dedup();
    assert!(
        distinct == numbers(COUNT),
        "repeats only directly after the original"
    );
    assert!(
        payloads.all().len() <= COUNT + 2,
        "one repeat for each kill at most"
    );
    assert_eq!(client.status().reconnects, 2);
}
