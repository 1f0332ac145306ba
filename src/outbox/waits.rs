//! Who waits for what to be sent, so that they are told if it never will be.

use std::ops::RangeInclusive;

use crate::error::Error;

/// The waits that have begun.
#[derive(Default)]
pub(super) struct Waits(Vec<Wait>);

/// What became of a Message that will not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoilt {
    SetAside,
    Dropped,
    /// Lost with a damaged database file.
    Lost,
}

impl From<Spoilt> for Error {
    fn from(spoilt: Spoilt) -> Error {
        match spoilt {
            Spoilt::SetAside => Error::SetAside,
            Spoilt::Dropped => Error::Dropped,
            Spoilt::Lost => Error::Lost,
        }
    }
}

/// Somebody waits for a Message, or for everything up to one.
struct Wait {
    ids: RangeInclusive<i64>,
    /// Why something of it will not be sent.
    spoilt: Option<Spoilt>,
    key: u64,
}

impl Waits {
    /// Returns what [`end`](Self::end) wants.
    pub fn begin(&mut self, ids: RangeInclusive<i64>) -> u64 {
        let key = self.0.last().map_or(0, |wait| wait.key + 1);
        self.0.push(Wait {
            ids,
            spoilt: None,
            key,
        });
        key
    }

    /// Returns why something that was waited for will not be sent.
    pub fn end(&mut self, key: u64) -> Option<Spoilt> {
        let place = self.0.iter().position(|wait| wait.key == key)?;
        self.0.remove(place).spoilt
    }

    /// Whether something that is waited for was dropped.
    pub fn is_dropped(&self, key: u64) -> bool {
        let is_dropped = |wait: &Wait| wait.key == key && wait.spoilt == Some(Spoilt::Dropped);
        self.0.iter().any(is_dropped)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is pending of these will not be sent.
    pub fn spoil(&mut self, ids: RangeInclusive<i64>, why: Spoilt) {
        for wait in &mut self.0 {
            let overlap = ids.start() <= wait.ids.end() && wait.ids.start() <= ids.end();
            if overlap {
                wait.spoilt = Some(why);
            }
        }
    }
}
