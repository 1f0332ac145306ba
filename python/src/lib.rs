//! The Python package `spotflow_device`: a thin layer that converts, over the library of the same name.
//!
//! Two rules hold everywhere: a thread of the library never takes the interpreter's lock (what it has for
//! Python is queued, in `events` and `logs`); and whoever may wait does so without that lock, through
//! `gate`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod arguments;
mod build_info;
mod client;
mod cloud_message;
mod errors;
mod events;
mod gate;
mod handle;
mod json;
mod logs;
mod message;
mod options;
mod owned;
mod process;
mod sender;
mod signals;
mod status;

/// The native part of `spotflow_device`.
#[pyo3::pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::build_info::build_info;
    #[pymodule_export]
    use super::client::DeviceClient;
    #[pymodule_export]
    use super::cloud_message::CloudMessage;
    #[pymodule_export]
    use super::events::{ConnectionChange, DesiredProperties, Events, ProvisioningOperation};
    #[pymodule_export]
    use super::logs::{next_log_records, stop_logging};
    #[pymodule_export]
    use super::message::Message;
    #[pymodule_export]
    use super::options::{Codec, Compression, Durability, WhenFull};
    #[pymodule_export]
    use super::process::{
        after_fork_in_child, after_fork_in_parent, before_fork, close_all, end_waits,
    };
    #[pymodule_export]
    use super::sender::StreamSender;
    #[pymodule_export]
    use super::status::{Recovery, SetAsideMessage, Status};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::logs::install();
        Ok(())
    }
}
