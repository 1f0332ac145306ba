//! Knows from the ledger what must be there after a cut.

use std::collections::{BTreeMap, HashMap};

use spotflow_device::Durability;

use crate::device::{Ledger, Run};
use crate::reopening::Found;

/// Messages that a power cut can repeat beside those of the window: `ACKNOWLEDGEMENTS_PER_SYNC` in
/// src/outbox/records.rs, less the one whose record is synced.
const REPEATED_MAX: usize = 255;

/// Messages that were acknowledged last and can be repeated, with this window.
fn repeated_max(window: usize) -> usize {
    REPEATED_MAX + window
}

/// What a survival cost.
pub struct Outcome {
    pub lost: usize,
    pub repeated: usize,
}

/// Holds what was found after a cut against the ledger.
pub struct Judge<'a> {
    ledger: &'a Ledger,
    durability: Durability,
    window: usize,
    /// The place of each Message in the order in which all are stored, and sent.
    order: HashMap<&'a str, usize>,
    accepted: Vec<(usize, usize)>,
    names: BTreeMap<i64, String>,
    /// The highest id at the last sync.
    synced_id: i64,
    /// Messages before this place were deleted, and those before that one stored, at the last sync.
    floor: Pending,
}

/// The pending Messages: all from one place in the order to another.
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    from: usize,
    to: usize,
}

impl<'a> Judge<'a> {
    pub fn new(run: &'a Run) -> Judge<'a> {
        let ledger = &run.ledger;
        let received = ledger.received.iter().enumerate();
        let order: HashMap<&str, usize> = received
            .map(|(place, (name, _))| (name.as_str(), place))
            .collect();
        let accepted = ledger.accepted.iter();
        let mut accepted: Vec<(usize, usize)> = accepted
            .map(|(name, at)| {
                (
                    *at,
                    *order
                        .get(name.as_str())
                        .expect("all are received in the end"),
                )
            })
            .collect();
        accepted.sort_unstable();
        let judge = Judge {
            ledger,
            durability: run.kind.durability,
            window: run.kind.window,
            order,
            accepted,
            names: BTreeMap::new(),
            synced_id: 0,
            floor: Pending::default(),
        };
        judge.check_threads();
        judge
    }

    /// Each thread's Messages are sent in its order.
    fn check_threads(&self) {
        let mut last = HashMap::new();
        for (name, _) in &self.ledger.accepted {
            let thread = name.split('-').next();
            let place = self.order[name.as_str()];
            let before = last.insert(thread, place);
            assert!(
                before.is_none_or(|before| before < place),
                "{name} is out of order"
            );
        }
    }

    pub fn is_registered(&self, at: usize) -> bool {
        self.ledger.registered_at.is_some_and(|since| since <= at)
    }

    fn received(&self, at: usize) -> usize {
        self.ledger
            .received
            .partition_point(|(_, when)| *when <= at)
    }

    fn pending(&mut self, at: usize, found: &Found) -> Pending {
        for (id, name) in &found.pending {
            let known = self.names.entry(*id).or_insert_with(|| name.clone());
            assert_eq!(known, name, "the id {id} repeats");
        }
        let places: Vec<usize> = found
            .pending
            .values()
            .map(|name| self.order[name.as_str()])
            .collect();
        for pair in places.windows(2) {
            assert!(
                pair[0] + 1 == pair[1],
                "{} comes before {}",
                pair[0],
                pair[1]
            );
        }
        match (places.first(), places.last()) {
            (Some(first), Some(last)) => Pending {
                from: *first,
                to: last + 1,
            },
            _ => Pending {
                from: self.received(at),
                to: self.received(at),
            },
        }
    }

    /// What is there when the WAL is synced will be there.
    pub fn synced(&mut self, at: usize, kept: &Found) {
        self.floor = self.pending(at, kept);
        let newest = kept.pending.last_key_value().map_or(0, |(id, _)| *id);
        self.synced_id = self.synced_id.max(newest);
    }

    pub fn judge(&mut self, at: usize, found: &Found) -> Outcome {
        let received = self.received(at);
        let pending = self.pending(at, found);
        assert!(pending.from <= received, "one that was not sent is missing");
        assert!(
            pending.from >= self.floor.from,
            "one reappears whose deletion was synced"
        );
        assert!(
            pending.to.max(received) >= self.floor.to,
            "one is lost that was synced"
        );
        let known = self.accepted.partition_point(|(when, _)| *when <= at);
        let known = self.accepted[..known].iter();
        let lost = known
            .filter(|(_, place)| *place >= pending.to && *place >= received)
            .count();
        let repeated = received.min(pending.to) - pending.from;
        if self.durability == Durability::PowerSafe {
            assert_eq!(lost, 0, "lost: {pending:?}, received {received}");
        }
        assert!(
            repeated <= repeated_max(self.window),
            "{repeated} are repeated"
        );
        let repeats_id = found.probe.is_some_and(|id| id <= self.synced_id);
        assert!(!repeats_id, "the id {:?} was given out before", found.probe);
        self.judge_properties(at, found);
        self.judge_inbox(at, found);
        assert_eq!(found.set_aside.len(), 0);
        if self.is_registered(at) {
            assert!(found.has_token, "the registration is lost");
        }
        Outcome { lost, repeated }
    }

    fn judge_properties(&self, at: usize, found: &Found) {
        let wanted = &self.ledger.wanted;
        let stored = wanted.iter().rfind(|(_, _, stored)| *stored <= at);
        let stored = stored.map(|(number, ..)| *number);
        let tried = wanted.iter().rfind(|(_, began, _)| *began <= at);
        let tried = tried.map(|(number, ..)| *number);
        assert!(
            stored <= found.wanted && found.wanted <= tried,
            "Reported Properties: {:?} instead of {stored:?} to {tried:?}",
            found.wanted
        );
    }

    fn judge_inbox(&self, at: usize, found: &Found) {
        let texts: Vec<&String> = found.inbox.values().collect();
        assert!(texts.is_sorted(), "cloud-to-device messages: {texts:?}");
        for (text, received, completing) in &self.ledger.inbox {
            if (*received..*completing).contains(&at) {
                assert!(texts.contains(&text), "{text} is lost");
            }
        }
    }
}
