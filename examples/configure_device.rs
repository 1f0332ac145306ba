//! A device is configured and commanded from the cloud, and tells it what it made of that.
//!
//! - Desired Properties say how the device should be. A callback wakes the device, which then asks
//!   for what is newer than what it has.
//! - Reported Properties say how it is.
//! - Cloud-to-device messages are commands: received, acted upon, completed.
//!
//! `cargo run --example configure_device` runs it on the embedded Platform, where it plays the cloud,
//! too. With `SPOTFLOW_PROVISIONING_TOKEN` (and `SPOTFLOW_INSTANCE`) set, the cloud is you.

mod support;

use std::error::Error;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use spotflow_device::{CloudMessage, Compression, DeviceClient, Result, StreamSender};
use spotflow_emulator::Platform;
use support::{PATIENCE, Stage};

/// What the cloud can set; what it leaves out is as by default.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    reading_interval_seconds: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            reading_interval_seconds: 60,
        }
    }
}

/// What the device reacts to.
enum Event {
    ConfigurationChanged,
    Command(CloudMessage),
}

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let (events, happened) = mpsc::channel();

    let client = stage
        .client()?
        .device_id("my-device")
        .cloud_messages(true)
        .on_desired_properties({
            let events = events.clone();
            // The device may have ended by now.
            move |_| drop(events.send(Event::ConfigurationChanged))
        })
        .start()?;

    let device = Device::new(client.clone())?;
    let device = thread::spawn(move || device.run(&happened));
    let commands = thread::spawn({
        let client = client.clone();
        move || pass_commands_on(&client, &events)
    });

    match &stage.platform {
        Some(platform) => play_the_cloud(platform, &client.device_id())?,
        None => println!(
            "Set the Desired Property readingIntervalSeconds, or send \"read\" or, at the end, \
             \"stop\" as a cloud-to-device message"
        ),
    }

    device.join().map_err(|_| "the device panicked")??;
    client.wait_enqueued_messages_sent()?;
    client.close();
    // Closing the client has ended the wait for commands.
    commands.join().map_err(|_| "the receiver panicked")??;
    Ok(())
}

/// Receives commands until the client is closed.
fn pass_commands_on(client: &DeviceClient, events: &Sender<Event>) -> Result<()> {
    loop {
        match client.receive_cloud_message(Duration::from_secs(3600)) {
            Ok(Some(command)) => {
                if events.send(Event::Command(command)).is_err() {
                    return Ok(());
                }
            }
            Ok(None) => {}
            Err(spotflow_device::Error::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The device's own thread: everything it does happens here, one after the other.
struct Device {
    client: DeviceClient,
    readings: StreamSender,
    settings: Settings,
    /// The version of the Desired Properties that was looked at last.
    version: Option<u64>,
    readings_sent: u64,
}

impl Device {
    fn new(client: DeviceClient) -> Result<Device> {
        Ok(Device {
            readings: client.create_stream_sender(None, "readings", Compression::Uncompressed)?,
            client,
            settings: Settings::default(),
            version: None,
            readings_sent: 0,
        })
    }

    fn run(mut self, happened: &Receiver<Event>) -> Result<()> {
        loop {
            let interval = Duration::from_secs(self.settings.reading_interval_seconds);
            match happened.recv_timeout(interval) {
                Ok(Event::ConfigurationChanged) => self.configure()?,
                Ok(Event::Command(command)) => {
                    let goes_on = self.obey(&command)?;
                    // Only now is it forgotten: had the device failed, it would come again.
                    command.complete()?;
                    if !goes_on {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.send_reading()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Takes over the newest Desired Properties, and reports what came of it. Settings that cannot be
    /// read change nothing.
    fn configure(&mut self) -> Result<()> {
        let Some(desired) = self.client.get_desired_properties_if_newer(self.version) else {
            return Ok(());
        };
        self.version = Some(desired.version());
        let problem = match desired.deserialize() {
            Ok(settings) => {
                self.settings = settings;
                None
            }
            Err(error) => Some(error.to_string()),
        };
        println!(
            "Device: configuration {}: {}",
            desired.version(),
            problem.as_deref().unwrap_or("taken over")
        );
        // The whole document: the client sends what changed, and removes what is gone or null.
        self.client.update_reported_properties(&json!({
            "configurationVersion": desired.version(),
            "problem": problem,
            "settings": self.settings,
        }))
    }

    /// Returns whether the device goes on.
    fn obey(&mut self, command: &CloudMessage) -> Result<bool> {
        let name = String::from_utf8_lossy(command.payload());
        println!("Device: the command {name:?}");
        match name.as_ref() {
            "read" => self.send_reading()?,
            "stop" => return Ok(false),
            // Completed all the same: it would be no better the next time.
            _ => println!("Device: it is unknown"),
        }
        Ok(true)
    }

    /// Readings are numbered: the Platform takes a Message that equals the one before for a repeat.
    fn send_reading(&mut self) -> Result<()> {
        self.readings_sent += 1;
        let reading = json!({"number": self.readings_sent, "temperatureCelsius": 21.5});
        self.readings.enqueue_message(reading.to_string())
    }
}

/// What a person or a program does on the other side, and what they must see of it.
fn play_the_cloud(platform: &Platform, device: &str) -> Result<(), Box<dyn Error>> {
    platform.set_desired(device, &json!({"readingIntervalSeconds": 600}))?;
    let reported = platform.wait_for_reported(
        device,
        |reported| reported["settings"]["readingIntervalSeconds"] == 600,
        PATIENCE,
    )?;
    println!("Cloud:  it is configured: {reported}");

    platform.set_desired(device, &json!({"readingIntervalSeconds": "often"}))?;
    let reported = platform.wait_for_reported(
        device,
        |reported| {
            reported["problem"].is_string() && reported["settings"]["readingIntervalSeconds"] == 600
        },
        PATIENCE,
    )?;
    println!("Cloud:  it kept its settings: {reported}");

    platform.set_desired(device, &json!({"readingIntervalSeconds": 300}))?;
    platform.wait_for_reported(
        device,
        |reported| {
            reported.get("problem").is_none()
                && reported["settings"]["readingIntervalSeconds"] == 300
        },
        PATIENCE,
    )?;
    println!("Cloud:  the problem is gone from the Reported Properties");

    platform.send_cloud_message(device, "read", &[])?;
    let messages = platform.wait_for_messages(1, PATIENCE)?;
    println!("Cloud:  a reading on command: {}", messages[0].text());

    platform.send_cloud_message(device, "stop", &[])?;
    platform.wait_for_cloud_messages(device, 0, PATIENCE)?;
    println!("Cloud:  every command was taken");
    Ok(())
}
