//! What is looked at: the device as its file and the arguments describe it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::instance::{DEFAULT_INSTANCE, Instance};
use crate::net::host::Host;
use crate::net::proxy::Proxies;
use crate::store::rows::device::DeviceRow;
use crate::tool::arguments::DoctorArguments;
use crate::tool::failure::Failure;
use crate::tool::file::DatabaseFile;

/// IoT Hub's ports.
const MQTT_PORT: u16 = 8883;

/// The device.
pub(crate) struct Subject {
    pub database: Option<PathBuf>,
    pub instance: Instance,
    /// As the file has it.
    pub device: Option<DeviceRow>,
    /// The file could be read; why not, is a check of its own.
    pub is_file_read: bool,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub proxies: Proxies,
    /// Named by hand.
    pub hub: Option<Host>,
    pub storage: Option<Host>,
    pub clock: Arc<dyn Clock>,
}

impl Subject {
    pub fn new(arguments: &DoctorArguments) -> Result<Subject, Failure> {
        let read = |path: &PathBuf| DatabaseFile::open(path)?.device();
        let read = arguments.database.as_ref().map(read);
        let is_file_read = matches!(read, Some(Ok(_)));
        let device = read.and_then(Result::ok).flatten();
        let named = arguments.way.instance.as_deref();
        let stored = device.as_ref().map(|device| device.instance.as_str());
        let host = |argument, text: &Option<String>, port| match text {
            None => Ok(None),
            Some(text) => Host::parse(text, port)
                .map(Some)
                .map_err(|rule| Error::invalid(argument, rule)),
        };
        Ok(Subject {
            database: arguments.database.clone(),
            instance: Instance::parse(named.or(stored).unwrap_or(DEFAULT_INSTANCE))?,
            device,
            is_file_read,
            token_file: arguments.token_file.clone(),
            ca_file: arguments.way.ca_file.clone(),
            proxies: proxies(arguments.way.proxy.as_deref())?,
            hub: host("hub", &arguments.hub, MQTT_PORT)?,
            storage: host("storage", &arguments.storage, crate::net::host::HTTPS_PORT)?,
            clock: Arc::new(SystemClock),
        })
    }
}

/// As a client has them.
fn proxies(option: Option<&str>) -> Result<Proxies> {
    match option {
        Some(text) => Proxies::from_option(text).map_err(|rule| Error::invalid("proxy", rule)),
        None => Proxies::from_environment(|name| std::env::var(name).ok()).map_err(|bad| {
            let rule = format!("{} in the environment: {}", bad.name, bad.rule);
            Error::invalid("proxy", rule)
        }),
    }
}
