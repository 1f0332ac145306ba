//! How long a tunnel lasts, and that nothing is left of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use spotflow_device::{MethodResponse, RemoteAccess};
use spotflow_emulator::Tunnel;

use super::{Access, assert_passes, connect};
use crate::support::{DEVICE, PATIENCE, Stage, eventually};

#[test]
fn a_tunnel_outlives_the_hubs_connection() {
    let access = Access::new();
    let (mut technician, mut service) = access.open();
    access.last(Tunnel::is_open);
    let connections = access.client.status().reconnects;
    access.stage.platform.close_connections();
    eventually("the device comes back", || {
        let status = access.client.status();
        status.is_connected && status.reconnects > connections
    });
    assert_passes(&mut technician, &mut service, b"still here");
}

#[test]
fn close_ends_all_tunnels() {
    let access = Access::new();
    let (mut technician, mut service) = access.open();
    access.client.close();
    assert!(access.client.status().tunnels.is_empty());
    // However the other ends learn of it: nothing more comes.
    assert!(matches!(service.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(matches!(technician.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn close_ends_a_tunnel_that_is_never_at_rest() {
    let access = Access::new();
    let (mut technician, mut service) = access.open();
    std::thread::spawn(move || while service.write_all(&[7; 64 << 10]).is_ok() {});
    std::thread::spawn(
        move || while technician.read(&mut [0; 256 << 10]).is_ok_and(|it| it > 0) {},
    );
    eventually("it is in full flow", || {
        let tunnels = access.client.status().tunnels;
        tunnels.iter().any(|tunnel| tunnel.sent_bytes > 16 << 20)
    });
    access.client.close();
    assert!(access.client.status().tunnels.is_empty());
}

#[test]
fn an_idle_tunnel_ends_at_its_limit_and_a_used_one_does_not() {
    let limit = Duration::from_millis(700);
    let access = Access::with(|options| options.idle_limit(limit));
    let (mut technician, mut service) = access.open();
    let begin = Instant::now();
    while begin.elapsed() < 2 * limit {
        assert_passes(&mut technician, &mut service, b"x");
    }
    assert_eq!(access.client.status().tunnels.len(), 1);
    service.read_to_end(&mut Vec::new()).unwrap();
    drop(service);
    access.wait_none();
}

#[test]
fn a_thousand_tunnels_leave_nothing_behind() {
    crate::support::in_a_process_of_its_own(
        "tunnels::ending::a_thousand_tunnels_leave_nothing_behind",
        || {
            let access = Access::new();
            let once = || {
                let (mut technician, mut service) = access.open();
                assert_passes(&mut technician, &mut service, b"x");
            };
            let settled = |count: usize| {
                let ended = |tunnels: &[Tunnel]| {
                    tunnels.iter().filter(|it| it.end.is_some()).count() >= count
                };
                access
                    .stage
                    .platform
                    .wait_for_tunnels(ended, PATIENCE)
                    .unwrap();
                access.wait_none();
            };
            once();
            settled(1);
            let (threads, files) = (count("/proc/self/task"), count("/proc/self/fd"));
            for round in 0..10 {
                for _ in 0..100 {
                    once();
                }
                settled(2 + round);
            }
            eventually("all threads and files are gone", || {
                count("/proc/self/task") <= threads && count("/proc/self/fd") <= files
            });
        },
    );
}

#[cfg(target_os = "linux")]
#[test]
fn methods_and_remote_access_have_no_thread_until_they_are_used() {
    crate::support::in_a_process_of_its_own(
        "tunnels::ending::methods_and_remote_access_have_no_thread_until_they_are_used",
        || {
            let own_threads = || {
                let tasks = std::fs::read_dir("/proc/self/task").unwrap();
                let names = tasks.filter_map(|task| {
                    std::fs::read_to_string(task.unwrap().path().join("comm")).ok()
                });
                let mut names: Vec<String> = names
                    .filter(|name| {
                        name.starts_with("spotflow-") && !name.starts_with("spotflow-emu")
                    })
                    .map(|name| name.trim_end().to_owned())
                    .collect();
                names.sort();
                names
            };
            let idle = ["spotflow-link", "spotflow-store"];
            let stage = Stage::new();
            let service = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = service.local_addr().unwrap().port();
            let client = stage
                .device()
                .on_method("answer", |_| Ok(MethodResponse::ok(42)))
                .remote_access(RemoteAccess::new().port(port))
                .start()
                .unwrap();
            stage.wait_callable();
            eventually("nothing of the start is left", || own_threads() == idle);
            let answer = stage.platform.call_method(DEVICE, "answer", "1", PATIENCE);
            assert_eq!(answer.unwrap().status, 200);
            let technician = connect(stage.platform.forward(0, DEVICE, port).unwrap());
            let (end, _) = service.accept().unwrap();
            eventually("a tunnel has one thread", || {
                own_threads() == [idle[0], idle[1], "spotflow-tunnel"]
            });
            drop((technician, end));
            eventually("nothing is left", || own_threads() == idle);
            drop(client);
        },
    );
}

fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}
