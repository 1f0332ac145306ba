//! Messages that grow too old, through power cuts: nothing expires before its time or without a network, and what was
//! told as expired, or passed by, is gone for good: whatever clock the next start has, it is not sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Durability, Error, Priority};
use spotflow_emulator::AckMode;

use crate::device::{BRIEF, Device, Keeps, Kind, Ledger, PATIENCE, POWER_SAFE, Run, thread};
use crate::reopening::{Found, lane};
use crate::survey::{Plan, survey};

/// The Messages with a short lifetime.
pub struct Lifetimes<'a> {
    ledger: &'a Ledger,
    durability: Durability,
    received: HashMap<&'a str, usize>,
    brief: HashSet<&'a str>,
    told: HashMap<&'a str, usize>,
}

impl<'a> Lifetimes<'a> {
    pub fn new(run: &'a Run) -> Lifetimes<'a> {
        let ledger = &run.ledger;
        let by_name = |names: &'a [(String, usize)]| -> HashMap<&'a str, usize> {
            let names = names.iter();
            names.map(|(name, at)| (name.as_str(), *at)).collect()
        };
        let received = by_name(&ledger.received);
        let told = by_name(&ledger.expired);
        for name in told.keys() {
            assert!(!received.contains_key(name), "{name} is sent and expired");
        }
        let brief = ledger.accepted.iter().map(|(name, _)| name.as_str());
        let brief = brief.filter(|name| (run.kind.keeps)(thread(name)) == Keeps::Briefly);
        Lifetimes {
            ledger,
            durability: run.kind.durability,
            brief: brief.collect(),
            received,
            told,
        }
    }

    /// Whether it is one of these Messages.
    pub fn has(&self, name: &str) -> bool {
        self.brief.contains(name)
    }

    fn was_received(&self, name: &str, at: usize) -> bool {
        self.received.get(name).is_some_and(|when| *when <= at)
    }

    /// `names` has the Messages of all ids that were ever seen.
    pub fn judge(&self, at: usize, found: &Found, names: &BTreeMap<i64, String>) {
        for (id, name) in &found.pending {
            let told = self.told.get(name.as_str());
            assert!(
                told.is_none_or(|told| *told > at),
                "{name} comes back, which was told as expired"
            );
            if !self.has(name) || self.received.contains_key(name.as_str()) {
                continue;
            }
            let of_lane = names
                .range(id + 1..)
                .take_while(|it| lane(*it.0) == lane(*id));
            let mut behind = of_lane.filter(|(_, name)| self.was_received(name, at));
            assert!(
                behind.next().is_none(),
                "{name} comes back, and what was stored behind it is sent"
            );
        }
        if self.durability != Durability::PowerSafe {
            return;
        }
        let pending: HashSet<&str> = found.pending.values().map(String::as_str).collect();
        for (name, accepted) in &self.ledger.accepted {
            let may_expire = self.ledger.was_online(*accepted, at);
            let is_told = self.told.get(name.as_str()).is_some_and(|told| *told <= at);
            let is_gone = may_expire || is_told || self.was_received(name, at);
            if self.has(name) && *accepted <= at && !is_gone {
                assert!(pending.contains(name.as_str()), "{name} is lost");
            }
        }
    }
}

/// Lanes, of each a thread whose Messages stay and one whose Messages live briefly, and two that keep the latest.
const LANES: [Priority; 3] = [Priority::Urgent, Priority::Normal, Priority::Bulk];
const BRIEFLY: usize = LANES.len();
const LATEST: usize = 2 * LANES.len();
const LATEST_OF_KEY: usize = LATEST + 1;
const THREADS: usize = LATEST_OF_KEY + 1;

const MIXED: Kind = Kind {
    lanes: |thread| LANES[thread % LANES.len()],
    keeps: |thread| match thread {
        ..BRIEFLY => Keeps::All,
        BRIEFLY..LATEST => Keeps::Briefly,
        LATEST => Keeps::Latest,
        _ => Keeps::LatestOf("key"),
    },
    ..POWER_SAFE
};

/// What a client counts as not sent: expired and replaced.
fn not_sent(client: &DeviceClient) -> [u64; 2] {
    let status = client.status();
    [status.expired_messages, status.replaced_messages]
}

/// A backlog of two runs that has grown old when the network comes, also of Messages that somebody waits for; and
/// Messages that come faster than they are acknowledged.
fn outlived(kind: Kind, title: &str) -> Run {
    let device = Device::new(kind);
    device.start().close();
    device.offline(true);
    let mut counts = Vec::new();
    let store = |client: &DeviceClient, numbers: std::ops::Range<usize>| {
        for number in numbers {
            (0..THREADS).for_each(|thread| device.store_each(client, thread, number..number + 1));
        }
    };
    let client = device.start();
    store(&client, 0..12);
    counts.push(not_sent(&client));
    client.close();

    let client = device.start();
    store(&client, 12..16);
    let all = client.pending_messages_count() + (LATEST - BRIEFLY) as u64;
    std::thread::scope(|scope| {
        for thread in BRIEFLY..LATEST {
            let (device, client) = (&device, &client);
            scope.spawn(move || device.send_too_old(client, thread, 16));
        }
        wait_for(|| client.pending_messages_count() == all);
        let stored = Instant::now();
        wait_for(|| stored.elapsed() > 2 * BRIEF);
        device.offline(false);
    });
    wait_all_sent_or_expired(&client);
    device.all_brief_are_told();
    let expired = client.status().expired_messages;
    assert_eq!(expired as usize, 17 * LANES.len(), "all of them");

    let slow = AckMode::After(Duration::from_millis(4));
    device.platform.acknowledge(slow);
    store(&client, 17..32);
    wait_all_sent_or_expired(&client);
    counts.push(not_sent(&client));
    client.close();
    let run = device.end(title);
    let [expired, replaced] = [0, 1].map(|of| counts.iter().map(|it| it[of]).sum::<u64>());
    let (accepted, received) = (run.ledger.accepted.len(), run.ledger.received.len());
    println!("{title}: {expired} expired, {replaced} replaced");
    assert_eq!(accepted, received + (expired + replaced) as usize);
    let is_brief = |it: &&(String, usize)| (kind.keeps)(thread(&it.0)) == Keeps::Briefly;
    let brief = |of: &[(String, usize)]| of.iter().filter(is_brief).count();
    let sent = brief(&run.ledger.received);
    assert_eq!(brief(&run.ledger.accepted), sent + expired as usize);
    run
}

/// What has expired before is not told.
pub fn wait_all_sent_or_expired(client: &DeviceClient) {
    match client.wait_enqueued_messages_sent_timeout(PATIENCE) {
        Ok(()) | Err(Error::Expired) => {}
        Err(error) => panic!("{error:?}"),
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn what_was_told_as_expired_or_passed_by_does_not_come_back_and_nothing_expires_before_its_time() {
    let plan = Plan {
        between: 20,
        again: 40,
        deliveries: 8,
    };
    let totals = survey(&outlived(MIXED, "outlived"), plan);
    assert!(totals.delivered > 0, "{totals:?}");
}

#[test]
fn with_a_window_and_kill_safe_what_expired_does_not_come_back_either() {
    let kind = Kind {
        durability: Durability::KillSafe,
        window: 16,
        ..MIXED
    };
    let plan = Plan {
        between: 20,
        again: 40,
        deliveries: 0,
    };
    survey(&outlived(kind, "outlived, kill-safe, window 16"), plan);
}
