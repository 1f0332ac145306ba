//! The smallest device: one Message to an instance of the Platform.
//!
//! ```text
//! cargo run --example minimal -- PROVISIONING_TOKEN [INSTANCE]
//! ```
//!
//! Both can be given as `SPOTFLOW_PROVISIONING_TOKEN` and `SPOTFLOW_INSTANCE` instead. The database is
//! `spotflow.db` in the current directory, or what `SPOTFLOW_DATABASE` says. An instance with a
//! certificate authority of its own needs `SSL_CERT_FILE`.

use std::env;
use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use spotflow_device::{Compression, DeviceClient};

fn main() -> Result<(), Box<dyn Error>> {
    // Shows why the client waits, if it does: `start` tries again for as long as there is no network.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();

    let token =
        setting(1, "SPOTFLOW_PROVISIONING_TOKEN").ok_or("a Provisioning Token is needed")?;
    let database = env::var("SPOTFLOW_DATABASE").unwrap_or_else(|_| "spotflow.db".to_owned());
    let mut builder = DeviceClient::builder(token, database);
    if let Some(instance) = setting(2, "SPOTFLOW_INSTANCE") {
        builder = builder.instance(instance);
    }

    let client = builder.start()?;
    println!("This is the device {}", client.device_id());
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    let unix_milliseconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    sender.send_message(format!(
        r#"{{"unixMilliseconds": {unix_milliseconds}, "temperatureCelsius": 21.5}}"#
    ))?;
    println!("Sent");
    Ok(())
}

fn setting(position: usize, variable: &str) -> Option<String> {
    env::args()
        .nth(position)
        .or_else(|| env::var(variable).ok())
}
