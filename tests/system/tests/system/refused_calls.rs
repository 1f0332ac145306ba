//! A sandbox that refuses a system call: the device works without it, or says which one it is.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use spotflow_device::DeviceClient;

use crate::support::{DEVICE, PATIENCE, Stage, sender};

/// What a device does without a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Works,
    SaysSo,
    /// The standard library works without it, unless something in the process had it before.
    Either,
}
use Without::{Either, SaysSo, Works};

struct Call {
    name: &'static str,
    /// All that do the same.
    numbers: &'static [libc::c_long],
    without: Without,
}

const fn call(name: &'static str, numbers: &'static [libc::c_long], without: Without) -> Call {
    Call {
        name,
        numbers,
        without,
    }
}

#[cfg(target_arch = "x86_64")]
const EPOLL_WAIT: &[libc::c_long] = &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait];
#[cfg(not(target_arch = "x86_64"))]
const EPOLL_WAIT: &[libc::c_long] = &[libc::SYS_epoll_pwait];

const CALLS: [Call; 15] = [
    call("fallocate", &[libc::SYS_fallocate], Works),
    call("statx", &[libc::SYS_statx], Either),
    call("fstatat", &[libc::SYS_newfstatat], SaysSo),
    call(
        "faccessat",
        &[libc::SYS_faccessat, libc::SYS_faccessat2],
        Works,
    ),
    call("ioctl", &[libc::SYS_ioctl], Works),
    call("timerfd_create", &[libc::SYS_timerfd_create], Works),
    call("timerfd_settime", &[libc::SYS_timerfd_settime], Works),
    call("fdatasync", &[libc::SYS_fdatasync], Works),
    call("fsync", &[libc::SYS_fsync], SaysSo),
    call("flock", &[libc::SYS_flock], SaysSo),
    call("eventfd", &[libc::SYS_eventfd2], SaysSo),
    call("epoll_wait", EPOLL_WAIT, SaysSo),
    call("epoll_pwait2", &[libc::SYS_epoll_pwait2], Works),
    call("getrandom", &[libc::SYS_getrandom], Works),
    call("clock_gettime", &[libc::SYS_clock_gettime], Works),
];

/// Lets the calls fail with this error.
fn refusing(call: &Call, errno: i32) -> BpfProgram {
    let always = Vec::new;
    let rules: BTreeMap<i64, _> = call.numbers.iter().map(|it| (*it, always())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.unsigned_abs()),
        std::env::consts::ARCH
            .try_into()
            .expect("a known processor"),
    );
    let program = filter.expect("a filter").try_into();
    program.expect("a program")
}

const TEST: &str =
    "refused_calls::without_a_system_call_the_device_works_or_says_which_one_it_misses";

/// Set in the process of a device: which call is refused, and how; and where its Platform is.
const CALL: &str = "SPOTFLOW_TEST_CALL";
const ERRNO: &str = "SPOTFLOW_TEST_ERRNO";
const TOKEN: &str = "SPOTFLOW_TEST_TOKEN";
const INSTANCE: &str = "SPOTFLOW_TEST_INSTANCE";
const CA_FILE: &str = "SPOTFLOW_TEST_CA_FILE";
const DATABASE: &str = "SPOTFLOW_TEST_DATABASE";
const OUTCOME: &str = "outcome: ";
const ARRIVES: &str = "the Message arrives";

/// In a process of its own, as libraries remember that a call was there once. Started twice: the second finds what the
/// first has left.
fn be_a_device(call: &str) {
    let variable = |name| std::env::var(name).expect("set by the test");
    let call = CALLS.iter().find(|it| it.name == call).expect("a call");
    let errno = variable(ERRNO).parse().expect("a number");
    // All threads have the filter that are started by one that has it.
    seccompiler::apply_filter(&refusing(call, errno)).expect("the filter is taken");
    for _ in 0..2 {
        let device = DeviceClient::builder(variable(TOKEN), variable(DATABASE))
            .instance(variable(INSTANCE))
            .ca_file(variable(CA_FILE))
            .device_id(DEVICE)
            .on_provisioning(|_| {});
        let sent = device.start().and_then(|client| {
            let sent = sender(&client).send_message("here");
            client.close();
            sent
        });
        match sent {
            Ok(_) => println!("{OUTCOME}{ARRIVES}"),
            Err(error) => println!("{OUTCOME}{}", error.chain()),
        }
    }
}

/// What came of both starts.
fn outcomes(call: &Call, errno: i32, stage: &Stage) -> Vec<String> {
    let mut device = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", TEST, "--nocapture"])
        .env(CALL, call.name)
        .env(ERRNO, errno.to_string())
        .env(TOKEN, stage.platform.provisioning_token())
        .env(INSTANCE, stage.platform.instance())
        .env(CA_FILE, stage.platform.ca_file())
        .env(DATABASE, stage.database())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the device's process");
    let deadline = Instant::now() + PATIENCE;
    while device.try_wait().expect("its state").is_none() {
        if Instant::now() > deadline {
            device.kill().expect("it can be ended");
            return vec!["it hangs".to_owned()];
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let output = device.wait_with_output().expect("its output");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let directory = stage.directory.path().to_str().expect("a plain path");
    let outcomes = output.lines().filter_map(|line| line.split_once(OUTCOME));
    outcomes
        .map(|(_, outcome)| outcome.replace(directory, ""))
        .collect()
}

#[test]
fn without_a_system_call_the_device_works_or_says_which_one_it_misses() {
    if let Ok(call) = std::env::var(CALL) {
        return be_a_device(&call);
    }
    println!("| call | refused with | the first start, the second |\n|---|---|---|");
    let mut wrong = Vec::new();
    for call in &CALLS {
        for (errno, errno_name) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS")] {
            let stage = Stage::new();
            let outcomes = outcomes(call, errno, &stage);
            let line = format!(
                "| `{}` | {errno_name} | {} |",
                call.name,
                outcomes.join(", ")
            );
            println!("{line}");
            let is_expected = |outcome: &String| match call.without {
                Works => outcome == ARRIVES,
                SaysSo => outcome.contains(call.name),
                Either => outcome == ARRIVES || outcome.contains(call.name),
            };
            if outcomes.len() != 2 || !outcomes.iter().all(is_expected) {
                wrong.push(line);
                continue;
            }
            // What it did not do, it does once it may.
            let client = stage.start();
            assert!(client.status().recovery.is_none(), "{}", call.name);
            sender(&client).send_message("at last").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
