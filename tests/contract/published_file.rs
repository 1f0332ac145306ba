//! A database file of the published SDK, made by hand.

use rusqlite::Connection;

use crate::support::Stage;

/// Tables without constraints, as far as they matter here.
const TABLES: &str = "
    CREATE TABLE Messages (id INTEGER PRIMARY KEY AUTOINCREMENT, site_id, stream_group, stream, batch_id,
        message_id, content BLOB, close_option, compression, batch_slice_id, chunk_id);
    CREATE TABLE CloudToDeviceMessages (id INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB);
    CREATE TABLE CloudToDeviceProperties (message_id INTEGER, key, value);
    CREATE TABLE Twins (id INTEGER PRIMARY KEY AUTOINCREMENT, type, properties);
    CREATE TABLE ReportedPropertiesUpdates (id INTEGER PRIMARY KEY AUTOINCREMENT, update_type, patch);";

/// Registers the device, and leaves its registration in a file of the published SDK.
pub fn published(stage: &Stage, version: &str) -> Connection {
    let client = stage.start();
    let (workspace_id, device_id) = (client.workspace_id(), client.device_id());
    client.close();
    let ours = Connection::open(stage.database()).unwrap();
    let token: String = ours
        .query_row("SELECT registration_token FROM device", (), |row| {
            row.get(0)
        })
        .unwrap();
    drop(ours);
    std::fs::remove_file(stage.database()).unwrap();

    let file = Connection::open(stage.database()).unwrap();
    file.execute_batch(TABLES).unwrap();
    let (columns, values) = match version {
        "1.2.0" => (
            "instance_url, requested_device_id, workspace_id, device_id",
            "'https://' || ?4 || '/', ?6, ?5, ?6",
        ),
        "0.1.3" => (
            "dps_url, device_id",
            "'https://device-provisioning.' || ?4, ?5 || ':' || ?6",
        ),
        _ => (
            "dps_url, requested_device_id, device_id",
            "'https://device-provisioning.' || ?4 || '/', ?6, ?5 || ':' || ?6",
        ),
    };
    file.execute_batch(&format!(
        "CREATE TABLE SdkConfiguration
         (id INTEGER PRIMARY KEY, db_version, provisioning_token, registration_token, rt_expiration, {columns})"
    ))
    .unwrap();
    file.execute(
        &format!(
            "INSERT INTO SdkConfiguration
             (id, db_version, provisioning_token, registration_token, rt_expiration, {columns})
             VALUES (0, ?1, ?2, ?3, '2027-01-01T00:00:00.123456789+00:00', {values})"
        ),
        (
            version,
            stage.platform.provisioning_token(),
            token,
            stage.platform.instance(),
            workspace_id,
            device_id,
        ),
    )
    .unwrap();
    file
}

/// Stores a Message in it.
pub fn store(file: &Connection, content: &str, close_option: &str) {
    file.execute(
        "INSERT INTO Messages (stream, batch_id, content, close_option, compression)
         VALUES ('s', 'b', ?1, ?2, 'BrotliFastest')",
        (content.as_bytes(), close_option),
    )
    .unwrap();
}
