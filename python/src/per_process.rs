//! What there is once per process.
//!
//! A forked child has copies of its parent's locks, perhaps held by threads that it does not have. So it
//! gets a value of its own, found by its process id, before any lock is looked at.

use std::sync::OnceLock;

/// A value for this process, and one for each that it was forked from.
pub struct PerProcess<T: 'static> {
    first: OnceLock<Generation<T>>,
}

struct Generation<T> {
    pid: u32,
    value: T,
    child: OnceLock<Box<Generation<T>>>,
}

impl<T: Default> PerProcess<T> {
    pub const fn new() -> PerProcess<T> {
        PerProcess {
            first: OnceLock::new(),
        }
    }

    /// The value of the process that asks.
    pub fn own(&self) -> &T {
        let pid = std::process::id();
        let mut generation = self.first.get_or_init(|| Generation::new(pid));
        while generation.pid != pid {
            generation = generation
                .child
                .get_or_init(|| Box::new(Generation::new(pid)));
        }
        &generation.value
    }

    /// The values of the processes that this one was forked from, the oldest first.
    pub fn of_ancestors(&self) -> impl Iterator<Item = &T> {
        let pid = std::process::id();
        let generations = std::iter::successors(self.first.get(), |generation| {
            generation.child.get().map(Box::as_ref)
        });
        generations
            .take_while(move |generation| generation.pid != pid)
            .map(|generation| &generation.value)
    }
}

impl<T: Default> Generation<T> {
    fn new(pid: u32) -> Generation<T> {
        Generation {
            pid,
            value: T::default(),
            child: OnceLock::new(),
        }
    }
}
