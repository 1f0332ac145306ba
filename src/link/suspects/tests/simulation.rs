//! Thousands of hours on bad networks, with bad hubs, and with bad Messages.

use std::collections::VecDeque;

use super::*;
use crate::backoff::Backoff;

const HOUR: Duration = Duration::from_secs(3600);
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// How long connections live.
#[derive(Debug, Clone, Copy)]
enum Life {
    Unlimited,
    /// As long on average, without memory.
    About(Duration),
    /// Exactly so long: a proxy, or a NAT.
    Exactly(Duration),
    /// Minutes of the one, minutes of the other: a moving vehicle.
    Alternating(Duration),
    /// Another client with the same Device ID takes the hub's side again and again.
    Contended(Duration),
}

/// How the hub treats Messages; it answers everything else.
#[derive(Debug, Clone, Copy)]
enum Hub {
    Good,
    /// Refuses each with this probability.
    Overloaded(f64),
    /// Refuses all, so long, so often.
    Throttling {
        every: Duration,
        length: Duration,
    },
    /// Closes all connections so often, and is away so long.
    Restarting {
        every: Duration,
        length: Duration,
    },
    /// Refuses all from now on.
    Closed,
}

#[derive(Debug, Clone, Copy)]
struct Conditions {
    life: Life,
    hub: Hub,
    /// Of connections that can be made.
    connects: f64,
    /// Of broken connections that look as if the hub had closed them.
    looks_like_hub: f64,
    round_trip: Duration,
    /// How long it takes to send a Message.
    transfer: Duration,
    arrivals: Duration,
    window: usize,
    keep_alive: Duration,
}

const GOOD: Conditions = Conditions {
    life: Life::Unlimited,
    hub: Hub::Good,
    connects: 1.0,
    looks_like_hub: 1.0,
    round_trip: Duration::from_millis(100),
    transfer: Duration::from_millis(10),
    arrivals: Duration::from_secs(30),
    window: 1,
    keep_alive: KEEP_ALIVE,
};

struct World {
    conditions: Conditions,
    random: fastrand::Rng,
    now: Moment,
    suspects: Suspects,
    backoff: Backoff,
    in_flight: VecDeque<i64>,
    taken: i64,
    stored: i64,
    next_arrival: Moment,
    phase_of_hub: Duration,
    is_poison: fn(i64) -> bool,
    delivered: Vec<i64>,
    verdicts: Vec<Verdict>,
}

impl World {
    fn new(conditions: Conditions, seed: u64, is_poison: fn(i64) -> bool) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        World {
            conditions,
            now: Moment::START,
            suspects: Suspects::new(conditions.keep_alive, random.fork()),
            backoff: Backoff::new(Duration::from_secs(1), MINUTE),
            in_flight: VecDeque::new(),
            taken: 0,
            stored: 0,
            next_arrival: Moment::START,
            phase_of_hub: HOUR.mul_f64(random.f64()),
            is_poison,
            delivered: Vec::new(),
            verdicts: Vec::new(),
            random,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let connected_at = self.now;
            let (refused, acknowledged) = self.connection(end);
            if refused || acknowledged || self.now.since(connected_at) >= Duration::from_secs(30) {
                self.backoff.reset();
            }
            if !self.suspects.wants_witness() {
                let delay = self.backoff.next_delay(self.random.f64());
                self.now = self.now + delay;
            }
        }
    }

    /// How far the hub is in its cycle of `every`.
    fn hub_time(&self, every: Duration) -> Duration {
        let time = self.now.since(Moment::START) + self.phase_of_hub;
        Duration::from_millis((time.as_millis() % every.as_millis()) as u64)
    }

    fn can_connect(&mut self) -> bool {
        if let Hub::Restarting { every, length } = self.conditions.hub
            && self.hub_time(every) < length
        {
            return false;
        }
        self.random.f64() < self.conditions.connects
    }

    fn hub_takes(&mut self, id: i64) -> bool {
        if (self.is_poison)(id) {
            return false;
        }
        match self.conditions.hub {
            Hub::Good | Hub::Restarting { .. } => true,
            Hub::Overloaded(refused) => self.random.f64() >= refused,
            Hub::Throttling { every, length } => self.hub_time(every) >= length,
            Hub::Closed => false,
        }
    }

    fn life(&mut self) -> Duration {
        let mut memoryless = |mean: Duration| mean.mul_f64(-(1.0 - self.random.f64()).ln());
        let network = match self.conditions.life {
            Life::Unlimited => NEVER,
            Life::About(mean) => memoryless(mean),
            Life::Exactly(life) => life,
            Life::Alternating(mean) => match (self.now.since(Moment::START).as_secs() / 300) % 2 {
                0 => memoryless(mean),
                _ => memoryless(mean * 50),
            },
            Life::Contended(longest) => longest.mul_f64(self.random.f64()),
        };
        let hub = match self.conditions.hub {
            Hub::Restarting { every, .. } => every - self.hub_time(every),
            _ => NEVER,
        };
        network.min(hub)
    }

    fn arrive(&mut self) {
        while self.now >= self.next_arrival {
            self.stored += 1;
            let gap = self.conditions.arrivals.mul_f64(2.0 * self.random.f64());
            self.next_arrival = self.next_arrival + gap.max(Duration::from_millis(1));
        }
    }

    /// One connection: whether it ended by a refusal, and whether something was acknowledged on it.
    fn connection(&mut self, end: Moment) -> (bool, bool) {
        let Conditions {
            round_trip,
            transfer,
            window,
            ..
        } = self.conditions;
        self.now = self.now + 3 * round_trip;
        if !self.can_connect() {
            self.suspects.not_connected();
            return (false, false);
        }
        let cut_at = self.now + self.life();
        self.suspects.connected(self.now);
        let mut settled_at = self.now + 2 * round_trip;
        // What was sent, and when the hub's answer comes.
        let mut sent: VecDeque<(i64, Moment)> = VecDeque::new();
        let mut acknowledged = false;
        while self.now < end {
            self.arrive();
            let settled = sent.is_empty() && self.now >= settled_at;
            let (in_flight, taken, stored) = (&mut self.in_flight, &mut self.taken, self.stored);
            let step = self.suspects.step(self.now, settled, |place| {
                if place >= in_flight.len() && *taken < stored {
                    *taken += 1;
                    in_flight.push_back(*taken);
                }
                place < in_flight.len()
            });
            match step {
                Step::Nothing => {}
                Step::Ping => settled_at = self.now + round_trip,
                Step::One(place) => {
                    let id = self.in_flight[place];
                    sent.push_back((id, self.now + transfer + round_trip));
                }
                Step::SetAside(verdicts) => self.set_aside(verdicts),
                Step::All => {
                    while sent.len() < window && sent.len() < self.in_flight.len().max(1) {
                        if sent.len() == self.in_flight.len() {
                            if self.taken == self.stored {
                                break;
                            }
                            self.taken += 1;
                            self.in_flight.push_back(self.taken);
                        }
                        let free = sent.back().map_or(self.now + round_trip, |last| last.1);
                        sent.push_back((self.in_flight[sent.len()], free + transfer));
                    }
                }
            }
            let oldest = sent.front().map(|(id, _)| *id);
            let answer = sent.front().map(|(_, at)| *at);
            let timers = [answer, self.suspects.next_due(), Some(self.next_arrival)];
            let settles = (settled_at > self.now).then_some(settled_at);
            let next = timers.into_iter().chain([settles]).flatten().min();
            let next = next.unwrap_or(cut_at).max(self.now);
            if cut_at <= next {
                self.now = self.now.max(cut_at);
                let end = if self.random.f64() < self.conditions.looks_like_hub {
                    End::Closed
                } else {
                    End::Failed
                };
                return (self.suspects.lost(end, oldest, self.now), acknowledged);
            }
            self.now = next;
            let Some((id, _)) = sent.front().copied().filter(|_| answer == Some(next)) else {
                continue;
            };
            if !self.hub_takes(id) {
                let end = match sent.len() {
                    1 => End::Closed,
                    _ => End::Broken,
                };
                return (self.suspects.lost(end, oldest, self.now), acknowledged);
            }
            sent.pop_front();
            acknowledged = true;
            let verdicts = self.suspects.acknowledged(id, self.now);
            self.set_aside(verdicts);
            self.delivered.push(id);
            self.in_flight.retain(|other| *other != id);
        }
        (false, acknowledged)
    }

    fn set_aside(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            self.in_flight.retain(|id| *id != verdict.id);
            self.verdicts.push(verdict);
        }
    }

    fn assert_in_order(&self) {
        assert!(self.delivered.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

/// Between the two, evenly by order of magnitude.
fn between(random: &mut fastrand::Rng, least: f64, most: f64) -> Duration {
    Duration::from_secs_f64((least.ln() + random.f64() * (most / least).ln()).exp())
}

fn flapping(random: &mut fastrand::Rng) -> Conditions {
    let life = match random.u8(0..6) {
        0 => Life::Unlimited,
        1 | 2 => Life::About(between(random, 0.5, 7200.0)),
        3 => Life::Exactly(between(random, 0.5, 7200.0)),
        4 => Life::Alternating(between(random, 0.5, 600.0)),
        _ => Life::Contended(between(random, 0.5, 120.0)),
    };
    let every = between(random, 60.0, 20_000.0);
    let hub = match random.u8(0..5) {
        0 | 1 => Hub::Good,
        2 => Hub::Overloaded(random.f64() * 0.25),
        3 => Hub::Throttling {
            every,
            length: (every / 2).min(between(random, 0.1, 60.0)),
        },
        _ => Hub::Restarting {
            every,
            length: (every / 2).min(between(random, 0.1, 600.0)),
        },
    };
    Conditions {
        life,
        hub,
        connects: if random.bool() {
            1.0
        } else {
            random.f64().max(0.1)
        },
        looks_like_hub: if random.bool() { 1.0 } else { random.f64() },
        round_trip: between(random, 0.001, 10.0),
        transfer: between(random, 0.001, 60.0),
        arrivals: between(random, 5.0, 600.0),
        window: random.choice([1, 1, 2, 16]).expect("a window"),
        keep_alive: Duration::from_secs(random.u64(30..300)),
    }
}

#[test]
fn ten_thousand_hours_of_bad_networks_and_bad_hubs_set_nothing_aside() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    for _ in 0..400 {
        let conditions = flapping(&mut random);
        let seed = random.u64(..);
        let mut world = World::new(conditions, seed, |_| false);
        world.run(25 * HOUR);
        assert_eq!(world.verdicts, [], "{seed}: {conditions:?}");
        world.assert_in_order();
    }
}

/// Only if the hub begins to take Messages again between a refusal and the witness is one set aside.
#[test]
fn the_end_of_a_time_in_which_the_hub_takes_nothing_is_hardly_ever_mistaken() {
    const OUTAGES: u32 = 400;
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    let mut mistakes = 0;
    for _ in 0..OUTAGES {
        let length = between(&mut random, 600.0, 40_000.0);
        let hub = Hub::Throttling {
            every: 24 * HOUR,
            length,
        };
        let conditions = Conditions {
            hub,
            window: random.choice([1, 16]).expect("a window"),
            ..GOOD
        };
        let mut world = World::new(conditions, random.u64(..), |_| false);
        world.phase_of_hub = Duration::ZERO;
        world.run(length + HOUR);
        mistakes += u32::from(!world.verdicts.is_empty());
        world.assert_in_order();
        let handled = world.delivered.len() + world.verdicts.len();
        let waiting = world.stored - handled as i64;
        assert!(
            waiting < 20,
            "{waiting} still wait an hour after {length:?}"
        );
    }
    println!("{mistakes} of {OUTAGES}");
    assert!(mistakes * 50 < OUTAGES, "{mistakes} of {OUTAGES}");
}

#[test]
fn a_hub_that_takes_nothing_at_all_has_nothing_set_aside_within_a_day() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    for window in [1, 16] {
        let hub = Hub::Closed;
        let conditions = Conditions {
            hub,
            window,
            ..GOOD
        };
        let mut world = World::new(conditions, random.u64(..), |_| false);
        world.run(24 * HOUR);
        assert_eq!(world.verdicts, []);
    }
}

#[test]
fn poison_is_found_within_four_minutes_on_a_good_network_and_the_rest_is_delivered_in_order() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    for window in [1, 2, 16] {
        for _ in 0..20 {
            let conditions = Conditions {
                window,
                round_trip: between(&mut random, 0.001, 0.5),
                arrivals: between(&mut random, 5.0, 60.0),
                ..GOOD
            };
            let mut world = World::new(conditions, random.u64(..), |id| id % 100 == 7);
            world.run(10 * HOUR);
            assert!(world.verdicts.len() > 3);
            for verdict in &world.verdicts {
                assert_eq!(verdict.id % 100, 7);
                assert!(verdict.time < 4 * MINUTE, "{verdict:?}");
            }
            let oldest_left = world.in_flight.front().copied().unwrap_or(world.taken + 1);
            let good = (1..oldest_left).filter(|id| id % 100 != 7);
            let delivered = world.delivered.iter().copied();
            assert!(delivered.take_while(|id| *id < oldest_left).eq(good));
        }
    }
}

#[test]
fn several_in_a_row_are_found() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    let mut world = World::new(GOOD, random.u64(..), |id| (3..=7).contains(&id));
    world.run(3 * HOUR);
    let set_aside: Vec<i64> = world.verdicts.iter().map(|verdict| verdict.id).collect();
    assert_eq!(set_aside, [3, 4, 5, 6, 7]);
    world.assert_in_order();
}

#[test]
fn poison_is_found_within_a_day_on_a_bad_network() {
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    for _ in 0..50 {
        let conditions = Conditions {
            life: Life::About(between(&mut random, 300.0, 7200.0)),
            connects: 0.9 + 0.1 * random.f64(),
            looks_like_hub: random.f64(),
            round_trip: between(&mut random, 0.01, 1.0),
            transfer: between(&mut random, 0.01, 1.0),
            window: random.choice([1, 16]).expect("a window"),
            ..GOOD
        };
        let seed = random.u64(..);
        let mut world = World::new(conditions, seed, |id| id == 50);
        world.run(24 * HOUR);
        let set_aside: Vec<i64> = world.verdicts.iter().map(|verdict| verdict.id).collect();
        assert_eq!(set_aside, [50], "{seed}: {conditions:?}");
    }
}
