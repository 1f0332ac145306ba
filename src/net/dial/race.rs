//! Which address of a host is tried when (RFC 8305, "Happy Eyeballs"): pure, time is passed in.
//!
//! An address that leads nowhere is often the first of several: IPv6 behind a router that has none, or
//! a host that is down. So the next one need not wait until it is given up.
//!
//! Nor is an address on which nothing was heard yet left to the system alone: it repeats its SYN after 1, 3, 7, 15 s,
//! however short an outage was. A new attempt is made beside it, the more often the shorter the outage.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

/// RFC 8305's Connection Attempt Delay.
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// A name server can send many; each takes a socket until the race is over.
const ADDRESSES_MAX: usize = 16;
/// When all addresses are tried for the second time. The system's own repeats come at whole seconds after the first.
const AGAIN_FIRST: Duration = Duration::from_millis(500);
/// From then on they are tried again after so much of the outage, at random, as many devices may be in the same one:
/// half of it may pass until its end is noticed. With the system's repeats no second has more than twice as many SYNs
/// as without.
const AGAIN_PART: Range<f64> = 0.3..0.475;
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(12);

/// A race that goes on.
#[derive(Debug)]
pub(super) struct Race {
    waiting: VecDeque<SocketAddr>,
    /// In the order in which they were first tried.
    running: Vec<SocketAddr>,
    next_at: Instant,
    /// When all that run are tried again.
    again_at: Option<Instant>,
    /// About when the outage began.
    out_since: Instant,
    random: fastrand::Rng,
}

impl Race {
    /// A race of these addresses; `best` is the one that worked last, `outage` for how long none does.
    pub fn new(
        addresses: Vec<SocketAddr>,
        best: Option<SocketAddr>,
        outage: Duration,
        random: fastrand::Rng,
        now: Instant,
    ) -> Race {
        Race {
            waiting: in_order(addresses, best),
            running: Vec::new(),
            next_at: now,
            again_at: None,
            out_since: now.checked_sub(outage).unwrap_or(now),
            random,
        }
    }

    /// The address to try now, if there is one.
    pub fn start_next(&mut self, now: Instant) -> Option<SocketAddr> {
        if !self.running.is_empty() && now < self.next_at {
            return None;
        }
        if self.waiting.is_empty() && self.again_at.is_some_and(|again_at| now >= again_at) {
            self.waiting.extend(&self.running);
        }
        let address = self.waiting.pop_front()?;
        if !self.running.contains(&address) {
            self.running.push(address);
        }
        self.next_at = now + NEXT_AFTER;
        if self.waiting.is_empty() {
            let gap = match self.again_at {
                None => AGAIN_FIRST,
                Some(_) => {
                    let width = AGAIN_PART.end - AGAIN_PART.start;
                    let part = AGAIN_PART.start + width * self.random.f64();
                    let outage = now.duration_since(self.out_since);
                    outage.mul_f64(part).clamp(AGAIN_MIN, AGAIN_MAX)
                }
            };
            self.again_at = Some(now + gap);
        }
        Some(address)
    }

    /// This one will not be it: the next need not wait for its turn.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        self.running.retain(|running| *running != address);
        self.waiting.retain(|waiting| *waiting != address);
        self.next_at = now;
    }

    /// When an address is to be tried, or tried again, if none connects or fails before.
    pub fn next_due(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            let again_at = self.again_at.filter(|_| !self.running.is_empty());
            return again_at.map(|again_at| again_at.max(self.next_at));
        }
        Some(self.next_at)
    }

    /// Whether all have failed.
    pub fn is_lost(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Those that may still be tried, now that `winner` is it.
    pub fn others(self, winner: SocketAddr) -> Vec<SocketAddr> {
        let mut others = Vec::new();
        for address in self.running.into_iter().chain(self.waiting) {
            if address != winner && !others.contains(&address) {
                others.push(address);
            }
        }
        others
    }
}

/// The families in turn, each in the order of the resolver, the first one's first; before all of them
/// the one that worked last.
fn in_order(addresses: Vec<SocketAddr>, best: Option<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            break;
        }
        for address in pair.into_iter().flatten() {
            if !all.contains(&address) {
                all.push_back(address);
            }
        }
    }
    if let Some(best) = best.and_then(|best| all.iter().position(|address| *address == best))
        && let Some(best) = all.remove(best)
    {
        all.push_front(best);
    }
    all.truncate(ADDRESSES_MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is no outage.
    const NEVER: Duration = Duration::ZERO;

    fn random() -> fastrand::Rng {
        fastrand::Rng::with_seed(spotflow_fuzz::seed())
    }

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 1))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 1))
    }

    fn order(addresses: &[SocketAddr], best: Option<SocketAddr>) -> Vec<SocketAddr> {
        in_order(addresses.to_vec(), best).into()
    }

    #[test]
    fn families_take_turns_and_what_worked_last_goes_first() {
        let addresses = [v6(1), v6(2), v6(3), v4(1), v4(2), v6(1)];
        let interleaved = [v6(1), v4(1), v6(2), v4(2), v6(3)];
        assert_eq!(order(&addresses, None), interleaved);
        let best_first = [v4(2), v6(1), v4(1), v6(2), v6(3)];
        assert_eq!(order(&addresses, Some(v4(2))), best_first);
        // One that the name has no longer counts for nothing.
        assert_eq!(order(&addresses, Some(v4(9))), interleaved);
        assert_eq!(order(&[v4(1), v6(1)], None), [v4(1), v6(1)]);
        assert_eq!(order(&[], Some(v4(1))), []);
    }

    #[test]
    fn however_many_addresses_come_only_some_are_tried() {
        let many: Vec<_> = (0..200).map(v4).collect();
        let tried = order(&many, Some(v4(199)));
        assert_eq!(tried.len(), ADDRESSES_MAX);
        assert_eq!(tried[0], v4(199));
    }

    #[test]
    fn the_next_address_is_tried_after_a_quarter_of_a_second_or_a_failure() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut race = Race::new(
            vec![v4(1), v4(2), v4(3), v4(4)],
            None,
            NEVER,
            random(),
            start,
        );
        assert_eq!(race.start_next(start), Some(v4(1)));
        assert_eq!(race.next_due(), Some(at(250)));
        assert_eq!(race.start_next(at(249)), None);
        assert_eq!(race.start_next(at(250)), Some(v4(2)));
        assert_eq!(race.start_next(at(300)), None);
        race.failed(v4(1), at(300));
        assert_eq!(race.next_due(), Some(at(300)));
        assert_eq!(race.start_next(at(300)), Some(v4(3)));
        assert_eq!(race.next_due(), Some(at(550)));
        assert_eq!(race.others(v4(2)), [v4(3), v4(4)], "all but the failed");
    }

    #[test]
    fn a_race_is_lost_when_the_last_has_failed() {
        let start = Instant::now();
        let mut race = Race::new(vec![v4(1), v4(2)], None, NEVER, random(), start);
        for address in [v4(1), v4(2)] {
            assert!(!race.is_lost());
            assert_eq!(race.start_next(start), Some(address));
            race.failed(address, start);
        }
        assert!(race.is_lost());
        assert_eq!(race.start_next(start), None);
        assert_eq!(race.next_due(), None);
        assert!(Race::new(vec![], None, NEVER, random(), start).is_lost());
    }

    /// When addresses are tried that nobody answers at, in ms.
    fn tried(
        addresses: &[SocketAddr],
        outage_seconds: u64,
        count: usize,
        random: fastrand::Rng,
    ) -> Vec<(u128, SocketAddr)> {
        let start = Instant::now();
        let outage = Duration::from_secs(outage_seconds);
        let mut race = Race::new(addresses.to_vec(), None, outage, random, start);
        let (mut now, mut tried) = (start, Vec::new());
        while tried.len() < count {
            while let Some(address) = race.start_next(now) {
                tried.push((now.duration_since(start).as_millis(), address));
            }
            now = race.next_due().unwrap();
        }
        tried
    }

    #[test]
    fn an_address_that_says_nothing_is_tried_again_within_half_of_the_outage() {
        for outage_seconds in [0, 5, 20, 3600] {
            let times: Vec<u128> = tried(&[v4(1)], outage_seconds, 12, random())
                .into_iter()
                .map(|(at, _)| at)
                .collect();
            assert_eq!(times[..2], [0, 500]);
            for pair in times[1..].windows(2) {
                let outage = u128::from(outage_seconds) * 1000 + pair[0];
                let longest = (outage / 2).clamp(1000, 12_000);
                let gap = pair[1] - pair[0];
                assert!((1000..=longest).contains(&gap), "{times:?}");
            }
        }
    }

    #[test]
    fn all_addresses_that_say_nothing_are_tried_again_one_after_the_other() {
        let expected = [
            (0, v6(1)),
            (250, v4(1)),
            (750, v6(1)),
            (1000, v4(1)),
            (2000, v6(1)),
            (2250, v4(1)),
        ];
        assert_eq!(tried(&[v6(1), v4(1)], 0, 6, random()), expected);
    }

    #[test]
    fn what_has_failed_is_not_tried_again() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut race = Race::new(vec![v4(1), v4(2)], None, NEVER, random(), start);
        assert_eq!(race.start_next(start), Some(v4(1)));
        assert_eq!(race.start_next(at(250)), Some(v4(2)));
        race.failed(v4(1), at(300));
        assert_eq!(race.start_next(at(750)), Some(v4(2)));
        assert_eq!(race.others(v4(3)), [v4(2)], "once");
    }

    #[test]
    fn ten_thousand_devices_send_at_most_twice_the_syns_of_the_system_alone_and_not_together() {
        const DEVICES: u128 = 10_000;
        // As Linux repeats them (RFC 6298), of which a later attempt lives to see none.
        const SYSTEM_MS: [u128; 5] = [0, 1000, 3000, 7000, 15_000];
        let mut random = random();
        let (mut with, mut without) = ([0; 40], [0; 40]);
        for device in 0..DEVICES {
            // They begin within a second.
            let begun = 1000 * device / DEVICES;
            let own = tried(&[v4(1)], 0, 12, random.fork());
            let own = own[1..].iter().map(|(at, _)| *at);
            let count = |seconds: &mut [u32], at: u128| {
                if let Some(second) = seconds.get_mut(usize::try_from((begun + at) / 1000).unwrap())
                {
                    *second += 1;
                }
            };
            for at in SYSTEM_MS {
                count(&mut without, at);
                count(&mut with, at);
            }
            for at in own {
                count(&mut with, at);
            }
        }
        println!("with {with:?}, without {without:?}");
        let (most, most_without) = (with.iter().max().unwrap(), without.iter().max().unwrap());
        assert!(most <= &(2 * most_without));
        // Where the system sends nothing by itself.
        assert!(with[17..30].iter().max().unwrap() < &4000);
    }
}
