//! Knows from the ledger which Message of each key must be there after a cut: where only the latest is kept, the newest
//! takes the place of the one before it, and never is neither of them there.

use std::collections::{BTreeMap, HashMap, HashSet};

use spotflow_device::Durability;

use crate::device::{Keeps, Run, thread};
use crate::reopening::{Found, number};

/// The Messages of each key.
pub struct Newest<'a> {
    keys: BTreeMap<Keeps, Key<'a>>,
    /// When each was received for the first time.
    received: HashMap<&'a str, usize>,
    durability: Durability,
}

/// The Messages of one key. They are stored by one thread, one behind the other.
#[derive(Default)]
struct Key<'a> {
    /// When the call that stores each had returned.
    accepted: Vec<usize>,
    /// The place of each in that order.
    order: HashMap<&'a str, usize>,
    /// The newest that was there at the last sync.
    floor: Option<usize>,
}

impl<'a> Newest<'a> {
    /// What was accepted and is never received was replaced by a newer one, which is.
    pub fn new(run: &'a Run) -> Newest<'a> {
        let mut keys: BTreeMap<Keeps, Key<'a>> = BTreeMap::new();
        for (name, at) in &run.ledger.accepted {
            let keeps = (run.kind.keeps)(thread(name));
            if matches!(keeps, Keeps::Latest | Keeps::LatestOf(_)) {
                let key = keys.entry(keeps).or_default();
                key.order.insert(name, key.accepted.len());
                key.accepted.push(*at);
            }
        }
        let received = run.ledger.received.iter();
        let received: HashMap<&str, usize> =
            received.map(|(name, at)| (name.as_str(), *at)).collect();
        for (keeps, key) in &keys {
            let is_received = |name: &&str| received.contains_key(name);
            let newest = key.newest(key.order.keys().copied().filter(is_received));
            let last = key.accepted.len().checked_sub(1);
            assert_eq!(newest, last, "the newest is lost: {keeps:?}");
        }
        Newest {
            keys,
            received,
            durability: run.kind.durability,
        }
    }

    /// Whether it is one of these Messages.
    pub fn has(&self, name: &str) -> bool {
        self.keys.values().any(|key| key.order.contains_key(name))
    }

    /// What is there when the WAL is synced will be there, or a newer one.
    pub fn synced(&mut self, at: usize, kept: &Found) {
        let there = self.there(at, kept);
        for (key, newest) in self.keys.values_mut().zip(there) {
            key.floor = newest;
        }
    }

    /// Of each key the newest that is pending or was received.
    fn there(&self, at: usize, found: &Found) -> Vec<Option<usize>> {
        let pending: HashSet<&str> = found.pending.values().map(String::as_str).collect();
        let was_received = |name: &str| self.received.get(name).is_some_and(|when| *when <= at);
        let is_there = |name: &&str| pending.contains(name) || was_received(name);
        let newest = |key: &Key<'a>| key.newest(key.order.keys().copied().filter(is_there));
        self.keys.values().map(newest).collect()
    }

    pub fn judge(&self, at: usize, found: &Found) {
        for ((keeps, key), there) in self.keys.iter().zip(self.there(at, found)) {
            let accepted = match self.durability {
                Durability::PowerSafe => key.accepted.partition_point(|when| *when <= at),
                _ => 0,
            };
            let wanted = accepted.checked_sub(1).max(key.floor);
            assert!(
                there >= wanted,
                "{keeps:?}: number {wanted:?} was accepted, {there:?} is the newest that is there"
            );
            let mut pending: Vec<(i64, &str, usize)> = found
                .pending
                .iter()
                .filter_map(|(id, name)| {
                    Some((number(*id), name.as_str(), *key.order.get(name.as_str())?))
                })
                .collect();
            pending.sort_unstable();
            assert!(
                pending.is_sorted_by_key(|(.., place)| *place),
                "{keeps:?} is out of order: {pending:?}"
            );
            // What is in flight when a newer one is stored is not replaced, and so received.
            pending.pop();
            for (_, name, _) in pending {
                assert!(
                    self.received.contains_key(name),
                    "{name} is there beside the one that replaced it"
                );
            }
        }
    }
}

impl Key<'_> {
    /// The place of the newest of these.
    fn newest<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<usize> {
        names.filter_map(|name| self.order.get(name)).copied().max()
    }
}
