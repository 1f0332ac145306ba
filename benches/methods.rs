//! How long a direct method takes from the hub to the handler and back, and what 1,000 calls a second do to
//! `send_message`: `cargo bench --bench methods`.
//!
//! The embedded Platform, which calls, is in the same process. `KillSafe`, so that the disk does not hide what calls do to
//! Messages.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Durability, MethodResponse};
use spotflow_emulator::Platform;
use support::{Stage, sender};

const DEVICE: &str = "bench-device";
const PATIENCE: Duration = Duration::from_secs(30);
const CALLS: usize = 5000;
const WARM_UP: usize = 200;
const CALLS_PER_SECOND: u32 = 1000;
const SECONDS: u32 = 5;

fn main() {
    let stage = Stage::with(Platform::builder());
    let client = stage
        .device()
        .device_id(DEVICE)
        .durability(Durability::KillSafe)
        .on_method("echo", |request| {
            Ok(MethodResponse::ok(request.payload().clone()))
        })
        .start()
        .expect("the device starts");
    wait_callable(&stage.platform);
    let call = || {
        let answer = stage.platform.call_method(DEVICE, "echo", "[1]", PATIENCE);
        assert_eq!(answer.expect("an answer").status, 200);
    };
    let round_trips = times(WARM_UP + CALLS, call).split_off(WARM_UP);
    println!("{:<52} {:>10} {:>10}", "", "p50", "p99");
    print("a method call, hub to handler to hub", round_trips);
    print("send_message, no calls", send_for(&client, seconds()));
    let answered = thread::scope(|scope| {
        let calls = scope.spawn(|| call_at_a_rate(&stage.platform));
        print(
            "send_message, 1,000 calls a second",
            send_for(&client, seconds()),
        );
        calls.join().expect("the caller")
    });
    println!(
        "answered with 200: {answered} of {} calls",
        CALLS_PER_SECOND * SECONDS
    );
    client.close();
}

fn seconds() -> Duration {
    Duration::from_secs(SECONDS.into())
}

fn wait_callable(platform: &Platform) {
    let subscribed = || platform.subscriptions(DEVICE);
    while !subscribed().iter().any(|filter| filter.contains("methods")) {
        thread::sleep(Duration::from_millis(5));
    }
}

fn times(count: usize, work: impl Fn()) -> Vec<Duration> {
    let time = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    (0..count).map(time).collect()
}

/// Sends one Message after the other for so long; the time that each took.
fn send_for(client: &DeviceClient, length: Duration) -> Vec<Duration> {
    let sender = sender(client);
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        let one = Instant::now();
        // No two in a row are equal, or the Platform would take the second one for a repeat.
        let payload = format!("{:0200}", took.len());
        sender.send_message(payload).expect("sent");
        took.push(one.elapsed());
    }
    took
}

/// Calls whether or not the ones before are answered; returns how many were.
fn call_at_a_rate(platform: &Platform) -> usize {
    let begun = Instant::now();
    let calls: Vec<u64> = (0..CALLS_PER_SECOND * SECONDS)
        .map(|number| {
            let due = begun + number * Duration::from_secs(1) / CALLS_PER_SECOND;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            platform
                .begin_method(DEVICE, "echo", "[1]", PATIENCE)
                .expect("a call")
        })
        .collect();
    let answers = calls
        .into_iter()
        .map(|number| platform.wait_for_method(number, PATIENCE));
    answers
        .filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200))
        .count()
}

fn print(name: &str, mut durations: Vec<Duration>) {
    durations.sort();
    let at = |share: f64| {
        let index = (share * (durations.len() - 1) as f64).round() as usize;
        format!("{} µs", durations[index].as_micros())
    };
    println!("{name:<52} {:>10} {:>10}", at(0.5), at(0.99));
}
