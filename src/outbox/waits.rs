//! Who waits for what to be sent, so that they are told if it never will be.

use std::ops::RangeInclusive;

/// The waits that have begun.
#[derive(Default)]
pub(super) struct Waits(Vec<Wait>);

/// Somebody waits for a Message, or for everything up to one.
struct Wait {
    ids: RangeInclusive<i64>,
    /// Something of it was set aside, and so will not be sent.
    is_spoilt: bool,
    key: u64,
}

impl Waits {
    /// Returns what [`end`](Self::end) wants.
    pub fn begin(&mut self, ids: RangeInclusive<i64>) -> u64 {
        let key = self.0.last().map_or(0, |wait| wait.key + 1);
        self.0.push(Wait {
            ids,
            is_spoilt: false,
            key,
        });
        key
    }

    /// Returns whether something that was waited for was set aside.
    pub fn end(&mut self, key: u64) -> bool {
        let place = self.0.iter().position(|wait| wait.key == key);
        place.is_some_and(|place| self.0.remove(place).is_spoilt)
    }

    /// What is pending of these will not be sent.
    pub fn spoil(&mut self, ids: RangeInclusive<i64>) {
        for wait in &mut self.0 {
            let overlap = ids.start() <= wait.ids.end() && wait.ids.start() <= ids.end();
            wait.is_spoilt |= overlap;
        }
    }
}
