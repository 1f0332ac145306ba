//! The published SDK's table `SdkConfiguration`: who the device is.

use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::columns::{Problems, required_text, text};
use super::old_file::OldFile;
use crate::identity::HubDeviceId;
use crate::instance::{DEFAULT_INSTANCE, Instance};
use crate::secret::Secret;
use crate::store::rows::Transaction;
use crate::store::rows::device::{self, ANY_DEVICE_ID, DeviceRow};

/// Before schema 1.2.0 the file names this host of the instance.
const PROVISIONING_HOST: &str = "device-provisioning.";

/// The version of the schema, or `None` if there is no configuration yet: the published SDK then
/// starts afresh, whatever else is in the file.
pub(super) fn version(old: &Connection) -> Result<Option<String>> {
    old.query_row(
        "SELECT db_version FROM SdkConfiguration ORDER BY id",
        (),
        |row| Ok(required_text(row, "db_version", &mut Problems::new())),
    )
    .optional()
}

/// Returns the identity under which the Messages of the file were stored, if it is known.
///
/// The expiration of the Registration Token is left behind: whether it holds is the Platform's to
/// say, when the device registers, and not the device's clock's.
pub(super) fn copy(old: OldFile<'_>, transaction: &mut Transaction) -> Result<Option<HubDeviceId>> {
    let mut problems = Problems::new();
    let device = old
        .connection
        .query_row("SELECT * FROM SdkConfiguration ORDER BY id", (), |row| {
            Ok(read(row, &mut problems))
        })
        .optional()?;
    for problem in problems {
        old.log(format_args!(
            "SdkConfiguration is not taken over as a whole: {problem}"
        ));
    }
    if let Some(device) = &device {
        device::save(transaction, device)?;
    }
    Ok(device.and_then(|device| device.identity))
}

/// What cannot be read does not match what the application starts with, so that the device is
/// provisioned anew, and an identity that is not the device's sets its Messages aside.
fn read(row: &Row<'_>, problems: &mut Problems) -> DeviceRow {
    let token = required_text(row, "registration_token", problems);
    // It becomes a header.
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token {
        problems.push("registration_token is not a token".to_owned());
    }
    DeviceRow {
        instance: instance(row, problems),
        provisioning_token: Secret::new(required_text(row, "provisioning_token", problems)),
        requested_device_id: match row.get_ref("requested_device_id") {
            Ok(_) => text(row, "requested_device_id", problems),
            // Schema 0.1.3 does not say.
            Err(_) => Some(ANY_DEVICE_ID.to_owned()),
        },
        registration_token: is_token.then(|| Secret::new(token)),
        identity: Some(identity(row, problems)),
        identity_is_open: false,
    }
}

/// Before schema 1.2.0, `device_id` is `workspace:device`.
fn identity(row: &Row<'_>, problems: &mut Problems) -> HubDeviceId {
    let device_id = required_text(row, "device_id", problems);
    let (workspace_id, device_id) = match text(row, "workspace_id", problems) {
        Some(workspace_id) => (workspace_id, device_id),
        None => match device_id.split_once(':') {
            Some((workspace_id, device_id)) => (workspace_id.to_owned(), device_id.to_owned()),
            None => (String::new(), device_id),
        },
    };
    HubDeviceId {
        workspace_id,
        device_id,
    }
}

/// The instance as [`Instance`] displays it, which is how the application's is compared.
fn instance(row: &Row<'_>, problems: &mut Problems) -> String {
    let url = match text(row, "instance_url", problems) {
        Some(url) => url,
        None => required_text(row, "dps_url", problems),
    };
    let Ok(instance) = Instance::parse(&url) else {
        problems.push("the instance is not a host".to_owned());
        return String::new();
    };
    let host = instance.to_string();
    match host.strip_prefix(PROVISIONING_HOST) {
        // Whether the public one's had its `api.` in it is not known: both stand for it.
        Some(host) if DEFAULT_INSTANCE.strip_prefix("api.") == Some(host) => {
            DEFAULT_INSTANCE.to_owned()
        }
        Some(host) => host.to_owned(),
        None => host,
    }
}
