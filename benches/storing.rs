//! How long `enqueue_message` takes, without a network: `cargo bench --bench storing`.
//!
//! The disk decides it where each Message survives power loss, as is the default.

mod support;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spotflow_device::Durability;
use spotflow_emulator::Platform;
use support::{Stage, sender};

fn storing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("storing");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    for (name, durability) in [
        ("power-safe", Durability::PowerSafe),
        ("kill-safe", Durability::KillSafe),
    ] {
        for bytes in [200, 4096] {
            let stage = Stage::with(Platform::builder().own_hub_port(true));
            stage
                .platform
                .accept_hub_connections(false)
                .expect("the hub's port closes");
            let client = stage
                .device()
                .durability(durability)
                .start()
                .expect("the device starts");
            let sender = sender(&client);
            let payload = vec![b'x'; bytes];
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{bytes} bytes, {name}"), |bencher| {
                bencher.iter(|| sender.enqueue_message(payload.as_slice()).expect("stored"));
            });
        }
    }
    // What arrives together shares one commit.
    let stage = Stage::with(Platform::builder().own_hub_port(true));
    stage
        .platform
        .accept_hub_connections(false)
        .expect("the hub's port closes");
    let client = stage.device().start().expect("the device starts");
    let sender = sender(&client);
    group.throughput(Throughput::Elements(1000));
    group.bench_function("1,000 of 200 bytes in one call, power-safe", |bencher| {
        bencher.iter(|| {
            sender
                .enqueue_messages((0..1000).map(|_| [b'x'; 200]))
                .expect("stored")
        });
    });
    group.finish();
}

criterion_group!(benches, storing);
criterion_main!(benches);
