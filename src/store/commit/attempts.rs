//! How often it is tried to mend a database: to find out that it still cannot be done is dear.

use std::time::Duration;

use crate::clock::{Clock, Moment, SystemClock};
use crate::error::{Error, Result};

/// A file that is damaged again so soon is not rebuilt again: its disk fails.
const REBUILD_PAUSE: Duration = Duration::from_secs(60);
/// After a failed attempt to rebuild it or write it back.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What came of the last attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: Option<(Moment, Error)>,
    rebuilt_at: Option<Moment>,
}

impl Attempts {
    /// What failed a moment ago fails again.
    pub fn may_begin(&self) -> Result<()> {
        match &self.failed {
            Some((at, error)) if SystemClock.now().since(*at) < RETRY_PAUSE => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Whether the file was rebuilt a moment ago.
    pub fn was_just_rebuilt(&self) -> bool {
        let now = SystemClock.now();
        self.rebuilt_at
            .is_some_and(|at| now.since(at) < REBUILD_PAUSE)
    }

    /// What came of this one.
    pub fn ended(&mut self, result: Result<()>) -> Result<()> {
        let failed = result.as_ref().err().cloned();
        self.failed = failed.map(|error| (SystemClock.now(), error));
        result
    }

    /// The file was rebuilt.
    pub fn rebuilt(&mut self) {
        self.rebuilt_at = Some(SystemClock.now());
    }
}
