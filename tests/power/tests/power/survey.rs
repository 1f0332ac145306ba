//! Cuts the power of a recorded run at every sync and between, and holds what the library finds against
//! the ledger.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fastrand::Rng;
use spotflow_device::{DeviceClientBuilder, Durability};

use crate::device::{Ledger, PATIENCE, Run};
use crate::disk::{Disk, Fate};
use crate::recorder::{Image, Operation, Watch};
use crate::reopening::{DATABASE, Found, Options, Start, read, write};

/// Messages that a power cut can repeat beside those of the window: `ACKNOWLEDGEMENTS_PER_SYNC` in
/// src/outbox/state.rs, less the one whose record is synced.
const REPEATED_MAX: usize = 255;

/// Messages that were acknowledged last and can be repeated, with this window.
pub fn repeated_max(window: usize) -> usize {
    REPEATED_MAX + window
}

/// A seed from the environment, or a random one.
pub fn seed() -> u64 {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| fastrand::u64(..))
}

/// How many survivals there are of each cut.
pub fn survivals() -> usize {
    let survivals = std::env::var("SURVIVALS").ok();
    survivals
        .and_then(|survivals| survivals.parse().ok())
        .unwrap_or(3)
}

/// Where a run is cut, beside every sync.
pub struct Plan {
    /// One cut between, on average, in so many operations.
    pub between: usize,
    /// Every so-many-th survival is recorded while the library starts on it, and cut again.
    pub again: usize,
    /// So many survivals are delivered to the Platform.
    pub deliveries: usize,
}

/// What was seen in all survivals of a run.
#[derive(Debug, Default)]
pub struct Totals {
    pub cuts: usize,
    pub reopenings: usize,
    pub second_cuts: usize,
    pub survivals_with_loss: usize,
    pub lost_max: usize,
    pub repeated_max: usize,
    pub delivered: usize,
}

struct Survey<'a> {
    run: &'a Run,
    plan: Plan,
    judge: Judge<'a>,
    random: Rng,
    totals: Totals,
    /// Of the images, one in a while, and at which cut; chosen evenly.
    sample: Vec<(usize, Image)>,
}

/// Cuts the run everywhere, and panics with the seed and the place if a promise is broken.
pub fn survey(run: &Run, plan: Plan) -> Totals {
    let seed = seed();
    println!("{}: SEED={seed} SURVIVALS={}", run.title, survivals());
    run.platform
        .accept_connections(false)
        .expect("the door closes");
    let mut survey = Survey {
        judge: Judge::new(run),
        run,
        plan,
        random: Rng::with_seed(seed),
        totals: Totals::default(),
        sample: Vec::new(),
    };
    let began = std::time::Instant::now();
    survey.cut_everywhere();
    run.platform
        .accept_connections(true)
        .expect("the door opens");
    survey.deliver();
    println!(
        "{}: {:?} in {:.1?}",
        run.title,
        survey.totals,
        began.elapsed()
    );
    survey.totals
}

impl Survey<'_> {
    fn cut_everywhere(&mut self) {
        let run = self.run;
        let mut disk = Disk::new(&run.recording);
        for (at, operation) in run.recording.operations.iter().enumerate() {
            // Before the sync is over, all that it was to save can be lost.
            if operation.is_sync() || self.random.usize(0..self.plan.between) == 0 {
                self.cut(&disk, at);
                self.totals.cuts += 1;
            }
            if let Operation::Sync { file } = operation
                && disk
                    .name_of(*file)
                    .is_some_and(|name| name.ends_with("-wal"))
            {
                let kept = self.kept(&disk);
                self.judge.synced(at, &kept);
            }
            disk.apply(operation);
        }
        self.cut(&disk, run.recording.operations.len());
    }

    /// As a kill leaves it.
    fn kept(&mut self, disk: &Disk) -> Found {
        let directory = write(&disk.survive(Fate::Kept, &mut self.random));
        read(&directory.path().join(DATABASE))
    }

    fn cut(&mut self, disk: &Disk, at: usize) {
        for _ in 0..survivals() {
            let fate = Fate::random(&mut self.random);
            let image = disk.survive(fate, &mut self.random);
            let place = format!("{} cut before operation {at}, {fate:?}", self.run.title);
            let place = Place(&place);
            let directory = write(&image);
            self.totals.reopenings += 1;
            if self.random.usize(0..self.plan.again) == 0 {
                self.cut_again(at, directory.path());
            } else {
                let found = self.start(at, true).on(directory.path());
                let outcome = self.judge.judge(at, &found);
                self.totals.add(outcome);
            }
            drop(place);
            self.keep_a_sample(at, image);
        }
    }

    /// The power fails again while the library starts on what is left.
    fn cut_again(&mut self, at: usize, directory: &Path) {
        let watch = Watch::begin(directory);
        let found = self.start(at, false).on(directory);
        let outcome = self.judge.judge(at, &found);
        self.totals.add(outcome);
        let recording = watch.end();
        let mut disk = Disk::new(&recording);
        for operation in &recording.operations {
            if operation.is_sync() {
                let fate = Fate::random(&mut self.random);
                let place = format!("a second cut, {fate:?}");
                let place = Place(&place);
                let directory = write(&disk.survive(fate, &mut self.random));
                let found = self.start(at, true).on(directory.path());
                let outcome = self.judge.judge(at, &found);
                self.totals.add(outcome);
                self.totals.reopenings += 1;
                self.totals.second_cuts += 1;
                drop(place);
            }
            disk.apply(operation);
        }
    }

    fn start(&self, at: usize, probes: bool) -> Start<'_> {
        let is_registered = self.judge.is_registered(at);
        Start {
            options: self,
            is_registered,
            probes: probes && is_registered,
        }
    }

    fn keep_a_sample(&mut self, at: usize, image: Image) {
        if !self.judge.is_registered(at) {
            return;
        }
        if self.sample.len() < self.plan.deliveries {
            self.sample.push((at, image));
        } else if self.plan.deliveries > 0 {
            let place = self.random.usize(0..self.totals.reopenings);
            if let Some(chosen) = self.sample.get_mut(place) {
                *chosen = (at, image);
            }
        }
    }

    /// The Platform gets what is pending, in order and once.
    fn deliver(&mut self) {
        for (at, image) in std::mem::take(&mut self.sample) {
            let place = format!("{} delivered after a cut before {at}", self.run.title);
            let place = Place(&place);
            let directory = write(&image);
            let database = directory.path().join(DATABASE);
            let expected: Vec<String> = read(&database).pending.into_values().collect();
            self.run.platform.clear_messages();
            let client = self.run.options(&database).start().expect("it starts");
            client
                .wait_enqueued_messages_sent_timeout(PATIENCE)
                .expect("all is sent");
            client.close();
            let received = self.run.platform.messages().into_iter();
            let received: Vec<String> = received.filter_map(|it| it.message_id).collect();
            assert_eq!(received, expected);
            self.totals.delivered += received.len();
            drop(place);
        }
    }
}

impl Options for Survey<'_> {
    fn options(&self, database: &Path) -> DeviceClientBuilder {
        self.run.options(database)
    }
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.survivals_with_loss += usize::from(outcome.lost > 0);
        self.lost_max = self.lost_max.max(outcome.lost);
        self.repeated_max = self.repeated_max.max(outcome.repeated);
    }
}

/// Says where a check failed.
pub struct Place<'a>(pub &'a str);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in {}", self.0);
        }
    }
}

/// What a survival cost.
struct Outcome {
    lost: usize,
    repeated: usize,
}

/// Knows what must be there after a cut.
struct Judge<'a> {
    ledger: &'a Ledger,
    durability: Durability,
    window: usize,
    /// The place of each Message in the order in which all are stored, and sent.
    order: HashMap<&'a str, usize>,
    accepted: Vec<(usize, usize)>,
    names: BTreeMap<i64, String>,
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
    fn new(run: &'a Run) -> Judge<'a> {
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

    fn is_registered(&self, at: usize) -> bool {
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
        assert!(
            places.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "out of order, or one is missing: {places:?}"
        );
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
    fn synced(&mut self, at: usize, kept: &Found) {
        self.floor = self.pending(at, kept);
    }

    fn judge(&mut self, at: usize, found: &Found) -> Outcome {
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
