//! Where the checks put what they found, and from where it is taken, whether they are done or not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cause::Cause;
use crate::sync::{Condvar, Mutex};

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Well,
    /// To be known; nothing is wrong.
    Note,
    Finding,
    CannotTell,
}

/// What a check says.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub verdict: Verdict,
    pub summary: String,
    /// What to do.
    pub advice: Option<&'static str>,
    pub cause: Option<Cause>,
}

impl Found {
    pub fn well(summary: impl Into<String>) -> Found {
        Found {
            verdict: Verdict::Well,
            summary: summary.into(),
            advice: None,
            cause: None,
        }
    }

    pub fn note(summary: impl Into<String>) -> Found {
        Found {
            verdict: Verdict::Note,
            ..Found::well(summary)
        }
    }

    pub fn unknown(summary: impl Into<String>) -> Found {
        Found {
            verdict: Verdict::CannotTell,
            ..Found::well(summary)
        }
    }

    pub fn finding(cause: Cause, summary: impl Into<String>, advice: &'static str) -> Found {
        Found {
            verdict: Verdict::Finding,
            summary: summary.into(),
            advice: Some(advice),
            cause: Some(cause),
        }
    }

    pub fn is_finding(&self) -> bool {
        self.verdict == Verdict::Finding
    }
}

/// A check, as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub name: String,
    pub took: Duration,
    pub found: Found,
}

/// The checks of all groups.
#[derive(Clone)]
pub(crate) struct Board(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    checks: Vec<Entry>,
    groups_done: usize,
}

/// A check, done or under way.
struct Entry {
    name: String,
    begun: Instant,
    done: Option<(Duration, Found)>,
}

impl Entry {
    fn as_of_now(&self) -> Check {
        let (took, found) = self.done.clone().unwrap_or_else(|| {
            (
                self.begun.elapsed(),
                Found::unknown("it did not end in time"),
            )
        });
        Check {
            name: self.name.clone(),
            took,
            found,
        }
    }
}

impl Board {
    pub fn new() -> Board {
        Board(Arc::default())
    }

    /// Runs one check; returns what it found.
    pub fn check(&self, name: impl Into<String>, run: impl FnOnce() -> Found) -> Found {
        self.check_with(name, || (run(), ())).0
    }

    /// Runs one check that has a result of its own, too.
    pub fn check_with<T>(
        &self,
        name: impl Into<String>,
        run: impl FnOnce() -> (Found, T),
    ) -> (Found, T) {
        let (state, _) = &*self.0;
        let begun = Instant::now();
        let at = {
            let mut state = state.lock();
            state.checks.push(Entry {
                name: name.into(),
                begun,
                done: None,
            });
            state.checks.len() - 1
        };
        let (found, result) = run();
        if let Some(entry) = state.lock().checks.get_mut(at) {
            entry.done = Some((begun.elapsed(), found.clone()));
        }
        (found, result)
    }

    /// Says at its end that a group is done, also if that ends by a panic.
    pub fn group(&self) -> GroupEnd {
        GroupEnd(self.clone())
    }

    /// Takes all checks when the groups are done, or at the deadline.
    pub fn wait(&self, groups: usize, deadline: Instant) -> Vec<Check> {
        let (state, changed) = &*self.0;
        let mut state = state.lock();
        while state.groups_done < groups && Instant::now() < deadline {
            state = changed.wait_until(state, deadline);
        }
        let mut checks: Vec<Check> = state.checks.iter().map(Entry::as_of_now).collect();
        if state.groups_done < groups {
            checks.push(Check {
                name: "time".to_owned(),
                took: Duration::ZERO,
                found: Found::unknown("not all was looked at in time"),
            });
        }
        checks
    }
}

/// See [`Board::group`].
pub(crate) struct GroupEnd(Board);

impl Drop for GroupEnd {
    fn drop(&mut self) {
        let (state, changed) = &*self.0.0;
        state.lock().groups_done += 1;
        changed.notify_all();
    }
}
