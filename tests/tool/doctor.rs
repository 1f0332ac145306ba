//! `doctor` names the cause in each of twenty prepared situations. The table is printed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use spotflow_emulator::{HttpAnswer, Platform, Route, ServerCertificate};

use crate::program::{self, Ended, text};
use crate::support::{DEVICE, PATIENCE, Stage, sender};

/// How a situation is made, and whether that takes rights that not every user has.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Nothing,
    Rights,
    Faketime,
}

/// The stage of a device that is registered, and has nothing to send.
fn registered(stage: Stage) -> Stage {
    stage.start().close();
    stage
}

/// What the program says of the stage's device, as JSON.
fn doctor(stage: &Stage, more: &[&str]) -> Ended {
    doctor_by(stage, Command::new(program::PATH), more)
}

/// The same with another command before the program's arguments.
fn doctor_by(stage: &Stage, command: Command, more: &[&str]) -> Ended {
    let database = stage.database();
    let has = |option| more.contains(&option);
    let mut arguments = vec!["doctor", "--json"];
    if !has("--db") {
        arguments.extend(["--db", text(&database)]);
    }
    let ca_file = stage.platform.ca_file().to_owned();
    if !has("--ca-file") {
        arguments.extend(["--ca-file", text(&ca_file)]);
    }
    arguments.extend(more);
    program::run_command(stage, command, &arguments, b"")
}

/// The situations, each with the cause that is to be named.
struct Table {
    rows: Vec<String>,
    with_rights: usize,
}

impl Table {
    fn row(
        &mut self,
        situation: &str,
        cause: Option<&str>,
        needs: Needs,
        run: impl FnOnce() -> Ended,
    ) {
        let begun = Instant::now();
        let ended = run();
        let took = begun.elapsed();
        let report = ended.json().remove(0);
        assert_eq!(report["cause"].as_str(), cause, "{situation}: {report:#}");
        assert_eq!(
            ended.code,
            i32::from(cause.is_some()),
            "{situation}: {report:#}"
        );
        self.add(situation, cause.unwrap_or("none"), needs, took, &report);
    }

    fn add(&mut self, situation: &str, cause: &str, needs: Needs, took: Duration, report: &Value) {
        let needs = match needs {
            Needs::Nothing => "",
            Needs::Rights => "rights",
            Needs::Faketime => "faketime",
        };
        self.with_rights += usize::from(needs == "rights");
        let conclusion = report["conclusion"].as_str().unwrap_or_default();
        let conclusion: String = conclusion.chars().take(110).collect();
        self.rows.push(format!(
            "| {:2} | {situation:30} | {cause:18} | {needs:8} | {:4.1} s | {conclusion} |",
            self.rows.len() + 1,
            took.as_secs_f64()
        ));
    }
}

#[test]
fn the_doctor_names_the_cause_in_each_of_twenty_situations() {
    let mut table = Table {
        rows: Vec::new(),
        with_rights: 0,
    };
    network(&mut table);
    platform(&mut table);
    file(&mut table);
    println!("{}", table.rows.join("\n"));
    println!(
        "{} situations, {} of them made with rights",
        table.rows.len(),
        table.with_rights
    );
    assert_eq!(table.rows.len(), 20);
}

fn network(table: &mut Table) {
    let nothing = Needs::Nothing;
    let stage = registered(Stage::new());
    let platform = &stage.platform;
    table.row("all is well", None, nothing, || doctor(&stage, &[]));
    let ahead = registered(Stage::with(Platform::builder().clock_offset(7200)));
    table.row("wrong clock", Some("clock-wrong"), nothing, || {
        doctor(&ahead, &[])
    });
    table.row(
        "no time at boot",
        Some("clock-not-set"),
        Needs::Faketime,
        || {
            let mut command = Command::new("faketime");
            command.args(["-f", "@1970-01-02 00:00:00", program::PATH]);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            doctor_by(&stage, command, &[])
        },
    );
    table.row("no DNS", Some("name-not-resolved"), nothing, || {
        doctor(&stage, &["--instance", "api.spotflow.invalid"])
    });
    platform
        .present_certificate(ServerCertificate::OtherName)
        .unwrap();
    table.row(
        "DNS of a captive portal",
        Some("captive-portal"),
        nothing,
        || doctor(&stage, &[]),
    );
    let interceptor = ServerCertificate::OtherAuthority("Corporate Inspection CA");
    platform.present_certificate(interceptor).unwrap();
    table.row("intercepted TLS", Some("tls-intercepted"), nothing, || {
        let ended = doctor(&stage, &[]);
        assert!(
            ended.stdout.contains("issued by Corporate Inspection CA"),
            "{ended:#?}"
        );
        ended
    });
    platform
        .present_certificate(ServerCertificate::Valid)
        .unwrap();
    let expired = stage.directory.path().join("expired.pem");
    std::fs::write(&expired, expired_authority()).unwrap();
    table.row("expired CA bundle", Some("ca-expired"), nothing, || {
        doctor(&stage, &["--ca-file", text(&expired)])
    });
    let proxy = answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    table.row(
        "proxy needs a password",
        Some("proxy-login"),
        nothing,
        || doctor(&stage, &["--proxy", &proxy]),
    );
    let hole = black_hole(&stage);
    table.row("MTU black hole", Some("mtu-black-hole"), nothing, || {
        doctor(&stage, &["--instance", &hole])
    });
    let apart = registered(Stage::with(Platform::builder().own_hub_port(true)));
    apart.platform.accept_hub_connections(false).unwrap();
    table.row("8883 blocked", Some("port-blocked"), nothing, || {
        doctor(&apart, &[])
    });
}

fn platform(table: &mut Table) {
    let nothing = Needs::Nothing;
    let stage = registered(Stage::new());
    let platform = &stage.platform;
    platform.disable_workspace(true);
    table.row(
        "Workspace disabled",
        Some("workspace-disabled"),
        nothing,
        || doctor(&stage, &[]),
    );
    platform.disable_workspace(false);
    platform.http_answer(Route::FileNotification, HttpAnswer::new(429), None);
    table.row("hub throttles", Some("throttled"), nothing, || {
        doctor(&stage, &[])
    });
    platform.clear_http_faults();
    platform.revoke_registration_tokens(DEVICE).unwrap();
    table.row("token revoked", Some("token-refused"), nothing, || {
        doctor(&stage, &[])
    });
    let stage = registered(Stage::new());
    stage.platform.delete_device(DEVICE).unwrap();
    table.row("device deleted", Some("token-refused"), nothing, || {
        doctor(&stage, &[])
    });
}

fn file(table: &mut Table) {
    let stage = registered(Stage::new());
    let database = stage.database();
    let directory = stage.directory.path().to_owned();
    table.row("disk full", Some("disk-full"), Needs::Rights, || {
        let fill = "mount -t tmpfs -o size=512k none \"$mnt\"; cp \"$dir\"/device.db* \"$mnt\"; \
                    dd if=/dev/zero of=\"$mnt\"/fill bs=1k 2>/dev/null || true";
        on_another_disk(&stage, fill)
    });
    table.row("disk read-only", Some("read-only"), Needs::Rights, || {
        let freeze = "mount --bind \"$dir\" \"$mnt\"; mount -o remount,bind,ro \"$mnt\"";
        on_another_disk(&stage, freeze)
    });
    table.row(
        "file owned by root",
        Some("not-owned"),
        Needs::Nothing,
        || {
            if std::os::unix::fs::chown(&directory, Some(12_345), None).is_ok() {
                let ended = doctor(&stage, &[]);
                std::os::unix::fs::chown(&directory, Some(0), None).unwrap();
                return ended;
            }
            // Who may not give files away has some of root's.
            doctor(&stage, &["--db", "/etc/passwd"])
        },
    );
    poison(&database);
    table.row(
        "one poison Message",
        Some("poison-message"),
        Needs::Nothing,
        || doctor(&stage, &[]),
    );
    let stage = registered(Stage::new());
    let client = stage.start();
    let begun = Instant::now();
    let ended = doctor(&stage, &[]);
    let took = begun.elapsed();
    // Beside a client, which goes on.
    sender(&client)
        .send_message_timeout("beside", PATIENCE)
        .unwrap();
    client.close();
    assert_eq!(ended.code, 0, "{ended:#?}");
    let report = ended.json().remove(0);
    let checks = report["checks"].as_array().unwrap();
    let held = checks
        .iter()
        .find(|check| check["cause"] == "in-use")
        .unwrap();
    let holder = format!("process {} uses the file", std::process::id());
    assert!(
        held["summary"].as_str().unwrap().contains(&holder),
        "{held}"
    );
    table.add(
        "lock held",
        "in-use (a note)",
        Needs::Nothing,
        took,
        &report,
    );
    damage(&stage.database());
    table.row("damaged file", Some("damaged-file"), Needs::Nothing, || {
        doctor(&stage, &[])
    });
}

/// A certificate authority whose time is over.
fn expired_authority() -> String {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2010, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem()
}

/// A server that says the same to everybody; where it is.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let read = socket.read(&mut [0; 4096]);
            drop(read.and_then(|_| socket.write_all(answer)));
        }
    });
    address.to_string()
}

/// A way to the Platform on which large packets get lost: what the Platform says comes through only on connections that
/// have agreed on small segments.
fn black_hole(stage: &Stage) -> String {
    const LARGEST: u32 = 1000;
    let instance = stage.platform.instance();
    let (name, port) = instance.rsplit_once(':').unwrap();
    let target = format!("127.0.0.1:{port}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let here = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let near = near.unwrap();
            let is_small = socket2::SockRef::from(&near).tcp_mss().unwrap() < LARGEST;
            let far = TcpStream::connect(&target).unwrap();
            pass_on(near.try_clone().unwrap(), far.try_clone().unwrap(), true);
            pass_on(far, near, is_small);
        }
    });
    format!("{name}:{here}")
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, is_open: bool) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if is_open && to.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
        drop(to.shutdown(Shutdown::Write));
    });
}

/// Runs the program where a copy of the device's directory, `$dir`, is on another disk, `$mnt`, as the script makes it.
fn on_another_disk(stage: &Stage, script: &str) -> Ended {
    let mount_point = tempfile::tempdir().unwrap();
    let script = format!("set -e\n{script}\nexec \"$program\" \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &script,
            "sh",
        ])
        .env("dir", stage.directory.path())
        .env("mnt", mount_point.path())
        .env("program", program::PATH);
    let database: PathBuf = mount_point.path().join("device.db");
    doctor_by(stage, command, &["--db", text(&database)])
}

/// As the link leaves it after the minutes that it takes to be sure.
fn poison(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    let reason = "the hub closed the connection each of the 5 times that it got this Message alone, within 2m";
    connection
        .execute(
            "INSERT INTO set_aside (id, set_aside_at_ms, reason, workspace_id, device_id, stored_at_ms, properties, upload, body)
             VALUES (1, 1, ?1, 'w', 'd', 1, '', 0, x'00')",
            [reason],
        )
        .unwrap();
}

/// Overwrites a page of each table with nonsense.
fn damage(database: &Path) {
    let mut bytes = std::fs::read(database).unwrap();
    for byte in bytes.iter_mut().skip(1024) {
        *byte = 0xa5;
    }
    std::fs::write(database, bytes).unwrap();
}

#[test]
fn a_bundle_holds_all_of_it_for_its_owner_only() {
    let stage = registered(Stage::new());
    let bundle = stage.directory.path().join("ticket.json");
    let ended = doctor(&stage, &["--bundle", text(&bundle)]);
    assert_eq!(ended.code, 0, "{ended:#?}");
    let written = std::fs::read_to_string(&bundle).unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written, ended.json()[0]);
    let again = doctor(&stage, &["--bundle", text(&bundle)]);
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (1, ""),
        "nothing is overwritten"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            bundle.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

/// Also as text, with a password in the proxy's name and the token in a file.
#[test]
fn no_secret_is_shown_by_a_doctor_that_is_told_them() {
    let stage = registered(Stage::new());
    let (database, token) = (stage.database(), stage.directory.path().join("token"));
    std::fs::write(&token, stage.platform.provisioning_token()).unwrap();
    let proxy = format!(
        "http://user:hunter2@{}",
        answering(b"HTTP/1.1 407 No hunter2\r\n\r\n")
    );
    let arguments = [
        "doctor",
        "--db",
        text(&database),
        "--token-file",
        text(&token),
    ];
    for more in [&[][..], &["--json"]] {
        let ended = program::run(
            &stage,
            &[&arguments[..], &["--proxy", &proxy], more].concat(),
        );
        assert_eq!(ended.code, 1, "{ended:#?}");
        assert!(ended.stdout.contains("proxy-login"), "{ended:#?}");
        assert!(!ended.stdout.contains("hunter2"), "{ended:#?}");
    }
}

/// What cannot be told is not called well: no file, and nobody to ask about the clock.
#[test]
fn a_platform_that_is_silent_is_a_finding_and_the_doctor_ends() {
    let stage = registered(Stage::new());
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let instance = silent.local_addr().unwrap().to_string();
    let ended = program::run(&stage, &["doctor", "--json", "--instance", &instance]);
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert_eq!(ended.json()[0]["cause"], "unreachable");
    let clock = ended.json()[0]["checks"].clone();
    let clock = clock
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "clock");
    assert_eq!(clock.unwrap()["verdict"], "cannot tell");
}
