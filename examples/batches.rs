//! Batches: what belongs together, stored by the Platform as one.
//!
//! A machine works through a production run, and everything about it goes into one Batch:
//!
//! - measurements, in a slice for each phase of the run, stored and sent phase by phase,
//! - the run's protocol, a long text, sent in chunks as it is read,
//! - a photo, which is large: it goes up as a file, in its turn, without holding up the link.
//!
//! `cargo run --example batches` runs it on the embedded Platform, which then shows what it received.

mod support;

use std::io::Read;

use serde_json::json;
use spotflow_device::{Compression, DeviceClient, Message};
use spotflow_emulator::{Message as Received, Platform};
use support::{Outcome, Stage, check, picture};

const RUN: &str = "2026-11-22-run-4";
const PHASES: [&str; 2] = ["heating", "cooling"];
const READINGS_PER_PHASE: usize = 10;
const CHUNK_BYTES: u64 = 16 * 1024;

fn main() -> Outcome {
    let stage = Stage::set()?;
    let client = stage.client()?.device_id("my-machine").start()?;
    let (protocol, photo) = (protocol(), picture(400_000));

    send_measurements(&client)?;
    send_protocol(&client, protocol.as_bytes())?;
    send_photo(&client, &photo)?;
    println!(
        "All stored, {} Messages not yet sent; waiting for them",
        client.pending_messages_count()
    );
    client.wait_enqueued_messages_sent()?;
    println!("All sent");

    if let Some(platform) = &stage.platform {
        check_order(platform)?;
        check_measurements(&in_stream(platform, "measurements"))?;
        check_protocol(&in_stream(platform, "protocols"), &protocol)?;
        check_photo(&in_stream(platform, "photos"), &photo)?;
    }
    client.close();
    Ok(())
}

/// A slice for each phase. The Messages of a phase are stored in one commit: all of them or none, and
/// much faster than one by one.
fn send_measurements(client: &DeviceClient) -> Outcome {
    let sender = client.create_stream_sender("run", "measurements", Compression::Fastest)?;
    for phase in PHASES {
        sender.enqueue_messages((0..READINGS_PER_PHASE).map(|i| {
            Message::new(reading(i))
                .batch_id(RUN)
                .batch_slice_id(phase)
                .message_id(format!("{phase}-{i}"))
        }))?;
    }
    // A Message with another batch id would complete this Batch, too, but may be a long time coming.
    sender.enqueue_batch_completion(RUN)?;
    Ok(())
}

/// One Message in chunks: the Platform joins what has the same message id.
fn send_protocol(client: &DeviceClient, mut protocol: impl Read) -> Outcome {
    let sender = client.create_stream_sender("run", "protocols", Compression::SmallestSize)?;
    let name = "protocol.txt";
    for number in 0.. {
        let mut chunk = Vec::new();
        protocol
            .by_ref()
            .take(CHUNK_BYTES)
            .read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        let chunk = Message::new(chunk).batch_id(RUN).message_id(name);
        sender.enqueue_message(chunk.chunk_id(number.to_string()))?;
    }
    sender.enqueue_message_completion(RUN, name)?;
    sender.enqueue_batch_completion(RUN)?;
    Ok(())
}

/// Pictures are compressed already: trying again would only cost time.
fn send_photo(client: &DeviceClient, photo: &[u8]) -> Outcome {
    let sender = client.create_stream_sender("run", "photos", Compression::Uncompressed)?;
    let photo = Message::new(photo).batch_id(RUN).message_id("result.jpg");
    sender.enqueue_message(photo)?;
    sender.enqueue_batch_completion(RUN)?;
    Ok(())
}

fn reading(i: usize) -> String {
    json!({
        "second": i,
        "temperaturesCelsius": [20 + i, 21 + i, 22 + i, 20 + i, 21 + i, 22 + i],
        "pressuresPascal": [101_325, 101_325, 101_325, 101_325, 101_325, 101_325],
    })
    .to_string()
}

fn protocol() -> String {
    (0..1500)
        .map(|line| format!("{line:05}: valve 1 open, valve 2 closed\n"))
        .collect()
}

fn in_stream(platform: &Platform, stream: &str) -> Vec<Received> {
    let mut messages = platform.messages();
    messages.retain(|message| message.stream.as_deref() == Some(stream));
    messages
}

/// The Platform received the Streams in the order in which they were sent, nothing twice, and all of
/// it readable and in the Batch.
fn check_order(platform: &Platform) -> Outcome {
    let received = platform.messages();
    let mut streams: Vec<_> = received.iter().map(|m| m.stream.as_deref()).collect();
    streams.dedup();
    let expected = [Some("measurements"), Some("protocols"), Some("photos")];
    check(streams == expected, "the order was not kept")?;
    for message in &received {
        let right = !message.repeat
            && message.payload_error.is_none()
            && message.batch_id.as_deref() == Some(RUN);
        check(right, "a Message was repeated, unreadable or misplaced")?;
    }
    Ok(())
}

fn check_measurements(received: &[Received]) -> Outcome {
    let (completion, readings) = received.split_last().ok_or("no measurements came")?;
    let expected = PHASES
        .iter()
        .flat_map(|phase| (0..READINGS_PER_PHASE).map(move |i| (*phase, i)));
    let right = readings.iter().zip(expected).all(|(message, (phase, i))| {
        message.text() == reading(i) && message.batch_slice_id.as_deref() == Some(phase)
    });
    let complete = readings.len() == PHASES.len() * READINGS_PER_PHASE;
    check(right && complete, "the measurements are not those sent")?;
    check(completion.completes_batch(), "the Batch was not completed")?;
    println!("measurements: {} in {PHASES:?}, completed", readings.len());
    Ok(())
}

fn check_protocol(received: &[Received], protocol: &str) -> Outcome {
    let [chunks @ .., message_end, batch_end] = received else {
        return Err("no protocol came".into());
    };
    let joined: String = chunks.iter().map(Received::text).collect();
    check(joined == protocol, "the protocol is not the one sent")?;
    let completed = message_end.completes_message() && batch_end.completes_batch();
    check(completed, "the protocol was not completed")?;
    let sent_bytes: usize = chunks.iter().map(|chunk| chunk.raw_payload.len()).sum();
    check(sent_bytes < joined.len() / 2, "it was not compressed")?;
    println!(
        "protocol: {} bytes in {} chunks, {sent_bytes} bytes on the way",
        joined.len(),
        chunks.len()
    );
    Ok(())
}

fn check_photo(received: &[Received], photo: &[u8]) -> Outcome {
    let [picture, batch_end] = received else {
        return Err("not one photo and a completion came".into());
    };
    check(picture.payload == photo, "the photo is not the one sent")?;
    check(picture.is_external(), "the photo was not uploaded")?;
    check(batch_end.completes_batch(), "the Batch was not completed")?;
    println!("photo: {} bytes, uploaded", picture.payload.len());
    Ok(())
}
