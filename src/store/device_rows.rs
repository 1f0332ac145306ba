//! The `device` and `twin` tables: who we are, and the last known properties.

use rusqlite::{OptionalExtension, Result};
use serde::{Deserialize, Serialize};

use super::writer::Writer;
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

pub(crate) fn load_device(writer: &Writer) -> Result<Option<DeviceRow>> {
    writer
        .sql()?
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

/// Its `kind` in the table `twin`, which is on another page.
const COPY: &str = "device";

fn save_copy(writer: &Writer, device: &DeviceRow) -> Result<()> {
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
    writer
        .sql()?
        .prepare_cached("INSERT OR REPLACE INTO twin VALUES (?1, 0, ?2)")?
        .execute((COPY, document))
        .map(drop)
}

/// Puts the copy in the place of a row that was lost; returns it.
pub(crate) fn restore_copy(writer: &mut Writer) -> Result<Option<DeviceRow>> {
    let document: Option<String> = writer
        .sql()?
        .query_row("SELECT document FROM twin WHERE kind = ?1", [COPY], |row| {
            row.get(0)
        })
        .optional()?;
    let copy = document.and_then(|document| serde_json::from_str::<DeviceCopy>(&document).ok());
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
        save_device(writer, device)?;
    }
    Ok(device)
}

pub(crate) fn save_device(writer: &mut Writer, device: &DeviceRow) -> Result<()> {
    save_copy(writer, device)?;
    writer.sql()?.execute(
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
    writer.wrote(2048);
    Ok(())
}

/// The documents of the `twin` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TwinKind {
    /// Desired Properties, as last received.
    Desired,
    /// Reported Properties, as the Platform has them.
    Reported,
    /// Reported Properties that the Platform has yet to confirm.
    Wanted,
}

impl TwinKind {
    fn name(self) -> &'static str {
        match self {
            TwinKind::Desired => "desired",
            TwinKind::Reported => "reported",
            TwinKind::Wanted => "wanted",
        }
    }
}

/// A stored document: its version and its JSON text.
pub(crate) type TwinRow = (u64, String);

pub(crate) fn load_twin(writer: &Writer, kind: TwinKind) -> Result<Option<TwinRow>> {
    writer
        .sql()?
        .query_row(
            "SELECT version, document FROM twin WHERE kind = ?1",
            [kind.name()],
            |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)),
        )
        .optional()
}

/// Replaces the document; `None` forgets it.
pub(crate) fn save_twin(writer: &mut Writer, kind: TwinKind, row: Option<&TwinRow>) -> Result<()> {
    match row {
        Some((version, document)) => {
            let version = i64::try_from(*version).unwrap_or(i64::MAX);
            writer
                .sql()?
                .prepare_cached("INSERT OR REPLACE INTO twin VALUES (?1, ?2, ?3)")?
                .execute((kind.name(), version, document))?;
            writer.wrote(document.len());
        }
        None => {
            writer
                .sql()?
                .prepare_cached("DELETE FROM twin WHERE kind = ?1")?
                .execute([kind.name()])?;
            writer.wrote(0);
        }
    }
    Ok(())
}
