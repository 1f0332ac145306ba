//! How soon `send_message` returns after the hub's acknowledgement, and how long it takes as a
//! whole: `cargo bench --bench latency`.
//!
//! The embedded Platform is in the same process, so that both ends read the same clock. It notes the
//! time before it writes the PUBACK: what is printed is never better than the truth.

mod support;

use std::time::{Duration, Instant};

use spotflow_device::Durability;
use spotflow_emulator::Platform;
use support::{Stage, sender};

const COUNT: usize = 5000;
const WARM_UP: usize = 200;

fn main() {
    let head = format!("send_message, {COUNT} times");
    println!(
        "{head:<30} {:>10} {:>10} {:>10} {:>10}",
        "p50", "p99", "most", "over 1 ms"
    );
    for (name, durability) in [
        ("power-safe", Durability::PowerSafe),
        ("kill-safe", Durability::KillSafe),
    ] {
        let (after_acknowledgement, whole) = measure(durability);
        print(&format!("{name}, after the PUBACK"), after_acknowledgement);
        print(&format!("{name}, as a whole"), whole);
    }
}

fn measure(durability: Durability) -> (Vec<Duration>, Vec<Duration>) {
    let stage = Stage::with(Platform::builder());
    let client = stage
        .device()
        .durability(durability)
        .start()
        .expect("the device starts");
    let sender = sender(&client);
    let times: Vec<(Instant, Instant)> = (0..WARM_UP + COUNT)
        .map(|_| {
            let begun = Instant::now();
            sender.send_message([b'x'; 200]).expect("sent");
            (begun, Instant::now())
        })
        .collect();
    let messages = stage.platform.messages();
    assert_eq!(messages.len(), times.len(), "none was repeated");
    let measured = times.iter().zip(&messages).skip(WARM_UP);
    measured
        .map(|((begun, returned), message)| {
            let acknowledged = message.acknowledged_at.expect("acknowledged");
            (
                returned.duration_since(acknowledged),
                returned.duration_since(*begun),
            )
        })
        .unzip()
}

fn print(name: &str, mut durations: Vec<Duration>) {
    durations.sort();
    let at = |share: f64| {
        let index = (share * (durations.len() - 1) as f64).round() as usize;
        format!("{} µs", durations[index].as_micros())
    };
    let slow = durations
        .iter()
        .filter(|took| **took > Duration::from_millis(1))
        .count();
    println!(
        "{name:<30} {:>10} {:>10} {:>10} {slow:>10}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
