//! The device in a process of its own, which is looked at and killed.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use spotflow_emulator::Platform;

pub const DEVICE: &str = "crash-device";

pub struct Device {
    child: Child,
    output: BufReader<ChildStdout>,
}

pub fn database(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("device.db")
}

/// Where the ledgers are.
pub fn ledger(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("ledger")
}

impl Device {
    pub fn start(platform: &Platform, directory: &tempfile::TempDir, mode: &str) -> Device {
        let mut child = Command::new(env!("CARGO_BIN_EXE_spotflow-crash"))
            .args([mode, &platform.instance()])
            .arg(platform.provisioning_token())
            .arg(platform.ca_file())
            .args([database(directory), ledger(directory)])
            .args(["1", "power-safe", "one", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the device starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Device { child, output }
    }

    /// In KiB, by its name in `/proc`.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.split_whitespace().next());
        value.expect("it is there").parse().expect("a number")
    }

    /// Waits until it says so.
    #[allow(dead_code, reason = "not by every test")]
    pub fn wait_told(&mut self, what: &str) {
        let told = self.output.by_ref().lines().map_while(Result::ok);
        let mut told = told.skip_while(|line| !line.starts_with(what));
        assert!(told.next().is_some(), "it has ended before it was {what}");
    }

    #[allow(dead_code, reason = "not by every test")]
    pub fn wait_end(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    pub fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it has ended");
    }
}
