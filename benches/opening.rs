//! How long a start takes on a file with queued Messages, beside one on an empty file: `cargo bench --bench opening`.
//!
//! Nothing listens, so that the start is not the network's.

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use spotflow_device::Durability;
use spotflow_emulator::Platform;
use support::{Stage, sender};

const QUEUED: usize = 100_000;
const AT_ONCE: usize = 1000;

fn opening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("opening");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    for queued in [0, QUEUED] {
        let stage = with_queued(queued);
        group.bench_function(format!("{queued} Messages of 200 bytes"), |bencher| {
            bencher.iter_custom(|iterations| {
                (0..iterations)
                    .map(|_| {
                        let begun = Instant::now();
                        let client = stage.device().start().expect("it starts offline");
                        let took = begun.elapsed();
                        assert_eq!(client.pending_messages_count(), queued as u64);
                        client.close();
                        took
                    })
                    .sum()
            });
        });
    }
    group.finish();
}

/// A registered device that nobody listens to, with so many Messages in its file.
fn with_queued(count: usize) -> Stage {
    let stage = Stage::with(Platform::builder());
    let client = stage
        .device()
        .durability(Durability::KillSafe)
        .start()
        .expect("the device is registered");
    stage
        .platform
        .accept_connections(false)
        .expect("the port closes");
    stage.platform.close_connections();
    for _ in 0..count / AT_ONCE {
        sender(&client)
            .enqueue_messages((0..AT_ONCE).map(|_| [b'x'; 200]))
            .expect("stored");
    }
    client.close();
    stage
}

criterion_group!(benches, opening);
criterion_main!(benches);
