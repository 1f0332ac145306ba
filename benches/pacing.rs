//! How exactly a pace is kept, and what going at a pace gains where the hub throttles: `cargo bench --bench pacing`.
//!
//! The second part takes some five minutes, most of it for what runs into the throttle. `HUB_TAKES` (500
//! unless set) is how many Messages the hub takes a second, and at once after a pause.

mod support;

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use spotflow_device::{Durability, Pace, Pacing};
use spotflow_emulator::Platform;
use support::{Stage, sender};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TEN_SECONDS: Duration = Duration::from_secs(10);
const BACKLOG: usize = 20_000;
const IN_ONE_COMMIT: usize = 10_000;

fn main() -> Result<()> {
    for messages in [5.0, 50.0, 500.0] {
        let sent = sent_in_ten_seconds(Pace::new().messages_per_second(messages))?;
        compare(&format!("{messages} Messages"), sent.0, messages);
    }
    for bytes in [2_000, 50_000] {
        let sent = sent_in_ten_seconds(Pace::new().bytes_per_second(bytes))?;
        compare(&format!("{bytes} bytes"), sent.1, bytes as f64);
    }
    let hub_takes = std::env::var("HUB_TAKES").ok();
    let hub_takes = hub_takes.map_or(Ok(500), |takes| takes.parse())?;
    println!("the hub takes {hub_takes} Messages a second, and {BACKLOG} wait:");
    for (how, is_wanted) in [("at a pace", true), ("running into the throttle", false)] {
        let (took, closes) = drain(hub_takes, is_wanted)?;
        println!("  {how}: {took:.1?}, with {closes} connections that the hub closed");
    }
    Ok(())
}

fn compare(what: &str, sent: f64, per_second: f64) {
    let difference = 100.0 * (sent / (10.0 * per_second) - 1.0);
    println!("{what} a second: {sent} within 10 s, {difference:+.1} %");
}

/// Messages, and their bytes as the pace counts them.
fn sent_in_ten_seconds(pace: Pace) -> Result<(f64, f64)> {
    let stage = Stage::with(Platform::builder());
    let client = stage
        .device()
        .pacing(Pacing::new().all(pace))
        .durability(Durability::KillSafe)
        .start()?;
    let backlog = (0..IN_ONE_COMMIT).map(|_| [b'x'; 200]);
    sender(&client).enqueue_messages(backlog)?;
    // Behind the first, which goes at once, and the burst.
    stage.platform.wait_for_messages(2, TEN_SECONDS)?;
    let (began, before) = (Instant::now(), stage.platform.received_count());
    thread::sleep(TEN_SECONDS.saturating_sub(began.elapsed()));
    let sent = (stage.platform.received_count() - before) as f64;
    let topic = stage.platform.messages().first().map(|it| it.topic.len());
    // A fixed header of 3 bytes, the length of the topic and the packet id, of 2 each.
    let packet_bytes = 3 + 2 + topic.ok_or("no Message")? + 2 + 200;
    Ok((sent, sent * packet_bytes as f64))
}

/// How long the backlog takes, and how often the hub closes the connection meanwhile.
fn drain(hub_takes: u32, is_wanted: bool) -> Result<(Duration, usize)> {
    let stage = Stage::with(Platform::builder().own_hub_port(true));
    stage.platform.accept_hub_connections(false)?;
    stage
        .platform
        .throttle_messages(f64::from(hub_takes), hub_takes);
    let client = stage
        .device()
        .pacing(Pacing::new().slow_down_when_throttled(is_wanted))
        .durability(Durability::KillSafe)
        .start()?;
    for _ in 0..BACKLOG / IN_ONE_COMMIT {
        let some = (0..IN_ONE_COMMIT).map(|_| [b'x'; 200]);
        sender(&client).enqueue_messages(some)?;
    }
    stage.platform.accept_hub_connections(true)?;
    let before = stage.platform.connection_count();
    stage
        .platform
        .wait_for_connections(before + 1, Duration::from_secs(60))?;
    let began = Instant::now();
    client.wait_enqueued_messages_sent()?;
    let took = began.elapsed();
    let closes = stage.platform.connection_count() - before - 1;
    Ok((took, closes))
}
