//! The program: for a person at a terminal, and for other programs.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

struct Program {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_spotflow-emulator"))
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            input,
            output,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the program ended");
        line.trim_end().to_owned()
    }

    /// Reads on to a line with that in it.
    fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn ask(&mut self, command: Value) -> Value {
        self.write(&command.to_string());
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Gone already, in most tests.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn last_word(line: &str) -> &str {
    line.rsplit(' ').next().unwrap()
}

#[test]
fn a_person_is_told_how_to_connect_a_device() {
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    let mut program = Program::start(&[
        "--ca-file",
        ca_file.to_str().unwrap(),
        "--provisioning-token",
        "mine",
    ]);
    let instance = program.line_with("instance");
    assert!(last_word(&instance).starts_with("localhost:"), "{instance}");
    assert_eq!(last_word(&program.line_with("Provisioning Token")), "mine");
    assert!(
        program
            .line_with("SSL_CERT_FILE")
            .contains(ca_file.to_str().unwrap())
    );
    assert!(
        std::fs::read_to_string(&ca_file)
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );

    let link = program.line_with("/?token=");
    let (address, path) = link
        .trim()
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut page = std::net::TcpStream::connect(address).unwrap();
    write!(page, "GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains("303 See Other") && answer.contains("set-cookie"),
        "{answer}"
    );

    program.line_with("quit");
    program.write("list");
    program.line_with("no operations");
    program.write("approve");
    program.line_with("error: approve what?");
    program.write("approve XXXX-XXXX");
    program.line_with("error: no provisioning operation");
    program.write("tunnels");
    program.line_with("no port leads");
    program.write("forward dev-1");
    program.line_with("error: forward what?");
    program.write("forward dev-1 22");
    let forwarded = program.line_with("leads to port 22 of dev-1");
    let ssh = last_word(&forwarded);
    assert_eq!(ssh, "USER@127.0.0.1");
    let local = forwarded.split(' ').next().unwrap();
    assert!(std::net::TcpStream::connect(local).is_ok());
    program.line_with("tunnel        to dev-1, port 22: no device \"dev-1\" is registered");
    program.write("nonsense");
    program.line_with("error: there is no command");
    program.write("help");
    program.line_with("desired DEVICE JSON");
    program.write("quit");
    assert!(program.process.wait().unwrap().success());
}

#[test]
fn without_standard_input_the_platform_runs_on_until_it_is_told() {
    let mut program = Program::start(&["--approve", "auto"]);
    program.input = None;
    let instance = last_word(&program.line_with("instance")).to_owned();
    let ca_line = program.line_with("SSL_CERT_FILE");
    let ca_file = Path::new(ca_line.split_once('=').unwrap().1);
    assert!(std::net::TcpStream::connect(instance).is_ok());
    assert!(ca_file.exists());
    // SIGTERM, as from a service manager.
    let id = program.process.id().to_string();
    // The shell's own; the program of that name is in a package that not all have.
    let mut kill = Command::new("sh");
    assert!(
        kill.args(["-c", "kill $0", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(program.process.wait().unwrap().success());
    assert!(!ca_file.exists(), "its files are removed");
}

#[test]
fn another_program_drives_it_with_json_lines() {
    let mut program = Program::start(&["--control", "--workspace-id", "ws"]);
    let started: Value = serde_json::from_str(&program.line()).unwrap();
    assert_eq!(
        (started["workspace_id"].as_str(), started["hub"].as_str()),
        (Some("ws"), started["instance"].as_str())
    );

    let answer = program.ask(json!({"command": "operations", "id": 7}));
    assert_eq!(answer, json!({"ok": true, "result": [], "id": 7}));
    let failed =
        |answer: Value| answer["ok"] == false && !answer["error"].as_str().unwrap().is_empty();
    assert!(failed(program.ask(json!({"command": "unheard of"}))));
    assert!(failed(program.ask(json!({"command": "approve"}))));
    assert!(failed(program.ask(
        json!({"command": "approve", "operation": "x", "extra": 1})
    )));
    assert!(failed(program.ask(
        json!({"command": "wait_messages", "count": 1, "timeout": 0.01})
    )));
    assert!(failed(program.ask(
        json!({"command": "wait_messages", "count": 1, "timeout": -1})
    )));
    assert!(failed(program.ask(
        json!({"command": "send", "device": "nobody", "text": "x"})
    )));
    assert!(failed(program.ask(json!("no object"))));
    program.write("not JSON");
    assert!(failed(serde_json::from_str(&program.line()).unwrap()));

    let fault = json!({"command": "http_status", "route": "init", "status": 503, "count": 1});
    assert_eq!(program.ask(fault), json!({"ok": true, "result": null}));
    assert_eq!(program.ask(json!({"command": "quit"}))["ok"], true);
    assert!(program.process.wait().unwrap().success());

    let mut orphan = Program::start(&["--control"]);
    orphan.line();
    orphan.input = None;
    assert!(
        orphan.process.wait().unwrap().success(),
        "ends with its standard input"
    );
}

#[test]
fn help_and_bad_options_are_answered() {
    let run = |options: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_spotflow-emulator"))
            .args(options)
            .output()
            .unwrap()
    };
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .contains("--standard-ports")
    );
    assert!(!run(&["--approve", "perhaps"]).status.success());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let taken = run(&["--page-port", &port]);
    assert!(!taken.status.success());
    let told = String::from_utf8(taken.stderr).unwrap();
    assert!(
        told.contains(&format!("cannot serve the page on port {port}")),
        "{told}"
    );
    let taken = run(&["--bind", "192.0.2.1"]);
    assert!(!taken.status.success());
    assert!(
        String::from_utf8(taken.stderr)
            .unwrap()
            .contains("192.0.2.1")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn it_does_not_panic_where_nothing_can_be_written() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut process = Command::new(env!("CARGO_BIN_EXE_spotflow-emulator"))
        .stdin(Stdio::piped())
        .stdout(full.unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(process.stdin.take().unwrap(), "quit").unwrap();
    let ended = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{said}");
}
