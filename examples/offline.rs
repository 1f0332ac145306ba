//! A device without a network: it starts, stores, is restarted, and delivers when the network is back.
//!
//! Only the first start ever needs the Platform, for the registration. After that the device starts
//! with what it has stored.
//!
//! `cargo run --example offline` runs it on the embedded Platform, which takes the network away and
//! gives it back. With `SPOTFLOW_PROVISIONING_TOKEN` (and `SPOTFLOW_INSTANCE`) set, that is up to you.

mod support;

use std::error::Error;
use std::time::Duration;

use spotflow_device::{Compression, DeviceClient, Status};
use spotflow_emulator::Platform;
use support::{Outcome, PATIENCE, Stage, check};

fn main() -> Outcome {
    let stage = Stage::set()?;

    println!("-- With a network: the device registers, and sends reading 0");
    let client = start(&stage)?;
    let mut next_reading = 0;
    enqueue_readings(&client, &mut next_reading, 1)?;
    client.wait_enqueued_messages_sent()?;
    client.close();

    network_down(&stage)?;
    println!("-- Without a network: the device starts, and stores readings 1 to 10");
    let client = start(&stage)?;
    enqueue_readings(&client, &mut next_reading, 10)?;
    show(&client.status());
    // The device is switched off. What is stored stays stored.
    client.close();

    println!("-- Restarted, still without a network: it stores readings 11 to 20");
    let client = start(&stage)?;
    enqueue_readings(&client, &mut next_reading, 10)?;
    show(&client.status());
    if stage.platform.is_some() {
        check(
            client.pending_messages_count() == 20,
            "not 20 Messages are pending",
        )?;
        check(!client.status().is_connected, "it is not offline")?;
    }

    network_up(&stage)?;
    println!("-- The network is back");
    loop {
        match client.wait_enqueued_messages_sent_timeout(Duration::from_secs(5)) {
            Ok(()) => break,
            // Time for something else; the client goes on trying by itself.
            Err(spotflow_device::Error::TimedOut) => show(&client.status()),
            Err(error) => return Err(error.into()),
        }
    }
    show(&client.status());
    check(client.pending_messages_count() == 0, "something is pending")?;
    if let Some(platform) = &stage.platform {
        check_received(platform, next_reading)?;
    }
    client.close();
    Ok(())
}

fn start(stage: &Stage) -> Result<DeviceClient, Box<dyn Error>> {
    let client = stage
        .client()?
        .device_id("my-device")
        .on_connection_change(|change| match change.error {
            None if change.is_connected => println!("Connected"),
            None => println!("Disconnected"),
            Some(error) => println!("Connection lost: {error}"),
        })
        .start()?;
    println!("Started as {}", client.device_id());
    Ok(client)
}

fn enqueue_readings(
    client: &DeviceClient,
    next_reading: &mut u32,
    count: u32,
) -> spotflow_device::Result<()> {
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    for _ in 0..count {
        sender.enqueue_message(format!("reading {next_reading}"))?;
        *next_reading += 1;
    }
    Ok(())
}

fn show(status: &Status) {
    let connected = if status.is_connected { "yes" } else { "no" };
    println!(
        "Connected: {connected}; {} Messages pending, {} bytes",
        status.pending_messages, status.pending_bytes
    );
    if let Some(age) = status.oldest_pending_age {
        println!("  the oldest was stored {} ms ago", age.as_millis());
    }
    if !status.is_connected
        && let Some(error) = &status.last_error
    {
        let cause = error.source().map(|cause| format!(": {cause}"));
        println!("  the last error: {error}{}", cause.unwrap_or_default());
    }
}

fn network_down(stage: &Stage) -> Outcome {
    match &stage.platform {
        Some(platform) => platform.accept_connections(false)?,
        None => println!("-- Take the network away, and press Enter"),
    }
    wait_for_enter(stage)
}

fn network_up(stage: &Stage) -> Outcome {
    match &stage.platform {
        Some(platform) => platform.accept_connections(true)?,
        None => println!("-- Give the network back, and press Enter"),
    }
    wait_for_enter(stage)
}

fn wait_for_enter(stage: &Stage) -> Outcome {
    if stage.platform.is_none() {
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(())
}

/// What the embedded Platform received is what was stored, in order, each once.
fn check_received(platform: &Platform, count: u32) -> Outcome {
    let received = platform.wait_for_messages(count.try_into()?, PATIENCE)?;
    let texts: Vec<String> = received.iter().map(|message| message.text()).collect();
    let expected: Vec<String> = (0..count).map(|i| format!("reading {i}")).collect();
    check(
        texts == expected,
        "the readings are not those stored, in order",
    )?;
    println!(
        "The Platform received readings 0 to {}, in order, none repeated",
        count - 1
    );
    Ok(())
}
