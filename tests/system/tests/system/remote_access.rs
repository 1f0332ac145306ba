//! Remote access with the programs that technicians use: OpenSSH's server and client, an HTTP server and curl. None of
//! these knows of the tunnel.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, RemoteAccess};

use crate::support::{DEVICE, PATIENCE, Stage, eventually};

const FILE_BYTES: usize = 100 << 20;
const SESSIONS: usize = 20;
const HTTP_CONNECTIONS: usize = 1_000;

/// A server of the device; ends with the test.
struct Server {
    port: u16,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A device that allows one port, and the technician's way to it.
struct Access {
    stage: Stage,
    client: DeviceClient,
    technician_port: u16,
}

impl Access {
    fn to(port: u16, stage: Stage) -> Access {
        let options = RemoteAccess::new().port(port).max_tunnels(64);
        let client = stage.device().remote_access(options).start().unwrap();
        stage.wait_callable();
        let technician = stage.platform.forward(0, DEVICE, port).unwrap();
        Access {
            stage,
            client,
            technician_port: technician.port(),
        }
    }

    /// Every tunnel was ended in order, and there were so many.
    fn check_tunnels(&self, count: usize) {
        eventually("no tunnel is left", || {
            self.client.status().tunnels.is_empty()
        });
        let ended = |tunnels: &[spotflow_emulator::Tunnel]| {
            tunnels.iter().all(|tunnel| tunnel.end.is_some())
        };
        let tunnels = self.stage.platform.wait_for_tunnels(ended, PATIENCE);
        let tunnels = tunnels.unwrap();
        assert_eq!(tunnels.len(), count);
        for tunnel in tunnels {
            assert_eq!(tunnel.close_code, Some(1000), "{tunnel:?}");
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// An SSH server and what a client needs for it: files in a directory of their own.
struct Ssh {
    server: Server,
    directory: PathBuf,
    user: String,
}

impl Ssh {
    fn start(directory: &Path) -> Ssh {
        let path = |name: &str| directory.join(name).display().to_string();
        for name in ["host_key", "user_key"] {
            let key = path(name);
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]));
        }
        fs::copy(path("user_key.pub"), path("authorized_keys")).unwrap();
        // The service of Debian makes it for a server of root's, which does not start without it; others need none.
        fs::create_dir_all("/run/sshd").ok();
        // A port that was free a moment ago may be taken: then with another.
        let server = (0..5).find_map(|_| sshd(directory)).expect("sshd starts");
        let user = run(Command::new("id").arg("-un"));
        Ssh {
            server,
            directory: directory.to_owned(),
            user: String::from_utf8(user.stdout).unwrap().trim().to_owned(),
        }
    }

    /// `ssh` or `scp` with the options for this server; they name the port differently.
    fn client(&self, program: &str, port_option: &str, port: u16) -> Command {
        let mut command = Command::new(program);
        command.args(["-F", "none", "-o", "BatchMode=yes"]);
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-i"]);
        command.arg(self.directory.join("user_key"));
        command.args([port_option, &port.to_string()]);
        command.stdin(Stdio::null());
        command
    }

    fn ssh(&self, port: u16) -> Command {
        let mut command = self.client("ssh", "-p", port);
        command.arg(format!("{}@127.0.0.1", self.user));
        command
    }

    fn scp(&self, port: u16, from: &str, to: &str) {
        run(self.client("scp", "-P", port).args([from, to]));
    }

    fn remote(&self, path: &Path) -> String {
        format!("{}@127.0.0.1:{}", self.user, path.display())
    }
}

/// Returns when it accepts connections; nothing if it ended instead.
fn sshd(directory: &Path) -> Option<Server> {
    let port = free_port();
    let path = |name: &str| directory.join(name).display().to_string();
    let configuration = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nMaxStartups 100\nSubsystem sftp internal-sftp\n",
        path("host_key"),
        path("authorized_keys"),
    );
    fs::write(path("sshd_config"), configuration).unwrap();
    let log = File::create(path("sshd.log")).unwrap();
    let process = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f", &path("sshd_config")])
        .stderr(log)
        .spawn()
        .expect("this test needs an SSH server; on Debian: apt-get install openssh-server");
    let mut server = Server { port, process };
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if server.process.try_wait().unwrap().is_some() {
            println!("{}", fs::read_to_string(path("sshd.log")).unwrap());
            return None;
        }
        assert!(Instant::now() < deadline, "sshd does not listen");
        thread::park_timeout(Duration::from_millis(5));
    }
    Some(server)
}

/// Its output, if it succeeds.
fn run(command: &mut Command) -> Output {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}: {errors}",
        output.status
    );
    output
}

fn sha256(path: &Path) -> String {
    let output = run(Command::new("sha256sum").arg(path));
    let line = String::from_utf8(output.stdout).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

fn random_file(path: &Path, bytes: usize) {
    let mut content = vec![0; bytes];
    fastrand::Rng::new().fill(&mut content);
    fs::write(path, content).unwrap();
}

#[test]
fn a_technician_works_over_ssh_as_if_the_device_were_near() {
    let stage = Stage::new();
    let directory = stage.directory.path().to_owned();
    let ssh = Ssh::start(&directory);
    let access = Access::to(ssh.server.port, stage);
    let port = access.technician_port;

    // A command: what it prints on both outputs, what it reads, and how it ends.
    let mut command = ssh.ssh(port);
    command.arg("cat; echo oops >&2; exit 7");
    command.stdin(File::open(directory.join("user_key.pub")).unwrap());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{errors}");
    assert_eq!(
        output.stdout,
        fs::read(directory.join("user_key.pub")).unwrap()
    );
    assert_eq!(errors, "oops\n");

    // A shell at a terminal: each line is answered before the next is typed.
    let mut command = ssh.ssh(port);
    command.args(["-tt", "sh"]);
    let mut shell = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = shell.stdin.take().unwrap();
    let mut screen = BufReader::new(shell.stdout.take().unwrap());
    for (typed, shown) in [("tty", "/dev/pts/"), ("echo $((6 * 7))", "42")] {
        writeln!(keyboard, "{typed}").unwrap();
        let mut line = String::new();
        while !line.contains(shown) {
            line.clear();
            assert_ne!(screen.read_line(&mut line).unwrap(), 0, "no {shown}");
        }
    }
    writeln!(keyboard, "exit 3").unwrap();
    assert_eq!(shell.wait().unwrap().code(), Some(3));

    // A file there and back.
    let [here, there, back] = ["here", "there", "back"].map(|name| directory.join(name));
    random_file(&here, FILE_BYTES);
    let begin = Instant::now();
    ssh.scp(port, &here.display().to_string(), &ssh.remote(&there));
    let there_took = begin.elapsed();
    ssh.scp(port, &ssh.remote(&there), &back.display().to_string());
    println!(
        "{FILE_BYTES} bytes there in {there_took:?}, back in {:?}",
        begin.elapsed() - there_took
    );
    assert_eq!(sha256(&there), sha256(&here));
    assert_eq!(sha256(&back), sha256(&here));

    // Sessions that are all there at once: each waits until the last has come.
    let sessions: Vec<Child> = (0..SESSIONS)
        .map(|number| {
            let mut command = ssh.ssh(port);
            command.arg(format!("echo session {number}; cat"));
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut sessions: Vec<_> = sessions
        .into_iter()
        .enumerate()
        .map(|(number, mut session)| {
            let mut output = BufReader::new(session.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line, format!("session {number}\n"));
            (session, output)
        })
        .collect();
    assert_eq!(access.client.status().tunnels.len(), SESSIONS);
    for (session, output) in &mut sessions {
        drop(session.stdin.take());
        assert!(session.wait().unwrap().success());
        assert_eq!(output.read(&mut [0; 1]).unwrap(), 0);
    }
    access.check_tunnels(1 + 1 + 2 + SESSIONS);
}

#[test]
fn a_thousand_short_http_connections_bring_the_page_each() {
    let stage = Stage::new();
    let pages = stage.directory.path().join("pages");
    fs::create_dir(&pages).unwrap();
    fs::write(pages.join("page"), "a page of the device\n").unwrap();
    let mut process = Command::new("python3")
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"])
        .current_dir(&pages)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test needs python3");
    // "Serving HTTP on 127.0.0.1 port 37645 (http://...) ..."
    let mut said = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    let port = said.split_whitespace().skip_while(|word| *word != "port");
    let port = port.skip(1).find_map(|word| word.parse().ok()).unwrap();
    let server = Server { port, process };
    let access = Access::to(server.port, stage);

    // One program, whose every transfer is a connection of its own.
    let url = format!("http://127.0.0.1:{}/page", access.technician_port);
    let begin = Instant::now();
    let output = run(Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--no-keepalive"])
        .args(["--header", "Connection: close", "--max-time", "30"])
        .args(vec![&url; HTTP_CONNECTIONS]));
    println!("{HTTP_CONNECTIONS} connections in {:?}", begin.elapsed());
    let pages = "a page of the device\n".repeat(HTTP_CONNECTIONS);
    assert!(
        output.stdout == pages.as_bytes(),
        "{} of {} bytes",
        output.stdout.len(),
        pages.len()
    );
    access.check_tunnels(HTTP_CONNECTIONS);
}
