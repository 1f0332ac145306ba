//! Where an example runs: on the embedded Platform, or on a real instance if it is told one.
#![allow(dead_code, reason = "each example uses a part")]

use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, DeviceClientBuilder};
use spotflow_emulator::Platform;

/// What an example ends with.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Fails with `problem` unless all is right.
pub fn check(right: bool, problem: &str) -> Outcome {
    if right { Ok(()) } else { Err(problem.into()) }
}

/// How long an example waits for anything that should come promptly.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds; fails with `problem` if it does not in time.
pub fn wait_until(problem: &str, condition: impl Fn() -> bool) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        check(Instant::now() < deadline, problem)?;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// So many bytes that look like a picture: no codec makes them smaller.
pub fn picture(bytes: usize) -> Vec<u8> {
    let mut picture = vec![0; bytes];
    fastrand::Rng::with_seed(1).fill(&mut picture);
    picture
}

/// The Platform of an example, and a directory for its database.
pub struct Stage {
    /// The embedded Platform; `None` with a real instance.
    pub platform: Option<Platform>,
    directory: tempfile::TempDir,
}

impl Stage {
    /// `SPOTFLOW_INSTANCE` and `SPOTFLOW_PROVISIONING_TOKEN` name a real instance and a token for it.
    pub fn set() -> Result<Stage, Box<dyn Error>> {
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
        let platform = match std::env::var("SPOTFLOW_PROVISIONING_TOKEN") {
            Ok(_) => None,
            Err(_) => Some(Platform::start()?),
        };
        let directory = tempfile::tempdir()?;
        Ok(Stage {
            platform,
            directory,
        })
    }

    /// The database file. A real device keeps it in a place that survives reboots.
    pub fn database(&self) -> PathBuf {
        match std::env::var("SPOTFLOW_DATABASE") {
            Ok(path) => path.into(),
            Err(_) => self.file("spotflow.db"),
        }
    }

    /// A place for another file of the example, gone with it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The options of a client for this Platform.
    pub fn client(&self) -> Result<DeviceClientBuilder, Box<dyn Error>> {
        Ok(match &self.platform {
            Some(platform) => DeviceClient::builder(platform.provisioning_token(), self.database())
                .instance(platform.instance())
                .ca_file(platform.ca_file()),
            None => {
                let token = std::env::var("SPOTFLOW_PROVISIONING_TOKEN")?;
                let builder = DeviceClient::builder(token, self.database());
                match std::env::var("SPOTFLOW_INSTANCE") {
                    Ok(instance) => builder.instance(instance),
                    Err(_) => builder,
                }
            }
        })
    }
}
