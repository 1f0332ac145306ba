//! How many Messages the hub takes in a second from one device, with a window of unacknowledged ones.
//!
//! `cargo run --release -p spotflow-emulator --example throughput -- [messages] [window] [ack delay in ms]`

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use rumqttc::mqttbytes::v4::Packet;
use spotflow_emulator::{AckMode, Platform};
use support::{Client, device, publish};

fn main() {
    let argument = |index, default| {
        std::env::args()
            .nth(index)
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (count, window, delay) = (argument(1, 200_000), argument(2, 64), argument(3, 0));
    let platform = Platform::builder()
        .record_payloads(true)
        .start()
        .expect("the Platform starts");
    if delay > 0 {
        platform.acknowledge(AckMode::After(Duration::from_millis(delay)));
    }
    let credentials = device(&platform, "throughput");
    let (mut client, _) = Client::connect(&platform, &credentials);
    let topic =
        credentials.events("stream-group-name=group&stream-name=stream&batch-id=1&message-id=1");

    let (start, cpu_before) = (Instant::now(), cpu_time());
    let (mut sent, mut acknowledged) = (0, 0);
    let mut bytes = bytes::BytesMut::new();
    while acknowledged < count {
        while sent < count && sent - acknowledged < window {
            sent += 1;
            let mut payload = [b'x'; 200];
            payload[..8].copy_from_slice(&sent.to_be_bytes());
            let packet_id = (sent % 60_000 + 1) as u16;
            Packet::Publish(publish(&topic, packet_id, &payload))
                .write(&mut bytes, usize::MAX)
                .expect("a packet");
        }
        if !bytes.is_empty() {
            client.send_bytes(&bytes).expect("the hub reads");
            bytes.clear();
        }
        acknowledged += client.receive_available();
    }
    let (took, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu_before));
    let rate = count as f64 / took.as_secs_f64();
    println!("{count} Messages of 200 bytes, window {window}: {took:.2?}, {rate:.0} a second");
    let cpu_us = cpu.as_secs_f64() * 1e6 / count as f64;
    println!("The client alone: {cpu_us:.2} us of CPU each");
    assert_eq!(platform.distinct_count(), count);
}

/// What this thread has used; zero where Linux does not count it.
fn cpu_time() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = counted
        .split(' ')
        .next()
        .and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
