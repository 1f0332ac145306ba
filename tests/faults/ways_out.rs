//! Ways out of a network that has only proxies: real ones (tinyproxy, microsocks) in front of the embedded Platform,
//! with and without a login, and what the device says when they fail.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Error};
use spotflow_emulator::{Platform, Route};

use crate::cases::each;
use crate::support::{
    DEVICE, LogCapture, PATIENCE, Stage, eventually, in_a_process_of_its_own, sender,
};

const USER: &str = "gateway";
const PASSWORD: &str = "4f9c1d7e-hunter2";
/// The documented limits, and what a busy machine adds.
const START_LIMIT: Duration = Duration::from_secs(10 + 2);
const CLOSE_LIMIT: Duration = Duration::from_secs(5 + 2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Socks5,
}

/// The kinds, without and with a login.
const WAYS: [(Kind, bool); 4] = [
    (Kind::Http, false),
    (Kind::Http, true),
    (Kind::Socks5, false),
    (Kind::Socks5, true),
];

/// A proxy that can be killed and comes back on the same port.
struct Proxy {
    kind: Kind,
    has_login: bool,
    port: u16,
    configuration: PathBuf,
    process: Child,
}

impl Proxy {
    fn start(stage: &Stage, kind: Kind, has_login: bool) -> Proxy {
        Proxy::configured(stage, kind, has_login, "")
    }

    /// With more lines for tinyproxy.
    fn configured(stage: &Stage, kind: Kind, has_login: bool, more: &str) -> Proxy {
        let configuration = stage.directory.path().join("tinyproxy.conf");
        // A port that was free a moment ago may be taken: then with another.
        let started = (0..5).find_map(|_| {
            let port = free_port();
            let login = match has_login {
                true => format!("BasicAuth {USER} {PASSWORD}\n"),
                false => String::new(),
            };
            let lines = format!("Listen 127.0.0.1\nPort {port}\nTimeout 600\n{login}{more}");
            std::fs::write(&configuration, lines).unwrap();
            let process = run(kind, has_login, port, &configuration)?;
            Some((port, process))
        });
        let (port, process) = started.expect("the proxy starts");
        Proxy {
            kind,
            has_login,
            port,
            configuration,
            process,
        }
    }

    fn url(&self, login: &str) -> String {
        let scheme = match self.kind {
            Kind::Http => "http",
            Kind::Socks5 => "socks5h",
        };
        format!("{scheme}://{login}127.0.0.1:{}", self.port)
    }

    /// With the login that it wants.
    fn right_url(&self) -> String {
        match self.has_login {
            true => self.url(&format!("{USER}:{PASSWORD}@")),
            false => self.url(""),
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self) {
        let again = run(self.kind, self.has_login, self.port, &self.configuration);
        self.process = again.expect("the proxy starts again");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Returns once it listens; nothing if it ends instead.
fn run(kind: Kind, has_login: bool, port: u16, configuration: &PathBuf) -> Option<Child> {
    let mut command = match kind {
        Kind::Http => {
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(configuration);
            command
        }
        Kind::Socks5 => {
            let mut command = Command::new("microsocks");
            command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
            if has_login {
                command.args(["-u", USER, "-P", PASSWORD]);
            }
            command
        }
    };
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = command.spawn();
    let mut process = started.expect("the proxy is installed (.ci/install does it)");
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(Instant::now() < deadline, "it listens");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Some(process)
}

/// microsocks tries only the first address of a name: where that of `localhost` is ::1, as a usual `/etc/hosts` has it,
/// the Platform goes by its address.
fn stage() -> Stage {
    let first = ("localhost", 0).to_socket_addrs().unwrap().next();
    if first.is_some_and(|it| it.is_ipv4()) {
        return Stage::new();
    }
    Stage::with(Platform::builder().bind(Ipv4Addr::new(127, 0, 0, 2)))
}

fn last_error(client: &DeviceClient) -> String {
    let error = client.status().last_error;
    error.map_or(String::new(), |error| {
        assert!(matches!(error, Error::Network { .. }), "{error:?}");
        assert!(error.is_retryable());
        error.chain().to_string()
    })
}

/// A registered device goes on offline with this proxy, and says why.
fn says(stage: &Stage, proxy: &str, expected: &str) {
    let client = stage.device().proxy(proxy).start().unwrap();
    eventually(expected, || last_error(&client).contains(expected));
    assert!(last_error(&client).contains("://127.0.0.1:"), "which proxy");
    client.close();
}

#[test]
fn every_kind_of_proxy_leads_to_the_platform_and_may_be_restarted() {
    each(WAYS, |(kind, has_login)| {
        let stage = stage();
        let mut proxy = Proxy::start(&stage, kind, has_login);
        let client = stage.device().proxy(proxy.right_url()).start().unwrap();
        let sender = sender(&client);
        sender.send_message("a reading").unwrap();
        sender.send_message(vec![7; 300_000]).unwrap();
        assert_eq!(stage.platform.http_request_count(Route::BlobPut), 1);

        // Nothing went another way.
        proxy.kill();
        let connected = |wanted| stage.platform.wait_for_connected(DEVICE, wanted, PATIENCE);
        connected(false).unwrap();
        sender.enqueue_message("kept").unwrap();
        eventually("it is told that the proxy is gone", || {
            last_error(&client).contains(" cannot be reached: ")
        });
        proxy.restart();
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .unwrap();
        let received = stage.platform.messages();
        assert_eq!(received.len(), 3, "{kind:?}");
        assert_eq!(received[2].text(), "kept");
    });
}

#[test]
fn what_a_proxy_refuses_is_told_apart_and_its_password_is_not_told() {
    let name = "ways_out::what_a_proxy_refuses_is_told_apart_and_its_password_is_not_told";
    in_a_process_of_its_own(name, || {
        each([Kind::Http, Kind::Socks5], |kind| {
            let stage = stage();
            stage.device().proxy("none").start().unwrap().close();
            let proxy = Proxy::start(&stage, kind, true);
            says(&stage, &proxy.url(""), "wants a user and a password");
            let wrong = proxy.url(&format!("{USER}:{PASSWORD}x@"));
            let refused = "does not accept the user and the password";
            says(&stage, &wrong, refused);
            let host = stage.platform.instance();
            stage.platform.accept_connections(false).unwrap();
            let refused = match kind {
                Kind::Http => "refuses the connection: 50",
                Kind::Socks5 => "refuses the connection: the host refuses the connection",
            };
            says(&stage, &proxy.right_url(), refused);
            stage.platform.accept_connections(true).unwrap();
            assert_eq!(stage.platform.instance(), host);
            let client = stage.device().proxy(proxy.right_url()).start().unwrap();
            sender(&client).send_message("in").unwrap();
            client.close();
        });
        let stage = Stage::new();
        stage.device().proxy("none").start().unwrap().close();
        let rules = Proxy::configured(&stage, Kind::Http, false, "ConnectPort 1\n");
        says(&stage, &rules.right_url(), "refuses the connection: 403 ");
        let gone = format!("http://{USER}:{PASSWORD}@127.0.0.1:{}", free_port());
        says(&stage, &gone, " cannot be reached: ");

        let lines = LogCapture::install().lines();
        assert!(lines.len() > 100, "there is something to look at");
        let basic = "Z2F0ZXdheTo0ZjljMWQ3ZS1odW50ZXIy";
        for line in lines {
            let tells = [PASSWORD, basic].iter().any(|it| line.text.contains(it));
            assert!(!tells, "{line:?}");
        }
    });
}

#[test]
fn a_proxy_that_says_nothing_delays_neither_a_start_nor_a_close_beyond_their_limits() {
    each(["http", "socks5"], |scheme| {
        let stage = Stage::new();
        stage.device().proxy("none").start().unwrap().close();
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = format!("{scheme}://{}", silent.local_addr().unwrap());
        let begun = Instant::now();
        let client = stage.device().proxy(proxy).start().unwrap();
        assert!(begun.elapsed() < START_LIMIT, "{scheme}");
        eventually("it is told", || {
            last_error(&client).contains("did not connect in time")
        });
        let begun = Instant::now();
        client.close();
        assert!(begun.elapsed() < CLOSE_LIMIT, "{scheme}");
    });
}

#[test]
fn the_environment_names_a_proxy() {
    const CHILD: &str = "SPOTFLOW_TEST_PROXY_OF_ENVIRONMENT";
    if std::env::var_os(CHILD).is_some() {
        let directory = tempfile::tempdir().unwrap();
        // Until the other process has seen enough.
        drop(
            DeviceClient::builder("token", directory.path().join("device.db"))
                .instance("platform.example")
                .start(),
        );
        return;
    }
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ways_out::the_environment_names_a_proxy"])
        .env(CHILD, "1")
        .env("https_proxy", url)
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut connection, _) = proxy.accept().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "CONNECT platform.example:443 HTTP/1.1\r\n");
    connection.write_all(b"HTTP/1.1 503 Later\r\n\r\n").unwrap();
    // And so the next attempt.
    proxy.accept().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}
