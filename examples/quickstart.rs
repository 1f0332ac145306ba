//! A device is provisioned, sends sixty readings, and receives its configuration.
//!
//! `cargo run --example quickstart` runs it on the embedded Platform: no account, no network. With
//! `SPOTFLOW_PROVISIONING_TOKEN` (and `SPOTFLOW_INSTANCE`) set, it runs on a real instance.

mod support;

use std::error::Error;
use std::sync::mpsc;

use serde_json::{Value, json};
use spotflow_device::Compression;
use spotflow_emulator::Platform;
use support::{PATIENCE, Stage};

const READINGS: u32 = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let (news, configuration) = mpsc::channel();

    let client = stage
        .client()?
        .device_id("my-device")
        .on_provisioning(|operation| {
            println!("Provisioning operation: {}", operation.id);
            println!("Verification code:      {}", operation.verification_code);
            println!("Approve it until:       {}", operation.expiration_time);
        })
        .on_desired_properties(move |properties| {
            println!(
                "Desired Properties, version {}: {}",
                properties.version(),
                json!(properties.values())
            );
            // The example may have ended by now.
            news.send(properties).ok();
        })
        .start()?;
    println!(
        "Registered as {} in workspace {}",
        client.device_id(),
        client.workspace_id()
    );

    let sender = client.create_stream_sender(
        "default-stream-group",
        "default-stream",
        Compression::Uncompressed,
    )?;
    for i in 0..READINGS {
        sender.enqueue_message(reading(i).to_string())?;
    }
    println!("Enqueued {READINGS} readings; waiting until they are sent");
    client.wait_enqueued_messages_sent()?;
    println!("All sent");

    if let Some(platform) = &stage.platform {
        platform.set_desired(&client.device_id(), &json!({"readingIntervalSeconds": 10}))?;
        loop {
            let properties = configuration.recv_timeout(PATIENCE)?;
            if properties.values().contains_key("readingIntervalSeconds") {
                break;
            }
        }
        check_received(platform)?;
    }
    client.close();
    Ok(())
}

fn reading(i: u32) -> Value {
    json!({
        "timestamp": format!("2026-11-22T12:{:02}:{:02}Z", i / 60, i % 60),
        "temperatureCelsius": 21.0 + 0.05 * f64::from(i),
        "humidityPercent": 50.0 + 0.1 * f64::from(i),
    })
}

/// What the embedded Platform received is what was sent, in order, each once.
fn check_received(platform: &Platform) -> Result<(), Box<dyn Error>> {
    let received = platform.messages();
    for (i, message) in received.iter().enumerate() {
        let expected = reading(u32::try_from(i)?);
        if serde_json::from_slice::<Value>(&message.payload)? != expected {
            return Err(format!("Message {i} is not the one sent in its place").into());
        }
    }
    if received.len() != READINGS as usize {
        return Err(format!(
            "the Platform received {} Messages, not {READINGS}",
            received.len()
        )
        .into());
    }
    println!(
        "The Platform received {} Messages, all in order, none repeated",
        received.len()
    );
    Ok(())
}
