//! A device that starts on the database file of the published SDK, and tells what it finds there, one
//! JSON object a line.
//!
//! Arguments: what to do, instance, token, database, Device ID. What to do is `look` (start, tell what
//! is pending, end) or `send` (send all of it, then receive so many cloud-to-device messages as a
//! number on standard input says).
#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::time::Duration;

use serde_json::json;
use spotflow_device::{CloudMessage, DeviceClient};

type Failure = Box<dyn Error + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [task, instance, token, database, device_id] = arguments.as_slice() else {
        return Err("look|send INSTANCE TOKEN DATABASE DEVICE_ID".into());
    };
    let client = DeviceClient::builder(token.as_str(), database.as_str())
        .instance(instance.as_str())
        .device_id(device_id.as_str())
        .cloud_messages(true)
        .start()
        .map_err(|error| error.chain().to_string())?;
    tell(json!({
        "workspace_id": client.workspace_id(),
        "device_id": client.device_id(),
        "pending": client.pending_messages_count(),
        "set_aside": client.set_aside_messages()?.len(),
    }));
    if task == "send" {
        send(&client)?;
    }
    client.close();
    Ok(())
}

fn send(client: &DeviceClient) -> Result<(), Failure> {
    client.wait_enqueued_messages_sent_timeout(PATIENCE)?;
    let desired = client.get_desired_properties()?;
    tell(json!({ "version": desired.version(), "desired": desired.values() }));
    let mut count = String::new();
    io::stdin().read_line(&mut count)?;
    for _ in 0..count.trim().parse::<usize>()? {
        let message = client.receive_cloud_message(PATIENCE)?;
        let message = message.ok_or("a cloud-to-device message is missing")?;
        tell_message(&message);
        message.complete()?;
    }
    Ok(())
}

fn tell_message(message: &CloudMessage) {
    tell(json!({
        "payload": String::from_utf8_lossy(message.payload()),
        "properties": message.properties(),
    }));
}

fn tell(what: serde_json::Value) {
    println!("{what}");
}
