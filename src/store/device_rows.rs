//! The `device` and `twin` tables: who we are, and the last known properties.

use rusqlite::{OptionalExtension, Result};

use super::writer::Writer;
use crate::http::HubDeviceId;
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

pub(crate) fn save_device(writer: &mut Writer, device: &DeviceRow) -> Result<()> {
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
    writer.wrote(1024);
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
