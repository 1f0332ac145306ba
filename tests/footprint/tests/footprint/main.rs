//! What the library costs a process, counted in a process of its own; on Linux only.
#![cfg(target_os = "linux")]

mod memory;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object::{Object, ObjectSymbol};
use spotflow_emulator::Platform;

/// The programs as users build them, but with their symbols.
struct Programs {
    footprint: PathBuf,
    minimal: PathBuf,
}

fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--release", "--bins", "--message-format", "json"])
            .env("CARGO_PROFILE_RELEASE_STRIP", "false")
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "the release build failed");
        let messages = String::from_utf8(built.stdout).unwrap();
        let artifacts: Vec<serde_json::Value> = messages
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let executable = |name: &str| {
            let of_target = artifacts.iter().find(|artifact| {
                artifact["target"]["name"] == name && artifact["executable"].is_string()
            });
            let path = of_target.and_then(|artifact| artifact["executable"].as_str());
            PathBuf::from(path.unwrap_or_else(|| panic!("cargo built no {name}")))
        };
        Programs {
            footprint: executable("spotflow-footprint"),
            minimal: executable("footprint-minimal"),
        }
    })
}

/// The device, in its own process.
struct Device {
    process: Child,
    output: BufReader<ChildStdout>,
    _directory: Arc<tempfile::TempDir>,
}

impl Device {
    fn start(platform: &Platform, command: &str, number: usize) -> Device {
        Device::start_on(
            Arc::new(tempfile::tempdir().unwrap()),
            platform,
            command,
            number,
        )
    }

    /// On the database in this directory.
    fn start_on(
        directory: Arc<tempfile::TempDir>,
        platform: &Platform,
        command: &str,
        number: usize,
    ) -> Device {
        let mut process = Command::new(&programs().footprint)
            .args([platform.instance(), platform.provisioning_token()])
            .arg(platform.ca_file())
            .arg(directory.path().join("device.db"))
            .args([command, &number.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = BufReader::new(process.stdout.take().unwrap());
        Device {
            process,
            output,
            _directory: directory,
        }
    }

    /// The next line's names and values.
    fn line(&mut self) -> HashMap<String, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(
            !line.is_empty(),
            "the program ended: {:?}",
            self.process.wait()
        );
        println!("{}", line.trim_end());
        let pairs = line
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Tells it what to do next, and returns its answer.
    fn order(&mut self, command: &str) -> HashMap<String, String> {
        writeln!(self.process.stdin.as_mut().unwrap(), "{command}").unwrap();
        self.line()
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Gone already, unless the test failed.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn number(line: &HashMap<String, String>, name: &str) -> u64 {
    line[name].parse().unwrap()
}

/// Functions of tokio's runtime, by their mangled names: legacy and v0 both spell paths this way.
fn runtime_symbols(program: &std::path::Path) -> usize {
    let bytes = std::fs::read(program).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let names: Vec<&str> = file
        .symbols()
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    let of_library = names
        .iter()
        .filter(|name| name.contains("15spotflow_device"));
    assert!(of_library.count() > 0, "{} is stripped", program.display());
    names
        .iter()
        .filter(|name| name.contains("5tokio7runtime"))
        .count()
}

#[test]
fn no_runtime_is_linked() {
    assert_eq!(runtime_symbols(&programs().minimal), 0);
}

#[test]
fn a_runtime_would_be_found() {
    // This program holds the embedded Platform, which has one; and the library, to be like the other.
    assert!(spotflow_device::Error::TimedOut.is_retryable());
    assert!(runtime_symbols(&std::env::current_exe().unwrap()) > 0);
}

#[test]
fn a_thousand_starts_leave_no_more_than_the_first() {
    let platform = Platform::start().unwrap();
    platform.record_payloads(false);
    let mut device = Device::start(&platform, "starts", 1000);
    let (first, last) = (device.line(), device.line());
    device.end();
    for name in ["threads", "files", "sockets"] {
        assert!(
            number(&last, name) <= number(&first, name),
            "{name}: {first:?}, {last:?}"
        );
    }
    assert_eq!(platform.distinct_count(), 500);
}

/// Takes a minute; to see the figures: `cargo test -p spotflow-footprint -- --nocapture idle`.
#[test]
fn an_idle_minute_costs_fewer_than_10_switches_and_5_ms() {
    let platform = Platform::start().unwrap();
    let mut device = Device::start(&platform, "idle", 60);
    let line = device.line();
    device.end();
    assert_eq!(line["connected"], "true");
    assert_eq!(line["threads"], "spotflow-link,spotflow-store");
    let counted = number(&line, "switches_before") > 0 && number(&line, "cpu_us_before") > 0;
    assert!(counted, "the start is seen, so a wake-up would be");
    assert!(number(&line, "switches") < 10);
    assert!(Duration::from_micros(number(&line, "cpu_us")) < Duration::from_millis(5));
}
