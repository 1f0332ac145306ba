//! What can go wrong when driving the Platform.

use std::io;
use std::time::Duration;

/// Why a call to the [`Platform`](crate::Platform) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port could not be taken, or the CA's file could not be written.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The throw-away certificates could not be made.
    #[error("cannot make the certificates")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No device of that name was ever registered (or it was deleted).
    #[error("no device {0:?} is registered")]
    UnknownDevice(String),
    /// No Provisioning Operation has that id or verification code.
    #[error("no provisioning operation has the id or verification code {0:?}")]
    UnknownOperation(String),
    /// The Provisioning Operation is no longer waiting for a decision.
    #[error("the provisioning operation {0} is already closed")]
    OperationClosed(String),
    /// The Device ID breaks the Platform's rule.
    #[error("{0:?} is not a device ID: 4 to 90 characters of 0-9 a-z A-Z - _ . are needed")]
    InvalidDeviceId(String),
    /// The properties break IoT Hub's rules.
    #[error("invalid properties: {0}")]
    InvalidProperties(String),
    /// The device is not connected, or has not subscribed to what is to be sent.
    #[error("the device {0:?} is not connected or has not subscribed")]
    NotConnected(String),
    /// The hub holds as many cloud-to-device messages for the device as it may.
    #[error("{0} cloud-to-device messages already wait for the device")]
    QueueFull(usize),
    /// The payload of a direct method is larger than the hub takes.
    #[error("{0} bytes are more than the hub takes with a direct method")]
    MethodPayloadTooLarge(usize),
    /// The device answered a direct method with what the hub cannot give to the caller.
    #[error("{device:?} answered the method {method:?} with what the hub does not take: {reason}")]
    BadMethodAnswer {
        /// The device.
        device: String,
        /// The method's name.
        method: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// No direct method was called under that number, or it was forgotten.
    #[error("no method was called under the number {0}, or that is long ago")]
    UnknownMethodCall(u64),
    /// The awaited did not happen in time.
    #[error(transparent)]
    Timeout(#[from] Timeout),
}

/// The awaited did not happen in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not within {waited:?}: {awaited}")]
pub struct Timeout {
    /// How long was waited.
    pub waited: Duration,
    /// What was waited for, and how far it came.
    pub awaited: String,
}
