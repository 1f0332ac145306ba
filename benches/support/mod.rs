//! A device and its Platform for a bench.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::fmt::Write;

use spotflow_device::{Compression, DeviceClient, DeviceClientBuilder, StreamSender};
use spotflow_emulator::{Builder, Platform};

/// An embedded Platform that keeps no payloads, and a directory for the database.
pub struct Stage {
    pub platform: Platform,
    pub directory: tempfile::TempDir,
}

impl Stage {
    pub fn with(builder: Builder) -> Stage {
        Stage {
            platform: builder
                .record_payloads(false)
                .start()
                .expect("the Platform starts"),
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Devices are registered, but have no hub: what they store stays.
    pub fn without_hub() -> Stage {
        let stage = Stage::with(Platform::builder().own_hub_port(true));
        stage
            .platform
            .accept_hub_connections(false)
            .expect("the hub's port closes");
        stage
    }

    pub fn device(&self) -> DeviceClientBuilder {
        DeviceClient::builder(
            self.platform.provisioning_token(),
            self.directory.path().join("device.db"),
        )
        .instance(self.platform.instance())
        .ca_file(self.platform.ca_file())
        .on_provisioning(|_| {})
    }
}

/// A sender to the default Stream, without compression.
pub fn sender(client: &DeviceClient) -> StreamSender {
    client
        .create_stream_sender(None, None, Compression::Uncompressed)
        .expect("a sender for the default Stream")
}

/// So many readings of a machine, one a second, as a device would write them in JSON.
pub fn telemetry(readings: usize) -> String {
    let mut chance = fastrand::Rng::with_seed(readings as u64);
    let mut temperature = 21.5;
    let mut text = String::new();
    for second in 0..readings {
        temperature += chance.f64() / 10.0 - 0.05;
        let (minutes, seconds, milliseconds) = (second / 60, second % 60, chance.u32(..1000));
        let start = if second == 0 { '[' } else { ',' };
        write!(
            text,
            r#"{start}{{"timestamp":"2026-11-22T12:{minutes:02}:{seconds:02}.{milliseconds:03}Z","machine":"press-4","temperatureCelsius":{temperature:.2},"cycles":{},"isRunning":{}}}"#,
            48_211 + second,
            chance.u32(..20) > 0,
        )
        .expect("a String takes everything");
    }
    text + "]"
}
