//! Every way to the hub that a network may leave, with the real ports and real proxies: how long a start takes until it
//! is connected, as the table in `tests/FAULTS.md`; and a WebSocket server of another make in front of the hub.
//!
//! `cargo test -p spotflow-system open_ways -- --nocapture` prints the table.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use spotflow_device::{Error, Transport};
use spotflow_emulator::{Blockage, Platform, Route, ServerCertificate, Way};

use crate::support::{DEVICE, PATIENCE, Stage, run_alone, sender, start_alone, within};

/// Set in the process that has the network.
const ALONE: &str = "SPOTFLOW_TEST_OPEN_WAYS";
/// The resolver gives these first, as they are nearer to this machine's address (RFC 6724, rule 9).
const DEAD: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
const ALIVE: Ipv4Addr = Ipv4Addr::new(127, 1, 2, 3);
const PORTS: [u16; 2] = [443, 8883];
const PROXY_PORT: u16 = 3128;
/// Within which a device is connected while one way is open.
const LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayOut {
    Direct,
    Http,
    HttpWithPassword,
    Socks5,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Open,
    /// Nobody listens on 8883.
    Refuses8883,
    /// What goes to 8883 is dropped.
    Drops8883,
    DeadAddresses,
    /// Nobody listens on 8883, and somebody else answers on 443.
    Intercepts443,
}

const WAYS_OUT: [(WayOut, &str); 4] = [
    (WayOut::Direct, "direct"),
    (WayOut::Http, "HTTP proxy"),
    (WayOut::HttpWithPassword, "HTTP proxy with a password"),
    (WayOut::Socks5, "SOCKS5 proxy"),
];
const NETWORKS: [Network; 5] = [
    Network::Open,
    Network::Refuses8883,
    Network::Drops8883,
    Network::DeadAddresses,
    Network::Intercepts443,
];

/// Runs the body of the test of this name in a process that has a network, and names, of its own.
fn on_a_network(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return run_alone(body);
    }
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    let names = DEAD.iter().chain([&ALIVE]);
    let names: String = names.map(|it| format!("{it} localhost\n")).collect();
    fs::write(&hosts, names).unwrap();
    let begin = r#"ip link set lo up && mount --bind "$1" /etc/hosts && exec "$2" --exact "$3" --nocapture"#;
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .args(["sh", "-c", begin, "sh"])
        .args([&hosts, &std::env::current_exe().unwrap()])
        .arg(test)
        .env(ALONE, "yes");
    let given = "a network (`unshare --user --map-root-user --net --mount`, and `ip`)";
    start_alone(&mut command, given);
}

/// A port that drops what comes: its queue of connections that nobody accepts is full.
struct Dropping {
    _socket: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Dropping {
    fn on(address: Ipv4Addr, port: u16) -> Dropping {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_reuse_address(true).unwrap();
        let address = SocketAddr::from((address, port));
        socket.bind(&address.into()).unwrap();
        socket.listen(0).unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        Dropping {
            _waiting: std::iter::from_fn(connect).collect(),
            _socket: socket,
        }
    }
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Process {
    /// Returns once it listens.
    fn start(program: &str, arguments: &[String], address: SocketAddr) -> Process {
        let quiet = || Stdio::null();
        let process = Command::new(program)
            .args(arguments)
            .stdout(quiet())
            .stderr(quiet())
            .spawn();
        let started = process.expect("the program is installed (.ci/install does it)");
        within(PATIENCE, "it listens", || {
            TcpStream::connect(address).is_ok()
        });
        Process(started)
    }
}

/// The proxy, if it is one, and its URL but for the host.
fn proxy(way_out: WayOut, directory: &Path) -> Option<(Process, &'static str, &'static str)> {
    let (program, scheme, login) = match way_out {
        WayOut::Direct => return None,
        WayOut::Http => ("tinyproxy", "http", ""),
        WayOut::HttpWithPassword => ("tinyproxy", "http", "gateway:secret@"),
        WayOut::Socks5 => ("microsocks", "socks5h", ""),
    };
    let arguments = if way_out == WayOut::Socks5 {
        format!("-i {ALIVE} -p {PROXY_PORT}")
    } else {
        let file = directory.join("tinyproxy.conf");
        let login = if way_out == WayOut::HttpWithPassword {
            "BasicAuth gateway secret\n"
        } else {
            ""
        };
        let lines = format!("Listen {ALIVE}\nPort {PROXY_PORT}\nTimeout 600\n{login}");
        fs::write(&file, lines).unwrap();
        format!("-d -c {}", file.display())
    };
    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    let address = SocketAddr::from((ALIVE, PROXY_PORT));
    Some((Process::start(program, &arguments, address), scheme, login))
}

/// One cell: how long a first start takes until it is connected, or what it says instead.
fn try_one(stage: &Stage, way_out: WayOut, network: Network, number: usize) -> String {
    let platform = &stage.platform;
    let proxy = proxy(way_out, stage.directory.path());
    let mut dropping = Vec::new();
    let mut proxy_host = ALIVE.to_string();
    match network {
        Network::Open => {}
        Network::Refuses8883 => platform.block(Way::Mqtt, Blockage::Refused).unwrap(),
        Network::Drops8883 => {
            platform.block(Way::Mqtt, Blockage::Refused).unwrap();
            dropping.push(Dropping::on(ALIVE, 8883));
        }
        Network::DeadAddresses => {
            // Of the proxy, where there is one: the hub's are its business.
            let ports = match proxy {
                Some(_) => &[PROXY_PORT][..],
                None => &PORTS[..],
            };
            for dead in DEAD {
                dropping.extend(ports.iter().map(|port| Dropping::on(dead, *port)));
            }
            proxy_host = "localhost".to_owned();
            if proxy.is_none() {
                platform.announce_hub(Some("localhost"));
            }
        }
        Network::Intercepts443 => {
            platform.block(Way::Mqtt, Blockage::Refused).unwrap();
            platform.block(Way::WebSocket, Blockage::Foreign).unwrap();
        }
    }
    let url = match &proxy {
        Some((_, scheme, login)) => format!("{scheme}://{login}{proxy_host}:{PROXY_PORT}"),
        None => "none".to_owned(),
    };
    let database = stage.directory.path().join(format!("{number}.db"));
    let begun = Instant::now();
    let client = stage.device_on(&database).proxy(url).start().unwrap();
    let cell = if network == Network::Intercepts443 {
        let error = || client.status().last_error;
        within(LIMIT, "it is told", || error().is_some());
        let error = error().unwrap();
        let text = error.chain().to_string();
        assert!(matches!(error, Error::Protocol { .. }), "{text}");
        assert!(
            text.contains("with a page for people") && text.contains("issued by"),
            "{text}"
        );
        "is told".to_owned()
    } else {
        within(LIMIT, "it is connected", || client.status().is_connected);
        let took = begun.elapsed();
        let over_web_socket = matches!(network, Network::Refuses8883 | Network::Drops8883);
        let expected = if over_web_socket {
            Transport::WebSocket
        } else {
            Transport::Mqtt
        };
        assert_eq!(client.status().transport, Some(expected));
        format!("{:.1} s", took.as_secs_f64())
    };
    drop(dropping);
    platform.unblock(Way::Mqtt).unwrap();
    platform.unblock(Way::WebSocket).unwrap();
    platform.announce_hub(None);
    // Whatever it was, nothing was lost by it.
    let sender = sender(&client);
    sender.send_message_timeout("in", PATIENCE).unwrap();
    cell
}

#[test]
fn a_start_is_connected_within_fifteen_seconds_by_any_way_that_is_open() {
    let name = "open_ways::a_start_is_connected_within_fifteen_seconds_by_any_way_that_is_open";
    on_a_network(name, || {
        let platform = Platform::builder().bind(ALIVE).standard_ports(true);
        let stage = Stage::with(platform);
        let mut table = String::from(
            "| | all open | 8883 refused | 8883 dropped | first addresses dead | 443 intercepted |\n|---|---|---|---|---|---|\n",
        );
        let mut number = 0;
        for (way_out, text) in WAYS_OUT {
            write!(table, "| {text} |").unwrap();
            for network in NETWORKS {
                number += 1;
                let cell = try_one(&stage, way_out, network, number);
                write!(table, " {cell} |").unwrap();
            }
            table.push('\n');
        }
        println!("{table}");
        assert_eq!(stage.platform.http_request_count(Route::Init), number);
    });
}

#[test]
fn tls_of_somebody_else_on_443_is_told_and_costs_no_registration() {
    let stage = Stage::new();
    stage.platform.block(Way::Mqtt, Blockage::Refused).unwrap();
    let client = stage.start();
    let sender = sender(&client);
    sender.send_message("before").unwrap();
    let certificate = ServerCertificate::OtherAuthority("Corporate Proxy");
    stage.platform.present_certificate(certificate).unwrap();
    stage.platform.close_connections();
    within(PATIENCE, "it is told", || {
        matches!(client.status().last_error, Some(Error::Tls { .. }))
    });
    stage
        .platform
        .present_certificate(ServerCertificate::Valid)
        .unwrap();
    sender.send_message_timeout("after", PATIENCE).unwrap();
    assert_eq!(stage.platform.http_request_count(Route::Init), 1);
}

/// nginx with a certificate of its own, as the server of the hub's WebSocket.
fn nginx(directory: &Path, hub: &str) -> (Process, u16) {
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = server.self_signed(&key).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    fs::write(path("nginx.pem"), certificate.pem()).unwrap();
    fs::write(path("nginx-key.pem"), key.serialize_pem()).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|of| format!("{of}_temp_path {};\n", path(of)))
        .collect();
    let configuration = format!(
        "daemon off; pid {}; error_log /dev/null;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
         location / {{ proxy_pass https://{hub}; proxy_http_version 1.1; proxy_set_header Host {hub};\n\
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }}\n}}\n",
        path("nginx.pid"),
        path("nginx.pem"),
        path("nginx-key.pem"),
    );
    fs::write(path("nginx.conf"), configuration).unwrap();
    let arguments = ["-c".to_owned(), path("nginx.conf")];
    let program = if Path::new("/usr/sbin/nginx").exists() {
        "/usr/sbin/nginx"
    } else {
        "nginx"
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    (Process::start(program, &arguments, address), port)
}

#[test]
fn messages_arrive_through_nginx_in_order_and_once() {
    let stage = Stage::new();
    let hub = stage.platform.hub_host_name();
    let (_nginx, port) = nginx(stage.directory.path(), &hub);
    stage
        .platform
        .announce_hub(Some(&format!("localhost:{port}")));
    let authorities = stage.directory.path().join("authorities.pem");
    let own = fs::read_to_string(stage.directory.path().join("nginx.pem")).unwrap();
    let pem = stage.platform.ca_certificate_pem().to_owned() + &own;
    fs::write(&authorities, pem).unwrap();
    let device = stage.device().ca_file(authorities);
    let client = device.transport(Transport::WebSocket).start().unwrap();
    let sender = sender(&client);
    let numbers: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    sender.enqueue_messages(numbers.clone()).unwrap();
    sender.enqueue_message(vec![b'x'; 250_000]).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    let received = stage.received();
    assert_eq!(received[..300], numbers);
    assert_eq!(received[300].len(), 250_000);
    let desired = serde_json::json!({"a": "x".repeat(3000)});
    stage.platform.set_desired(DEVICE, &desired).unwrap();
    within(PATIENCE, "the Desired Properties arrive", || {
        let properties = client.get_desired_properties().unwrap();
        properties.values().get("a") == desired.get("a")
    });
    assert_eq!(client.status().reconnects, 0);
}
