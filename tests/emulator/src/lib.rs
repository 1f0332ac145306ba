//! The Spotflow IoT Platform on loopback ports, for tests and for trying things out.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod api;
mod ca;
mod clock;
mod error;
mod faults;
mod front;
mod hub;
mod message;
mod news;
mod platform;
mod provisioning;
mod record;
mod registry;
mod requests;
mod secrets;
mod state;
mod upload;

pub use error::{Error, Timeout};
pub use faults::{AckMode, CutPoint};
pub use hub::{Connection, Direction, MethodAnswer, PacketKind, PacketSeen};
pub use message::Message;
pub use news::Event;
pub use platform::{Builder, Platform};
pub use provisioning::{Approval, Operation, OperationState};
pub use registry::Device;
pub use requests::{HttpRequest, Route};
pub use upload::Upload;
