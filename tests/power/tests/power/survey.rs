//! Cuts the power of a recorded run at every sync and between, and holds what the library finds against
//! the ledger.

use std::path::Path;
use std::time::Instant;

use fastrand::Rng;
use spotflow_device::DeviceClientBuilder;
use spotflow_emulator::Route;

use crate::content::blocks_to_go;
use crate::device::{Run, content};
use crate::disk::{Disk, Fate};
use crate::judge::{Judge, Outcome};
use crate::lifetimes::wait_all_sent_or_expired;
use crate::recorder::{Image, Operation, Watch};
use crate::reopening::{DATABASE, Found, Options, Start, in_order, noted, read, write};

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
    let began = Instant::now();
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
        let mut was_rare = false;
        for (at, operation) in run.recording.operations.iter().enumerate() {
            // Before the sync is over, all that it was to save can be lost.
            let is_due = operation.is_sync() || was_rare;
            if is_due || self.random.usize(0..self.plan.between) == 0 {
                self.cut(&disk, at, survivals());
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
            was_rare = !matches!(
                operation,
                Operation::Write { .. } | Operation::Allocate { .. } | Operation::Sync { .. }
            );
        }
        // Long after the end.
        self.cut(&disk, run.recording.operations.len(), 10 * survivals());
    }

    /// As a kill leaves the database. What the sent log notes is not synced with it.
    fn kept(&mut self, disk: &Disk) -> Found {
        let directory = write(&disk.survive(Fate::Kept, &mut self.random));
        read(&directory.path().join(DATABASE))
    }

    fn cut(&mut self, disk: &Disk, at: usize, survivals: usize) {
        self.totals.cuts += 1;
        for _ in 0..survivals {
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
            let mut found = read(&database);
            for id in noted(&database) {
                found.pending.remove(&id);
            }
            let blocks_to_go = blocks_to_go(&found);
            let Found {
                mut pending,
                sent_from,
                ..
            } = found;
            // By now these are too old.
            let all = pending.len();
            pending.retain(|_, name| !self.judge.lives_briefly(name));
            let too_old = (all - pending.len()) as u64;
            let expected = in_order(&pending, sent_from);
            let platform = &self.run.platform;
            platform.clear_messages();
            let blocks = platform.http_request_count(Route::BlockPut);
            let client = self.run.options(&database).start().expect("it starts");
            wait_all_sent_or_expired(&client);
            assert_eq!(client.status().expired_messages, too_old);
            client.close();
            let received = platform.messages().into_iter();
            let received: Vec<String> = received
                .filter_map(|it| {
                    let name = it.message_id?;
                    assert!(it.payload == content(&name), "{name} has changed");
                    Some(name)
                })
                .collect();
            assert_eq!(received, expected);
            let blocks = platform.http_request_count(Route::BlockPut) - blocks;
            assert_eq!(
                blocks, blocks_to_go,
                "what is noted to be up goes once more"
            );
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
