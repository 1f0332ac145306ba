//! How fast a backlog leaves, by in-flight window, round trip and transport: `cargo bench --bench drain`.
//!
//! The embedded Platform is in the same process. A round trip of 50 ms is an acknowledgement that
//! comes 50 ms after its Message.

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spotflow_device::Transport;
use spotflow_emulator::{AckMode, Platform};
use support::{Stage, sender};

fn drain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("drain");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    let cases = [
        (Transport::Mqtt, 0, &[1, 16, 64][..]),
        (Transport::WebSocket, 0, &[1, 64]),
        (Transport::Mqtt, 50, &[1, 16, 64]),
    ];
    for (transport, round_trip_ms, windows) in cases {
        for &window in windows {
            let stage = Stage::with(Platform::builder());
            if round_trip_ms > 0 {
                let round_trip = Duration::from_millis(round_trip_ms);
                stage.platform.acknowledge(AckMode::After(round_trip));
            }
            let client = stage
                .device()
                .in_flight_window(window)
                .transport(transport)
                .start()
                .expect("it starts");
            let sender = sender(&client);
            sender.send_message("connected").expect("sent");
            let count = if round_trip_ms > 0 { 4 * window } else { 1000 };
            group.throughput(Throughput::Elements(count as u64));
            let name = format!("{transport:?}, window {window}, round trip {round_trip_ms} ms");
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut took = Duration::ZERO;
                    for _ in 0..iterations {
                        let begun = Instant::now();
                        let messages = (0..count).map(|_| [b'x'; 200]);
                        sender.enqueue_messages(messages).expect("stored");
                        client.wait_enqueued_messages_sent().expect("sent");
                        took += begun.elapsed();
                        stage.platform.clear_messages();
                    }
                    took
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, drain);
criterion_main!(benches);
