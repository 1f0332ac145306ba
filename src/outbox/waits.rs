//! Who waits for what to be sent: each is woken when its own wait is over, and told if something of it never
//! will be sent.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::Error;
use crate::sync::Condvar;

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
    /// One for each wait: a Message that is sent wakes those alone who wait for no other.
    changed: Arc<Condvar>,
}

impl Waits {
    /// Returns what [`end`](Self::end) wants, and what to wait with.
    pub fn begin(&mut self, ids: RangeInclusive<i64>) -> (u64, Arc<Condvar>) {
        let key = self.0.last().map_or(0, |wait| wait.key + 1);
        let changed = Arc::new(Condvar::new());
        self.0.push(Wait {
            ids,
            spoilt: None,
            key,
            changed: Arc::clone(&changed),
        });
        (key, changed)
    }

    /// Wakes those for whom everything is sent.
    pub fn wake(&self, is_sent_through: impl Fn(i64) -> bool) {
        let over = |wait: &&Wait| is_sent_through(*wait.ids.end());
        self.0.iter().filter(over).for_each(Wait::wake);
    }

    /// Wakes all, as the client is closed.
    pub fn wake_all(&self) {
        self.0.iter().for_each(Wait::wake);
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

    /// What is pending of these will not be sent; who waits for any of it looks whether that ends the wait.
    pub fn spoil(&mut self, ids: RangeInclusive<i64>, why: Spoilt) {
        for wait in &mut self.0 {
            let overlap = ids.start() <= wait.ids.end() && wait.ids.start() <= ids.end();
            if overlap {
                wait.spoilt = Some(why);
                wait.wake();
            }
        }
    }
}

impl Wait {
    fn wake(&self) {
        self.changed.notify_one();
    }
}
