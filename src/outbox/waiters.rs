//! Those who wait for Messages to be sent: each is woken when its own wait is over, and told if something of it never
//! will be sent.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::Error;
use crate::store::rows::lane;
use crate::sync::Condvar;

/// Those who wait.
#[derive(Default)]
pub(super) struct Waiters(Vec<Waiter>);

/// Why a Message will not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSent {
    SetAside,
    Dropped,
    /// Older than its time to live when its turn came.
    Expired,
    /// By a newer one of its key.
    Replaced,
    /// Lost with a damaged database file.
    Lost,
}

impl From<NotSent> for Error {
    fn from(why: NotSent) -> Error {
        match why {
            NotSent::SetAside => Error::SetAside,
            NotSent::Dropped => Error::Dropped,
            NotSent::Expired => Error::Expired,
            NotSent::Replaced => Error::Replaced,
            NotSent::Lost => Error::Lost,
        }
    }
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The Message with this id, and all before it in its lane.
    Message(i64),
    /// Everything up to this number, in all lanes.
    All(i64),
}

impl Awaited {
    /// Whether one of these is awaited for itself.
    fn is_among(self, ids: &RangeInclusive<i64>) -> bool {
        match self {
            Awaited::Message(id) => ids.contains(&id),
            Awaited::All(through) => {
                lane::split(ids).any(|(_, part)| lane::number(*part.start()) <= through)
            }
        }
    }
}

/// A wait that has begun: [`Waiters::remove`] ends it.
pub(super) struct Waiting {
    pub awaited: Awaited,
    pub key: u64,
    /// What to wait with.
    pub changed: Arc<Condvar>,
}

/// Somebody who waits.
struct Waiter {
    awaited: Awaited,
    /// Why something of it will not be sent.
    not_sent: Option<NotSent>,
    key: u64,
    /// One for each: a Message that is sent wakes those alone who wait for no other.
    changed: Arc<Condvar>,
}

impl Waiters {
    /// From now on nothing that happens to it is missed.
    pub fn add(&mut self, awaited: Awaited) -> Waiting {
        let key = self.0.last().map_or(0, |waiter| waiter.key + 1);
        let changed = Arc::new(Condvar::new());
        self.0.push(Waiter {
            awaited,
            not_sent: None,
            key,
            changed: Arc::clone(&changed),
        });
        Waiting {
            awaited,
            key,
            changed,
        }
    }

    /// Returns why something that was waited for will not be sent.
    pub fn remove(&mut self, key: u64) -> Option<NotSent> {
        let place = self.0.iter().position(|waiter| waiter.key == key)?;
        self.0.remove(place).not_sent
    }

    /// Wakes those for whom everything is sent.
    pub fn wake(&self, is_sent: impl Fn(Awaited) -> bool) {
        let is_over = |waiter: &&Waiter| is_sent(waiter.awaited);
        self.0.iter().filter(is_over).for_each(Waiter::wake);
    }

    /// Wakes all, as the client is closed.
    pub fn wake_all(&self) {
        self.0.iter().for_each(Waiter::wake);
    }

    /// What is pending of these will not be sent; whoever waits for any of it looks whether that ends the wait.
    pub fn not_sent(&mut self, ids: RangeInclusive<i64>, why: NotSent) {
        for waiter in &mut self.0 {
            if waiter.awaited.is_among(&ids) {
                waiter.not_sent = Some(why);
                waiter.wake();
            }
        }
    }

    /// Whether something that is waited for has gone before its turn.
    pub fn is_gone(&self, key: u64) -> bool {
        let gone = [Some(NotSent::Dropped), Some(NotSent::Replaced)];
        let is_gone = |waiter: &Waiter| waiter.key == key && gone.contains(&waiter.not_sent);
        self.0.iter().any(is_gone)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Waiter {
    fn wake(&self) {
        self.changed.notify_one();
    }
}
