//! How long each codec takes for telemetry in JSON, and how small it makes it: `cargo bench --bench compressing
//! --features gzip,zstd`.
//!
//! Each is stored without being synced, as nothing but an enqueued Message is ever compressed; what that takes by
//! itself is beside it. The bytes are printed as a table first. The published SDK has Brotli at the same two
//! qualities, 1 and 11; benches/compare holds the bytes against what it sends.

mod support;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spotflow_device::{Codec, Compression, DeviceClient, Durability};
use support::{Stage, telemetry};

const READINGS: [usize; 3] = [2, 20, 200];
const CODECS: [Codec; 3] = [Codec::Brotli, Codec::Gzip, Codec::Zstd];
const EFFORTS: [Compression; 2] = [Compression::Fastest, Compression::SmallestSize];

fn device(codec: Codec) -> (Stage, DeviceClient) {
    let stage = Stage::without_hub();
    let builder = stage.device().durability(Durability::KillSafe).codec(codec);
    let client = builder.start().expect("the device starts");
    (stage, client)
}

/// Stores it once; returns how many bytes it has in the file.
fn stored_bytes(client: &DeviceClient, compression: Compression, text: &str) -> u64 {
    let sender = client
        .create_stream_sender(None, None, compression)
        .expect("a sender");
    let before = client.status().pending_bytes;
    sender.enqueue_message(text).expect("stored");
    client.status().pending_bytes - before
}

fn print_bytes(texts: &[String]) {
    let row = |name: &str, sizes: Vec<u64>| {
        let cells: Vec<String> = sizes.iter().map(|size| format!("{size:>8}")).collect();
        println!("{name:<24} {}", cells.join(" "));
    };
    row(
        "bytes of telemetry",
        texts.iter().map(|text| text.len() as u64).collect(),
    );
    for codec in CODECS {
        let (_stage, client) = device(codec);
        for effort in EFFORTS {
            let size = |text: &String| stored_bytes(&client, effort, text);
            row(
                &format!("{codec:?}, {effort:?}"),
                texts.iter().map(size).collect(),
            );
        }
    }
}

fn compressing(criterion: &mut Criterion) {
    let texts = READINGS.map(telemetry);
    print_bytes(&texts);
    let mut group = criterion.benchmark_group("compressing");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(1));
    for text in &texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        for codec in CODECS {
            for effort in EFFORTS {
                bench(
                    &mut group,
                    codec,
                    effort,
                    text,
                    &format!("{codec:?}, {effort:?}"),
                );
            }
        }
        bench(
            &mut group,
            Codec::Brotli,
            Compression::Uncompressed,
            text,
            "not compressed",
        );
    }
    group.finish();
}

fn bench(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    codec: Codec,
    compression: Compression,
    text: &str,
    name: &str,
) {
    let (_stage, client) = device(codec);
    let sender = client
        .create_stream_sender(None, None, compression)
        .expect("a sender");
    group.bench_function(format!("{} bytes, {name}", text.len()), |bencher| {
        bencher.iter(|| sender.enqueue_message(text).expect("stored"));
    });
}

criterion_group!(benches, compressing);
criterion_main!(benches);
