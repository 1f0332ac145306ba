//! What we had stored in a file on which the published SDK was started again, as after an upgrade
//! that was rolled back: it takes our file for an empty one and adds its own tables.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Result, params_from_iter};

use crate::identity::HubDeviceId;
use crate::store::device_rows::{self, TwinKind};
use crate::store::{Writer, schema, set_aside_rows};

/// Copies all of it as it is.
pub(super) fn copy(old: &Connection, new: &Connection) -> Result<()> {
    if !schema::is_ours(old)? {
        return Ok(());
    }
    schema::check(old)?;
    let mut statement = new.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let mut tables = statement.query(())?;
    while let Some(row) = tables.next()? {
        copy_table(old, new, &row.get::<_, String>(0)?)?;
    }
    Ok(())
}

fn copy_table(old: &Connection, new: &Connection, table: &str) -> Result<()> {
    let mut statement = old.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = statement.column_count();
    let places = vec!["?"; columns].join(", ");
    let mut insert = new.prepare(&format!("INSERT INTO {table} VALUES ({places})"))?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get_ref(column).map(ToSqlOutput::Borrowed));
        insert.execute(params_from_iter(values.collect::<Result<Vec<_>>>()?))?;
    }
    Ok(())
}

/// Makes way for what the published SDK stored later: its properties are newer, and if it ran as
/// `device`, our Messages are those of another.
pub(super) fn make_way(
    writer: &mut Writer,
    now_ms: i64,
    before: &HubDeviceId,
    device: &HubDeviceId,
) -> Result<()> {
    for kind in [TwinKind::Desired, TwinKind::Reported, TwinKind::Wanted] {
        device_rows::save_twin(writer, kind, None)?;
    }
    if before != device {
        let reason = format!("stored as device {before}");
        let (workspace_id, device_id) = (&before.workspace_id, &before.device_id);
        set_aside_rows::move_all(writer, now_ms, &reason, workspace_id, device_id)?;
    }
    Ok(())
}
