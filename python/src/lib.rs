//! The Python package `spotflow_device`: a thin layer that converts, over the library of the same name.
//!
//! Two rules hold everywhere: a thread of the library never takes the interpreter's lock (what it has for
//! Python is queued, in `events`, `calls` and `logs`); and whoever may wait does so without that lock, through
//! `gate`.
//!
//! From the top: `client`, `sender` and `cloud_message` are what programs hold, `handle` is a client with its
//! callback thread; `exit` and `fork` look after all of them. Below are the queues, then the ways out of the
//! interpreter's lock (`signals`, `gate`), at the bottom what belongs to one process or thread. A file uses
//! only what is below it.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod arguments;
mod build_info;
mod calls;
mod choices;
mod client;
mod clients;
mod cloud_message;
mod connection_change;
mod desired_properties;
mod errors;
mod events;
mod exit;
mod fork;
mod gate;
mod handle;
mod json;
mod limit_arguments;
mod logs;
mod made;
mod main_thread;
mod message;
mod methods;
mod own_threads;
mod owned;
mod pacing;
mod per_process;
mod pickling;
mod provisioning_operation;
mod remote_access;
mod sender;
mod signal_mask;
mod signals;
mod start_arguments;
mod status;
#[cfg(feature = "tool")]
mod tool;
mod unpoisoned;
mod values;

/// The native part of `spotflow_device`.
#[pyo3::pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::build_info::build_info;
    #[pymodule_export]
    use super::calls::{Call, Calls};
    #[pymodule_export]
    use super::client::DeviceClient;
    #[pymodule_export]
    use super::cloud_message::CloudMessage;
    #[pymodule_export]
    use super::connection_change::ConnectionChange;
    #[pymodule_export]
    use super::desired_properties::DesiredProperties;
    #[pymodule_export]
    use super::events::Events;
    #[pymodule_export]
    use super::exit::{at_exit, is_exiting};
    #[pymodule_export]
    use super::fork::{after_fork_in_child, after_fork_in_parent, before_fork};
    #[pymodule_export]
    use super::logs::{logging_is_over, next_log_records};
    #[pymodule_export]
    use super::main_thread::is_main_thread;
    #[pymodule_export]
    use super::message::Message;
    #[pymodule_export]
    use super::methods::{MethodRequest, MethodResponse};
    #[pymodule_export]
    use super::own_threads::start_thread;
    #[pymodule_export]
    use super::pacing::Pace;
    #[pymodule_export]
    use super::pickling::restore;
    #[pymodule_export]
    use super::provisioning_operation::ProvisioningOperation;
    #[pymodule_export]
    use super::remote_access::{RemoteAccess, TunnelRequest, TunnelStatus};
    #[pymodule_export]
    use super::sender::StreamSender;
    #[pymodule_export]
    use super::status::{PacingStatus, Recovery, SetAsideMessage, Status, UploadStatus};
    #[cfg(feature = "tool")]
    #[pymodule_export]
    use super::tool::run_tool;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::errors::load(module.py())?;
        super::logs::install();
        Ok(())
    }
}
