//! A Platform at the far end of a wire that can be pulled: a device in a network namespace of its own, and another
//! namespace beside it.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use spotflow_emulator::Platform;

use crate::support::{Stage, run_alone, start_alone};

/// Set in the process that has the namespaces.
const ALONE: &str = "SPOTFLOW_TEST_WIRE";
const NEAR: &str = "10.77.0.1/24";
const FAR: &str = "10.77.0.2/24";
const FAR_ADDRESS: [u8; 4] = [10, 77, 0, 2];

/// Runs the body of the test of this name (as the test harness calls it) in a process that has such a network. Any
/// user may do that where user namespaces are allowed.
pub fn on_a_wire(test: &str, body: impl FnOnce(&Stage)) {
    if std::env::var_os(ALONE).is_some() {
        return run_alone(|| body(&stage()));
    }
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--net"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "yes");
    let given = "a network (`unshare --user --map-root-user --net`, and `ip` with veth)";
    start_alone(&mut command, given);
}

fn stage() -> Stage {
    ip("link set lo up");
    let near = std::process::id();
    // What a thread starts is in its network, and so is all that the Platform does.
    let far = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network for the Platform");
        ip("link set lo up");
        ip(&format!(
            "link add far type veth peer name near netns {near}"
        ));
        ip(&format!("addr add {FAR} dev far"));
        ip("link set far up");
        Stage::with(Platform::builder().bind(FAR_ADDRESS).own_hub_port(true))
    });
    let stage = far.join().expect("the Platform starts");
    ip(&format!("addr add {NEAR} dev near"));
    plug_in();
    stage
}

/// Takes the wire out of the device.
pub fn unplug() {
    ip("link set near down");
}

pub fn plug_in() {
    ip("link set near up");
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    let status = status.expect("`ip` (iproute2) is needed to make a network");
    assert!(status.success(), "ip {arguments}");
}
