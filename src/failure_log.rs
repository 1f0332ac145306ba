//! Logs a failure that goes on once, and again only when it changes.

use std::time::Duration;

/// What failed last, in one module.
#[derive(Debug)]
pub(crate) struct FailureLog {
    target: &'static str,
    last: String,
}

impl FailureLog {
    /// A log under the name of this module: `module_path!()`.
    pub fn new(target: &'static str) -> FailureLog {
        FailureLog {
            target,
            last: String::new(),
        }
    }

    /// Logs `what` failed for `reason`: as a warning if the reason is new, else at debug level.
    pub fn failed(&mut self, what: &str, reason: String, then: &str) {
        if reason == self.last {
            log::debug!(target: self.target, "{what}: {reason}{then}");
        } else {
            log::warn!(target: self.target, "{what}: {reason}{then}");
            self.last = reason;
        }
    }

    /// It did not fail this time: the next failure is news.
    pub fn succeeded(&mut self) {
        self.last.clear();
    }
}

/// `; next attempt in 1s 250ms`: when a failure is tried again.
pub(crate) fn retry_in(delay: Duration) -> String {
    let rounded = Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
    format!("; next attempt in {}", humantime::format_duration(rounded))
}
