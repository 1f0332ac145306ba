//! What was saved of a damaged database, for the log and the application.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What was saved of a damaged database file, in this run; see [`Status::recovery`](crate::Status::recovery).
///
/// ```no_run
/// # fn report(client: &spotflow_device::DeviceClient) {
/// if let Some(recovery) = client.status().recovery {
///     println!("{} Messages were saved of {}", recovery.messages, recovery.set_aside.display());
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recovery {
    /// Where the damaged file is kept, for somebody to look at. There are tokens in it.
    pub set_aside: PathBuf,
    /// Whether the device's registration was saved. If not, and there was one, it needs a new approval.
    pub has_registration: bool,
    /// Unsent Messages that were saved.
    pub messages: u64,
    /// Unsent Messages that were lost, or `None` if that is not known: then the log names the range of
    /// what could not be read, some of which had been sent.
    pub lost_messages: Option<u64>,
    /// Messages set aside that were saved.
    pub set_aside_messages: u64,
    /// Unprocessed cloud-to-device messages that were saved.
    pub cloud_messages: u64,
    /// Whether everything could be read.
    pub is_complete: bool,
    /// Unsent Messages with these ids may be missing.
    pub(crate) gaps: Vec<RangeInclusive<i64>>,
    /// Messages that were sent may be among those that were saved.
    pub(crate) may_repeat: bool,
}

impl Recovery {
    /// Says what was saved and what was not.
    pub(in crate::store) fn log(&self, path: &Path) {
        let registration = if self.has_registration {
            "the registration"
        } else {
            "no registration (if there was one, the device needs a new approval)"
        };
        let lost = match (self.is_complete, self.lost_messages) {
            (true, _) => "Everything could be read".to_owned(),
            (false, Some(0)) => {
                "No unsent Message is lost, but other rows could not be read".to_owned()
            }
            (false, Some(lost)) => format!("LOST: {lost} unsent Messages, of {}", self.ranges()),
            (false, None) if self.gaps.is_empty() => {
                "All Messages could be read; other rows, such as properties, are lost".to_owned()
            }
            (false, None) => format!(
                "LOST, as far as they were not sent before: {}",
                self.ranges()
            ),
        };
        let repeats = if self.may_repeat {
            ". Some may have been sent before"
        } else {
            ""
        };
        log::error!(
            "{}: the database was damaged. It is set aside as {}. Saved: {registration}, {} unsent Messages, \
             {} set aside, {} cloud-to-device messages. {lost}{repeats}",
            path.display(),
            self.set_aside.display(),
            self.messages,
            self.set_aside_messages,
            self.cloud_messages,
        );
    }

    fn ranges(&self) -> String {
        const SHOWN: usize = 20;
        let range = |ids: &RangeInclusive<i64>| match (*ids.start(), *ids.end()) {
            (..=1, i64::MAX) => "any".to_owned(),
            (..=1, end) => format!("up to {end}"),
            (start, i64::MAX) => format!("from {start}"),
            (start, end) if start == end => format!("{start}"),
            (start, end) => format!("{start} to {end}"),
        };
        let mut ranges: Vec<String> = self.gaps.iter().take(SHOWN).map(range).collect();
        if self.gaps.len() > SHOWN {
            ranges.push(format!("and {} ranges more", self.gaps.len() - SHOWN));
        }
        format!("Messages with the internal numbers {}", ranges.join(", "))
    }
}
