//! What we had stored in a file on which the published SDK was started again, as after an upgrade
//! that was rolled back: it takes our file for an empty one and adds its own tables.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Result, params_from_iter};

use crate::identity::HubDeviceId;
use crate::store::rows::Transaction;
use crate::store::rows::chunks;
use crate::store::rows::documents::{self, DocumentKind};
use crate::store::rows::schema::{self, Found};
use crate::store::rows::set_aside::{self, Cause};

/// Copies all of it as it is, into the tables of today.
pub(super) fn copy(old: &Connection, new: &Connection) -> Result<()> {
    if !schema::is_ours(old)? {
        return Ok(());
    }
    let Found::Version(version) = schema::check(old)? else {
        return Ok(());
    };
    if chunks::is_there(old)? {
        schema::add_chunks(new)?;
    }
    let mut statement = new.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let mut tables = statement.query(())?;
    while let Some(row) = tables.next()? {
        let table: String = row.get(0)?;
        copy_table(old, schema::name_in(version, &table), new, &table)?;
    }
    Ok(())
}

fn copy_table(old: &Connection, from: &str, new: &Connection, table: &str) -> Result<()> {
    let mut statement = old.prepare(&format!("SELECT * FROM {from}"))?;
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
    transaction: &mut Transaction,
    now_ms: i64,
    before: &HubDeviceId,
    device: &HubDeviceId,
) -> Result<()> {
    for kind in [
        DocumentKind::Desired,
        DocumentKind::Reported,
        DocumentKind::Wanted,
    ] {
        documents::forget(transaction, kind)?;
    }
    if before != device {
        let reason = format!("stored as device {before}");
        let cause = Cause {
            reason: &reason,
            identity: before,
            now_ms,
        };
        set_aside::move_all(transaction, cause)?;
    }
    Ok(())
}
