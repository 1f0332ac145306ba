//! A device under the restrictions of the example of a systemd unit. They are read from that file, and made by other
//! means than systemd's, which a container lacks: bubblewrap, and a seccomp filter.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use socket2::{Domain, Protocol, Socket, Type};
use spotflow_device::DeviceClient;

use crate::support::{DEVICE, LogCapture, PATIENCE, Stage, run_alone, sender, start_alone};

const UNIT: &str = include_str!("../../../../examples/systemd/my-device.service");
/// Where the service's own directory is mounted, and where its program is.
const STATE: &str = "/var/lib/my-device";
const PROGRAM: &str = "/tmp/my-device";
const CA_FILE: &str = "/tmp/ca.pem";
/// Set in the service: what the Platform's instance is.
const INSTANCE: &str = "SPOTFLOW_TEST_INSTANCE";
const TOKEN: &str = "SPOTFLOW_PROVISIONING_TOKEN";
const DATABASE: &str = "SPOTFLOW_DATABASE";
const NETLINK: i32 = 16;
const LARGE_BYTES: usize = 300_000;

#[test]
fn a_device_needs_no_more_than_the_example_of_a_systemd_unit_allows() {
    if let Ok(instance) = std::env::var(INSTANCE) {
        return run_alone(|| {
            the_restrictions_hold();
            device(&instance);
        });
    }
    let stage = Stage::new();
    let sandbox = Sandbox::of_the_unit(stage.directory.path());
    let mut command = sandbox.command(&stage);
    command
        .args(["--exact", "--nocapture"])
        .arg("service::a_device_needs_no_more_than_the_example_of_a_systemd_unit_allows");
    start_alone(&mut command, "a sandbox (`bwrap`; Debian: bubblewrap)");
    let received = stage.received();
    assert_eq!(received[0], "first");
    assert_eq!(received[1].len(), LARGE_BYTES);
    assert_eq!(received[2], "after a restart");
    assert_eq!(received.len(), 3);
    // One approval: the second start found what the first had stored.
    assert_eq!(stage.platform.operations().len(), 1);
    // Where the files are for everybody else.
    assert!(sandbox.state.join("spotflow.db").exists());
}

/// What a device does: it registers, sends, uploads, is restarted, and goes on.
fn device(instance: &str) {
    let log = LogCapture::install();
    let start = || {
        DeviceClient::builder(variable(TOKEN), variable(DATABASE))
            .instance(instance)
            .device_id(DEVICE)
            .on_provisioning(|_| {})
            .start()
            .expect("the device starts")
    };
    let client = start();
    sender(&client).send_message("first").unwrap();
    let large = "x".repeat(LARGE_BYTES);
    sender(&client).enqueue_message(large).unwrap();
    let sent = client.wait_enqueued_messages_sent_timeout(PATIENCE);
    sent.unwrap();
    client.close();
    let client = start();
    sender(&client).send_message("after a restart").unwrap();
    client.close();
    let file = fs::metadata(variable(DATABASE)).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    // What is not allowed it does without: the system cannot tell it of the network.
    let lines = log.lines();
    let is_told = |wanted: &str| lines.iter().any(|line| line.text.starts_with(wanted));
    assert!(is_told("the system does not tell of its network"));
    let complaints: Vec<_> = lines
        .iter()
        .filter(|line| line.level <= log::Level::Warn)
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Or the test would prove nothing.
fn the_restrictions_hold() {
    for place in ["/etc", "/usr", "/var/lib", "/var"] {
        let error = fs::write(Path::new(place).join("written"), "").unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(30),
            "{place}: {error}, not EROFS"
        );
    }
    assert_eq!(fs::read_dir("/home").unwrap().count(), 0);
    assert!(!Path::new("/dev/sda").exists() && !Path::new("/dev/kmsg").exists());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for line in [
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert_ne!(fs::metadata("/proc/self").unwrap().uid(), 0);
    let route = Socket::new_raw(Domain::from(NETLINK), Type::RAW, Some(Protocol::from(0)));
    assert_eq!(
        route.unwrap_err().raw_os_error(),
        Some(97),
        "AF_NETLINK: not EAFNOSUPPORT"
    );
    Socket::new(Domain::IPV6, Type::STREAM, None).expect("AF_INET6 is allowed");
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set"))
}

/// What the unit says, for bubblewrap.
struct Sandbox {
    arguments: Vec<String>,
    /// The service's own directory, outside.
    state: PathBuf,
    filter: PathBuf,
}

impl Sandbox {
    fn of_the_unit(directory: &Path) -> Sandbox {
        let mut sandbox = Sandbox {
            arguments: Vec::new(),
            state: directory.join("state"),
            filter: directory.join("filter"),
        };
        fs::create_dir(&sandbox.state).unwrap();
        let (_, service) = UNIT.split_once("[Service]").expect("a section [Service]");
        let settings = service
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='));
        for (setting, value) in settings {
            sandbox.restrict(setting, value);
        }
        sandbox
    }

    fn restrict(&mut self, setting: &str, value: &str) {
        match (setting, value) {
            // How it is started and ended.
            ("ExecStart" | "EnvironmentFile" | "Restart" | "RestartSec" | "TimeoutStopSec", _) => {}
            ("Environment", _) => {
                let (name, value) = value.split_once('=').expect("NAME=VALUE");
                self.add(&["--setenv", name, value]);
            }
            ("DynamicUser", "yes") => {
                self.add(&["--unshare-user", "--uid", "61184", "--gid", "61184"])
            }
            ("StateDirectory", name) => {
                let state = self.state.to_str().unwrap().to_owned();
                let inside = format!("/var/lib/{name}");
                assert_eq!(inside, STATE);
                self.add(&[
                    "--tmpfs",
                    "/var/lib",
                    "--bind",
                    &state,
                    &inside,
                    "--remount-ro",
                    "/var/lib",
                ]);
            }
            ("StateDirectoryMode", mode) => {
                let mode = u32::from_str_radix(mode, 8).unwrap();
                fs::set_permissions(&self.state, fs::Permissions::from_mode(mode)).unwrap();
            }
            // A new file's rights are the library's care, which the test looks at; a looser mask is harder.
            ("UMask", _) => {}
            // The root is read-only from the first.
            ("ProtectSystem", "strict") => {}
            ("ProtectHome", "yes") => self.add(&["--tmpfs", "/home", "--tmpfs", "/root"]),
            ("PrivateTmp", "yes") => self.add(&["--tmpfs", "/tmp", "--tmpfs", "/var/tmp"]),
            ("PrivateDevices", "yes") => self.add(&["--dev", "/dev"]),
            // Bubblewrap always does.
            ("NoNewPrivileges", "yes") => {}
            ("CapabilityBoundingSet", "") => self.add(&["--cap-drop", "ALL"]),
            ("RestrictAddressFamilies", families) => {
                fs::write(&self.filter, only_sockets_of(families)).unwrap();
                // Standard input.
                self.add(&["--seccomp", "0"]);
            }
            _ => panic!("this test does not know how to do {setting}={value}"),
        }
    }

    fn add(&mut self, arguments: &[&str]) {
        self.arguments
            .extend(arguments.iter().map(|it| (*it).to_owned()));
    }

    /// This program in the service, told of the Platform.
    fn command(&self, stage: &Stage) -> Command {
        let this_program = std::env::current_exe().unwrap();
        let mut command = Command::new("bwrap");
        command
            .args([
                "--die-with-parent",
                "--ro-bind",
                "/",
                "/",
                "--proc",
                "/proc",
            ])
            .args(&self.arguments)
            .arg("--ro-bind")
            .args([&this_program, Path::new(PROGRAM)])
            .arg("--ro-bind")
            .args([stage.platform.ca_file(), Path::new(CA_FILE)])
            .args(["--setenv", "SSL_CERT_FILE", CA_FILE])
            .args(["--setenv", INSTANCE, &stage.platform.instance()])
            .args([
                "--setenv",
                TOKEN,
                stage.platform.provisioning_token().as_ref(),
            ])
            .args(["--chdir", "/", PROGRAM])
            .stdin(Stdio::from(fs::File::open(&self.filter).unwrap()));
        command
    }
}

/// A program for the kernel's seccomp: sockets of other families are refused as systemd refuses them, with EAFNOSUPPORT.
fn only_sockets_of(families: &str) -> Vec<u8> {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const EAFNOSUPPORT: u32 = 0x0005_0000 | 97;
    // Offsets in `struct seccomp_data`: the number of the call, and its first argument.
    const CALL: u32 = 0;
    const FIRST_ARGUMENT: u32 = 16;
    let socket = match std::env::consts::ARCH {
        "x86_64" => 41,
        "aarch64" => 198,
        other => panic!("the number of socket(2) on {other} is not known here"),
    };
    let numbers = families.split_whitespace().map(|family| match family {
        "AF_UNIX" => 1,
        "AF_INET" => 2,
        "AF_INET6" => 10,
        other => panic!("the number of {other} is not known here"),
    });
    let numbers: Vec<u32> = numbers.collect();
    // Code, how many to skip if true and if false, operand.
    let to_the_end = u8::try_from(numbers.len() + 2).unwrap();
    let mut program = vec![
        (LOAD, 0, 0, CALL),
        (JUMP_IF_EQUAL, 0, to_the_end, socket),
        (LOAD, 0, 0, FIRST_ARGUMENT),
    ];
    for (i, family) in numbers.iter().enumerate() {
        let to_the_end = u8::try_from(numbers.len() - i).unwrap();
        program.push((JUMP_IF_EQUAL, to_the_end, 0, *family));
    }
    program.extend([(RETURN, 0, 0, EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)]);
    let bytes = |(code, if_true, if_false, operand): (u16, u8, u8, u32)| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([if_true, if_false]);
        bytes.extend(operand.to_ne_bytes());
        bytes
    };
    program.into_iter().flat_map(bytes).collect()
}
