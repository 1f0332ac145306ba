//! How long `enqueue_message` takes, without a network: `cargo bench --bench storing`.
//!
//! The disk decides it where each Message survives power loss, as is the default: a bare loop of append and fdatasync
//! is beside it.

mod support;

use std::fs::File;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use spotflow_device::{Compression, DeviceClient, Durability, StreamSender};
use support::{Stage, sender, telemetry};

const THREADS: u64 = 8;

fn storing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("storing");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(1));
    for bytes in [200, 4096] {
        bare_loop(&mut group, bytes);
        for (name, durability) in [
            ("power-safe", Durability::PowerSafe),
            ("kill-safe", Durability::KillSafe),
        ] {
            one_thread(
                &mut group,
                &format!("{bytes} bytes, {name}"),
                durability,
                bytes,
            );
            many_threads(
                &mut group,
                &format!("{bytes} bytes, {name}"),
                durability,
                bytes,
            );
        }
    }
    compressed(&mut group);
    in_one_call(&mut group);
    group.finish();
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// What the disk allows.
fn bare_loop(group: &mut Group<'_>, bytes: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut file = File::create(directory.path().join("bare")).expect("a file");
    let payload = vec![b'x'; bytes];
    group.bench_function(
        format!("{bytes} bytes, bare append and fdatasync"),
        |bencher| {
            bencher.iter(|| {
                file.write_all(&payload).expect("written");
                file.sync_data().expect("synced");
            });
        },
    );
}

fn device(durability: Durability) -> (Stage, DeviceClient) {
    let stage = Stage::without_hub();
    let client = stage.device().durability(durability).start();
    (stage, client.expect("the device starts"))
}

fn one_thread(group: &mut Group<'_>, name: &str, durability: Durability, bytes: usize) {
    let (_stage, client) = device(durability);
    let sender = sender(&client);
    let payload = vec![b'x'; bytes];
    group.bench_function(name, |bencher| {
        bencher.iter(|| sender.enqueue_message(payload.as_slice()).expect("stored"));
    });
}

/// They share the sender.
fn many_threads(group: &mut Group<'_>, name: &str, durability: Durability, bytes: usize) {
    let (_stage, client) = device(durability);
    let sender = sender(&client);
    let payload = vec![b'x'; bytes];
    group.bench_function(format!("{name}, {THREADS} threads"), |bencher| {
        bencher.iter_custom(|iterations| {
            let begun = Instant::now();
            thread::scope(|scope| {
                for thread in 0..THREADS {
                    let count = iterations / THREADS + u64::from(thread < iterations % THREADS);
                    let (sender, payload) = (&sender, payload.as_slice());
                    scope.spawn(move || repeat(sender, payload, count));
                }
            });
            begun.elapsed()
        });
    });
}

fn repeat(sender: &StreamSender, payload: &[u8], count: u64) {
    for _ in 0..count {
        sender.enqueue_message(payload).expect("stored");
    }
}

/// Less is written; the time is the caller's. How codecs compare is the bench `compressing`.
fn compressed(group: &mut Group<'_>) {
    let text = telemetry(32);
    for compression in [
        Compression::Uncompressed,
        Compression::Fastest,
        Compression::SmallestSize,
    ] {
        let (_stage, client) = device(Durability::PowerSafe);
        let sender = client
            .create_stream_sender(None, None, compression)
            .expect("a sender");
        let name = format!(
            "{} bytes of telemetry, power-safe, {compression:?}",
            text.len()
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| sender.enqueue_message(text.as_str()).expect("stored"));
        });
    }
}

/// What arrives together shares one commit.
fn in_one_call(group: &mut Group<'_>) {
    let (_stage, client) = device(Durability::PowerSafe);
    let sender = sender(&client);
    group.throughput(Throughput::Elements(1000));
    group.bench_function("1,000 of 200 bytes in one call, power-safe", |bencher| {
        bencher.iter(|| {
            sender
                .enqueue_messages((0..1000).map(|_| [b'x'; 200]))
                .expect("stored")
        });
    });
}

criterion_group!(benches, storing);
criterion_main!(benches);
