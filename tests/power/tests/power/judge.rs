//! Knows from the ledger what must be there after a cut.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use spotflow_device::{Durability, Priority};

use crate::content::BLOCK_BYTES;
use crate::device::{Keeps, Ledger, Run, content, thread};
use crate::lifetimes::Lifetimes;
use crate::newest::Newest;
use crate::reopening::{Found, number};

/// Messages that a power cut can repeat beside those of the window: `ACKNOWLEDGEMENTS_PER_SYNC` in
/// src/outbox/records.rs, less the one whose record is synced.
const REPEATED_MAX: usize = 255;

/// Messages that were acknowledged last and can be repeated, with this window.
fn repeated_max(window: usize) -> usize {
    REPEATED_MAX + window
}

/// What stands in an id for a lane.
fn in_id(priority: Priority) -> i64 {
    match priority {
        Priority::Normal => 0,
        Priority::Bulk => 1,
        Priority::Low => 2,
        Priority::High => 3,
        other => {
            assert_eq!(other, Priority::Urgent);
            4
        }
    }
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
    lanes: Vec<Lane<'a>>,
    newest: Newest<'a>,
    lifetimes: Lifetimes<'a>,
    names: BTreeMap<i64, String>,
    /// The highest number at the last sync, and the ids that were pending then.
    synced_number: i64,
    synced: BTreeSet<i64>,
}

/// What is known of the Messages of one lane.
struct Lane<'a> {
    priority: Priority,
    /// The place of each Message in the order in which they are stored, and sent.
    order: HashMap<&'a str, usize>,
    /// When each was received for the first time.
    received: Vec<usize>,
    accepted: Vec<(usize, usize)>,
    /// Messages before this place were deleted, and those before that one stored, at the last sync.
    floor: Pending,
}

/// The pending Messages: all from one place in the order to another.
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    from: usize,
    to: usize,
}

impl<'a> Lane<'a> {
    fn new(run: &'a Run, priority: Priority) -> Lane<'a> {
        let is_of_it = |name: &str| (run.kind.lanes)(thread(name)) == priority;
        let received = run.ledger.received.iter();
        let received: Vec<_> = received.filter(|(name, _)| is_of_it(name)).collect();
        let order: HashMap<&str, usize> = received
            .iter()
            .enumerate()
            .map(|(place, (name, _))| (name.as_str(), place))
            .collect();
        let accepted = run.ledger.accepted.iter();
        let mut accepted: Vec<(usize, usize)> = accepted
            .filter(|(name, _)| is_of_it(name))
            .filter_map(|(name, at)| {
                let place = order.get(name.as_str());
                let is_kept = (run.kind.keeps)(thread(name)) == Keeps::All;
                assert!(place.is_some() || !is_kept, "{name} is never received");
                Some((*at, *place?))
            })
            .collect();
        accepted.sort_unstable();
        Lane {
            priority,
            order,
            received: received.iter().map(|(_, at)| *at).collect(),
            accepted,
            floor: Pending::default(),
        }
    }

    fn received(&self, at: usize) -> usize {
        self.received.partition_point(|when| *when <= at)
    }

    fn pending(&self, at: usize, found: &Found) -> Pending {
        let places: Vec<usize> = found
            .pending
            .values()
            .filter_map(|name| self.order.get(name.as_str()).copied())
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

    fn judge(&self, at: usize, found: &Found, durability: Durability) -> Outcome {
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
        if durability == Durability::PowerSafe {
            assert_eq!(lost, 0, "lost: {pending:?}, received {received}");
        }
        let repeated = received.min(pending.to) - pending.from;
        Outcome { lost, repeated }
    }
}

impl<'a> Judge<'a> {
    pub fn new(run: &'a Run) -> Judge<'a> {
        let names = run.ledger.received.iter().map(|(name, _)| name);
        let mut priorities: Vec<Priority> = Vec::new();
        for name in names {
            let priority = (run.kind.lanes)(thread(name));
            if !priorities.contains(&priority) {
                priorities.push(priority);
            }
        }
        let lanes = priorities.into_iter();
        let judge = Judge {
            ledger: &run.ledger,
            durability: run.kind.durability,
            window: run.kind.window,
            lanes: lanes.map(|priority| Lane::new(run, priority)).collect(),
            newest: Newest::new(run),
            lifetimes: Lifetimes::new(run),
            names: BTreeMap::new(),
            synced_number: 0,
            synced: BTreeSet::new(),
        };
        judge.check_threads();
        judge
    }

    /// Each thread's Messages are sent in its order.
    fn check_threads(&self) {
        for lane in &self.lanes {
            let mut last = HashMap::new();
            for (name, _) in &self.ledger.accepted {
                let Some(place) = lane.order.get(name.as_str()) else {
                    continue;
                };
                let before = last.insert(thread(name), place);
                assert!(
                    before.is_none_or(|before| before < place),
                    "{name} is out of order"
                );
            }
        }
    }

    pub fn is_registered(&self, at: usize) -> bool {
        self.ledger.registered_at.is_some_and(|since| since <= at)
    }

    /// Whether this Message was stored with a lifetime that has passed since.
    pub fn lives_briefly(&self, name: &str) -> bool {
        self.lifetimes.has(name)
    }

    fn check_names(&mut self, found: &Found) {
        for (id, name) in &found.pending {
            let known = self.names.entry(*id).or_insert_with(|| name.clone());
            assert_eq!(known, name, "the id {id} repeats");
            let is_known = |lane: &Lane<'_>| lane.order.contains_key(name.as_str());
            let is_known = self.lanes.iter().any(is_known) || self.newest.has(name);
            let is_known = is_known || self.lifetimes.has(name);
            assert!(is_known, "{name} is never received");
        }
    }

    /// What is there when the WAL is synced will be there.
    pub fn synced(&mut self, at: usize, kept: &Found) {
        self.check_names(kept);
        for lane in &mut self.lanes {
            lane.floor = lane.pending(at, kept);
        }
        self.newest.synced(at, kept);
        self.synced = kept.pending.keys().copied().collect();
        let newest = kept.pending.keys().map(|id| number(*id)).max();
        self.synced_number = self.synced_number.max(newest.unwrap_or(0));
    }

    pub fn judge(&mut self, at: usize, found: &Found) -> Outcome {
        self.check_names(found);
        self.newest.judge(at, found);
        self.lifetimes.judge(at, found, &self.names);
        for id in found.pending.keys() {
            assert!(
                number(*id) > self.synced_number || self.synced.contains(id),
                "the id {id} comes back, whose deletion was synced"
            );
        }
        let (mut lost, mut repeated, mut repeating) = (0, 0, Vec::new());
        for lane in &self.lanes {
            let outcome = lane.judge(at, found, self.durability);
            lost += outcome.lost;
            repeated += outcome.repeated;
            if outcome.repeated > 0 {
                repeating.push(lane.priority);
            }
        }
        assert!(
            repeated <= repeated_max(self.window),
            "{repeated} are repeated"
        );
        assert!(
            repeating.iter().all(|it| in_id(*it) == found.sent_from),
            "of {repeating:?} some are repeated, and {} was sent from last",
            found.sent_from
        );
        let repeats_id = found
            .probe
            .is_some_and(|id| number(id) <= self.synced_number);
        assert!(!repeats_id, "the id {:?} was given out before", found.probe);
        self.judge_uploads(at, found);
        self.judge_properties(at, found);
        self.judge_inbox(at, found);
        assert_eq!(found.set_aside.len(), 0);
        if self.is_registered(at) {
            assert!(found.has_token, "the registration is lost");
        }
        Outcome { lost, repeated }
    }

    /// What is told to be up does not go up once more.
    fn judge_uploads(&self, at: usize, found: &Found) {
        for (id, name) in &found.pending {
            let bytes = content(name).len() as u64;
            let told = self.ledger.uploaded.iter();
            let told = told.filter(|(upload, when)| upload.total_bytes == bytes && *when <= at);
            let told = told.map(|(upload, _)| upload.uploaded_bytes).max();
            let up = found.blocks_up.get(id).copied().unwrap_or(0) as u64;
            let told = told.unwrap_or(0) / BLOCK_BYTES as u64;
            assert!(
                found.links.contains(id) || told <= up,
                "of {name} {told} blocks were up, and {up} are noted"
            );
        }
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
