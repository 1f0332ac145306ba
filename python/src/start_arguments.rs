//! The arguments of `DeviceClient.start`, and what the library makes of them.

use std::time::Duration;

use pyo3::prelude::*;
use spotflow_device::DeviceClientBuilder;

use crate::arguments::{boolean, callback, count, invalid, optional_text, path, seconds, text};
use crate::choices::choice;
use crate::handle::{Callbacks, Methods, RemoteAccess};
use crate::limit_arguments::LimitArguments;
use crate::pacing::PacingArguments;
use crate::{methods, remote_access};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// As they come from Python; `None` stands for the library's default.
pub struct StartArguments<'a, 'py> {
    pub device_id: Argument<'a, 'py>,
    pub provisioning_token: &'a Bound<'py, PyAny>,
    pub db: &'a Bound<'py, PyAny>,
    pub instance: Argument<'a, 'py>,
    pub display_provisioning_operation_callback: Argument<'a, 'py>,
    pub desired_properties_updated_callback: Argument<'a, 'py>,
    pub allow_remote_access: Argument<'a, 'py>,
    pub connection_changed_callback: Argument<'a, 'py>,
    pub ca_file: Argument<'a, 'py>,
    pub cloud_messages: Argument<'a, 'py>,
    pub in_flight_window: Argument<'a, 'py>,
    pub durability: Argument<'a, 'py>,
    pub keep_alive: Argument<'a, 'py>,
    pub codec: Argument<'a, 'py>,
    pub limits: LimitArguments<'a, 'py>,
    pub methods: Argument<'a, 'py>,
    pub method_request_callback: Argument<'a, 'py>,
    pub method_threads: Argument<'a, 'py>,
    pub proxy: Argument<'a, 'py>,
    pub timeout: Argument<'a, 'py>,
    pub transport: Argument<'a, 'py>,
    pub remote_access_callback: Argument<'a, 'py>,
    pub pacing: PacingArguments<'a, 'py>,
    pub upload_progress_callback: Argument<'a, 'py>,
}

impl<'a, 'py> StartArguments<'a, 'py> {
    /// All but what calls the program.
    pub fn builder(&self) -> PyResult<DeviceClientBuilder> {
        let token = text("provisioning_token", self.provisioning_token)?;
        let database = path("db", self.db)?;
        let mut builder = spotflow_device::DeviceClient::builder(token, database);
        if let Some(device_id) = optional_text("device_id", self.device_id)? {
            builder = builder.device_id(device_id);
        }
        if let Some(instance) = optional_text("instance", self.instance)? {
            builder = builder.instance(instance);
        }
        if let Some(ca_file) = self.ca_file {
            builder = builder.ca_file(path("ca_file", ca_file)?);
        }
        if let Some(limit) = seconds("timeout", self.timeout)? {
            builder = builder.start_timeout(limit);
        }
        if let Some(proxy) = optional_text("proxy", self.proxy)? {
            builder = builder.proxy(proxy);
        }
        if let Some(transport) = self.transport {
            builder = builder.transport(choice("transport", transport)?);
        }
        if let Some(cloud_messages) = self.cloud_messages {
            builder = builder.cloud_messages(boolean("cloud_messages", cloud_messages)?);
        }
        if let Some(window) = self.in_flight_window {
            builder = builder.in_flight_window(count("in_flight_window", window)?);
        }
        if let Some(durability) = self.durability {
            builder = builder.durability(choice("durability", durability)?);
        }
        if let Some(keep_alive) = seconds("keep_alive", self.keep_alive)? {
            if keep_alive == Duration::MAX {
                return Err(invalid("keep_alive", "must not be infinite"));
            }
            builder = builder.keep_alive(keep_alive);
        }
        if let Some(codec) = self.codec {
            builder = builder.codec(choice("codec", codec)?);
        }
        if let Some(threads) = self.method_threads {
            builder = builder.method_threads(count("method_threads", threads)?);
        }
        Ok(builder
            .outbox_limits(self.limits.limits()?)
            .pacing(self.pacing.pacing()?))
    }

    pub fn callbacks(&self) -> PyResult<Callbacks<'a, 'py>> {
        Ok(Callbacks {
            display: callback(
                "display_provisioning_operation_callback",
                self.display_provisioning_operation_callback,
            )?,
            desired: callback(
                "desired_properties_updated_callback",
                self.desired_properties_updated_callback,
            )?,
            connection: callback(
                "connection_changed_callback",
                self.connection_changed_callback,
            )?,
            upload: callback("upload_progress_callback", self.upload_progress_callback)?,
            remote_access: RemoteAccess {
                options: remote_access::allowed(self.allow_remote_access)?,
                agrees: callback("remote_access_callback", self.remote_access_callback)?,
            },
            methods: Methods {
                names: methods::names(self.methods)?,
                by_name: self.methods,
                others: callback("method_request_callback", self.method_request_callback)?,
            },
        })
    }
}
