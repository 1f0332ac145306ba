//! Which address of a host is tried when (RFC 8305, "Happy Eyeballs"): pure, time is passed in.
//!
//! An address that leads nowhere is often the first of several: IPv6 behind a router that has none, or
//! a host that is down. So the next one need not wait until it is given up.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// RFC 8305's Connection Attempt Delay.
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// A name server can send many; each takes a socket until the race is over.
const ADDRESSES_MAX: usize = 16;

/// A race that goes on.
#[derive(Debug)]
pub(super) struct Race {
    waiting: VecDeque<SocketAddr>,
    running: Vec<SocketAddr>,
    next_at: Instant,
}

impl Race {
    /// A race of these addresses; `best` is the one that worked last.
    pub fn new(addresses: Vec<SocketAddr>, best: Option<SocketAddr>, now: Instant) -> Race {
        Race {
            waiting: in_order(addresses, best),
            running: Vec::new(),
            next_at: now,
        }
    }

    /// The address to try now, if there is one.
    pub fn start_next(&mut self, now: Instant) -> Option<SocketAddr> {
        if !self.running.is_empty() && now < self.next_at {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.running.push(address);
        self.next_at = now + NEXT_AFTER;
        Some(address)
    }

    /// This one will not be it: the next need not wait for its turn.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        self.running.retain(|running| *running != address);
        self.next_at = now;
    }

    /// When another address is to be tried, if none connects or fails before.
    pub fn next_due(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next_at)
    }

    /// Whether all have failed.
    pub fn is_lost(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Those that may still be tried, now that `winner` is it.
    pub fn others(self, winner: SocketAddr) -> Vec<SocketAddr> {
        let all = self.running.into_iter().chain(self.waiting);
        all.filter(|address| *address != winner).collect()
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
        let mut race = Race::new(vec![v4(1), v4(2), v4(3), v4(4)], None, start);
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
        let mut race = Race::new(vec![v4(1), v4(2)], None, start);
        for address in [v4(1), v4(2)] {
            assert!(!race.is_lost());
            assert_eq!(race.start_next(start), Some(address));
            race.failed(address, start);
        }
        assert!(race.is_lost());
        assert_eq!(race.start_next(start), None);
        assert_eq!(race.next_due(), None);
        assert!(Race::new(vec![], None, start).is_lost());
    }
}
