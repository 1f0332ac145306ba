//! How long Desired Properties take from the broker to the callback: `cargo bench --bench properties`.
//!
//! The embedded Platform is in the same process. The clock starts when they are set there, and ends in the callback;
//! they are stored, and synced to the disk unless the durability is relaxed, in between.

mod support;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use spotflow_device::Durability;
use spotflow_emulator::Platform;
use support::{Stage, sender};

const DEVICE: &str = "configured";
/// Ends the bench if they never come.
const DEADLINE: Duration = Duration::from_secs(20);

fn properties(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("Desired Properties, broker to callback");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    for (name, durability) in [
        ("power-safe", Durability::PowerSafe),
        ("kill-safe", Durability::KillSafe),
    ] {
        let stage = Stage::with(Platform::builder());
        let (told, news) = mpsc::channel();
        let client = stage
            .device()
            .device_id(DEVICE)
            .durability(durability)
            .on_desired_properties(move |desired| {
                // Nobody listens any more once the bench is over.
                told.send((Instant::now(), desired.version())).ok();
            })
            .start()
            .expect("the device starts");
        sender(&client).send_message("connected").expect("sent");
        let mut number = 0;
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    number += 1;
                    let begun = Instant::now();
                    let version = stage
                        .platform
                        .set_desired(DEVICE, &json!({ "intervalSeconds": number }))
                        .expect("the device is known");
                    let arrived = loop {
                        let (at, came) = news.recv_timeout(DEADLINE).expect("they arrive");
                        if came == version {
                            break at;
                        }
                    };
                    took += arrived.duration_since(begun);
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, properties);
criterion_main!(benches);
