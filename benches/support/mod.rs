//! A device and its Platform for a bench.

use spotflow_device::{Compression, DeviceClient, DeviceClientBuilder, StreamSender};
use spotflow_emulator::{Builder, Platform};

/// An embedded Platform that keeps no payloads, and a directory for the database.
pub struct Stage {
    pub platform: Platform,
    directory: tempfile::TempDir,
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
