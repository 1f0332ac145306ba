//! Logs a failure that goes on once, and again only when it changes.

use std::time::Duration;

/// What failed last.
#[derive(Debug, Default)]
pub(crate) struct FailureLog(String);

impl FailureLog {
    /// Logs `what` failed for `reason`: as a warning if the reason is new, else at debug level.
    pub fn failed(&mut self, what: &str, reason: String, then: &str) {
        if reason == self.0 {
            log::debug!("{what}: {reason}{then}");
        } else {
            log::warn!("{what}: {reason}{then}");
            self.0 = reason;
        }
    }

    /// It works again: the next failure is news.
    pub fn works(&mut self) {
        self.0.clear();
    }
}

/// `; next attempt in 1s 250ms`: when a failure is tried again.
pub(crate) fn retry_in(delay: Duration) -> String {
    let rounded = Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
    format!("; next attempt in {}", humantime::format_duration(rounded))
}
