//! Synchronous, thread-based device SDK for the Spotflow IoT Platform.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod backoff;
mod callbacks;
mod client;
mod clock;
mod compression;
mod error;
mod failure_log;
mod http;
mod inbox;
mod link;
mod message;
mod net;
mod outbox;
mod properties;
mod registration;
mod secret;
mod status;
mod store;
mod twin;
mod uploader;
mod wait;
mod worker;

pub use client::{DeviceClient, DeviceClientBuilder, SetAsideMessage, StreamSender};
pub use compression::{Codec, Compression};
pub use error::{Error, Result};
pub use inbox::CloudMessage;
pub use message::{MAX_PAYLOAD_BYTES, Message};
pub use registration::ProvisioningOperation;
pub use status::{ConnectionChange, Status};
pub use store::Durability;
pub use twin::DesiredProperties;
pub use wait::InterruptCheck;
