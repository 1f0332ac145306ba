//! The `device` table: who we are.

use rusqlite::{OptionalExtension, Result};
use serde::{Deserialize, Serialize};

use super::documents::{self, DocumentKind};
use super::transaction::Transaction;
use crate::identity::HubDeviceId;
use crate::secret::Secret;

/// In the place of a requested Device ID: which one was requested is not known, so that any will do.
/// No Device ID has this character.
pub(crate) const ANY_DEVICE_ID: &str = "*";

/// The one row of `device`.
#[derive(Debug, Clone)]
pub(crate) struct DeviceRow {
    pub instance: String,
    pub provisioning_token: Secret,
    pub requested_device_id: Option<String>,
    pub registration_token: Option<Secret>,
    /// As whom the Platform registered the device last.
    pub identity: Option<HubDeviceId>,
    /// The Registration Token is of a new approval, and the Platform has not yet said as whom it
    /// registers the device: `identity` may be the one before.
    pub identity_is_open: bool,
}

pub(crate) fn load(transaction: &Transaction) -> Result<Option<DeviceRow>> {
    transaction
        .connection()
        .query_row(
            "SELECT instance, provisioning_token, requested_device_id, registration_token, workspace_id, device_id, identity_is_open FROM device",
            (),
            |row| {
                let workspace_id: Option<String> = row.get(4)?;
                let device_id: Option<String> = row.get(5)?;
                Ok(DeviceRow {
                    instance: row.get(0)?,
                    provisioning_token: Secret::new(row.get::<_, String>(1)?),
                    requested_device_id: row.get(2)?,
                    registration_token: row.get::<_, Option<String>>(3)?.map(Secret::new),
                    identity: workspace_id
                        .zip(device_id)
                        .map(|(workspace_id, device_id)| HubDeviceId { workspace_id, device_id }),
                    identity_is_open: row.get(6)?,
                })
            },
        )
        .optional()
}

/// In the place of the table `device`, should its page be damaged.
#[derive(Serialize, Deserialize)]
struct DeviceCopy {
    instance: String,
    provisioning_token: String,
    requested_device_id: Option<String>,
    registration_token: Option<String>,
    workspace_id: Option<String>,
    device_id: Option<String>,
    identity_is_open: bool,
}

fn save_copy(transaction: &mut Transaction, device: &DeviceRow) -> Result<()> {
    let exposed = |secret: &Secret| secret.expose().to_owned();
    let identity = device.identity.clone();
    let copy = DeviceCopy {
        instance: device.instance.clone(),
        provisioning_token: exposed(&device.provisioning_token),
        requested_device_id: device.requested_device_id.clone(),
        registration_token: device.registration_token.as_ref().map(exposed),
        workspace_id: identity.as_ref().map(|it| it.workspace_id.clone()),
        device_id: identity.map(|it| it.device_id),
        identity_is_open: device.identity_is_open,
    };
    let document = serde_json::to_string(&copy).unwrap_or_default();
    documents::save(transaction, DocumentKind::Device, Some(&(0, document)))
}

/// Puts the copy in the place of a row that was lost; returns it.
pub(crate) fn restore_copy(transaction: &mut Transaction) -> Result<Option<DeviceRow>> {
    let row = documents::load(transaction, DocumentKind::Device)?;
    let copy = row.and_then(|(_, document)| serde_json::from_str::<DeviceCopy>(&document).ok());
    let device = copy.map(|copy| DeviceRow {
        instance: copy.instance,
        provisioning_token: Secret::new(copy.provisioning_token),
        requested_device_id: copy.requested_device_id,
        registration_token: copy.registration_token.map(Secret::new),
        identity: copy
            .workspace_id
            .zip(copy.device_id)
            .map(|(workspace_id, device_id)| HubDeviceId {
                workspace_id,
                device_id,
            }),
        identity_is_open: copy.identity_is_open,
    });
    if let Some(device) = &device {
        save(transaction, device)?;
    }
    Ok(device)
}

pub(crate) fn save(transaction: &mut Transaction, device: &DeviceRow) -> Result<()> {
    save_copy(transaction, device)?;
    transaction.connection().execute(
        "INSERT OR REPLACE INTO device VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            &device.instance,
            device.provisioning_token.expose(),
            &device.requested_device_id,
            device.registration_token.as_ref().map(Secret::expose),
            device
                .identity
                .as_ref()
                .map(|identity| &identity.workspace_id),
            device.identity.as_ref().map(|identity| &identity.device_id),
            device.identity_is_open,
        ),
    )?;
    transaction.wrote(2048);
    Ok(())
}
