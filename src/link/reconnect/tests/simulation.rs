//! Many devices and one hub, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::outage::patience;

const DEVICES: usize = 10_000;
const DOWN: Duration = Duration::from_secs(300);
/// What the hub takes once it is back; the rest it refuses at once, which is the worst for it.
const ACCEPTS_PER_SECOND: usize = 200;

fn at(ms: u64) -> Moment {
    Moment::START + Duration::from_millis(ms)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// Attempts, and how many of them were accepted, in each second from the hub's end on.
struct Course {
    attempts: Vec<usize>,
    accepted: Vec<usize>,
}

/// When a device tries again.
trait Waits {
    fn next_delay(&mut self, now: Moment, random: f64) -> Duration;
}

impl Waits for Reconnect {
    fn next_delay(&mut self, now: Moment, random: f64) -> Duration {
        Reconnect::next_delay(self, now, random)
    }
}

/// Plain exponential back-off with full jitter up to a minute, to compare with.
impl Waits for Backoff {
    fn next_delay(&mut self, _: Moment, random: f64) -> Duration {
        Backoff::next_delay(self, random)
    }
}

/// A device whose attempts are met by silence, for as long as that is borne.
struct InSilence {
    reconnect: Reconnect,
    has_tried: bool,
}

impl Waits for InSilence {
    fn next_delay(&mut self, now: Moment, random: f64) -> Duration {
        let silence = if std::mem::replace(&mut self.has_tried, true) {
            self.reconnect.attempt(now);
            patience(self.reconnect.outage(now))
        } else {
            // The connection was lost.
            Duration::ZERO
        };
        silence + self.reconnect.next_delay(now + silence, random)
    }
}

fn in_use() -> Reconnect {
    let mut reconnect = Reconnect::new(at(0));
    reconnect.ended(LONG, at(0));
    reconnect
}

/// All devices lose their connection at once, and the hub is back only after `down`.
fn restart_hub<W: Waits>(
    device: impl Fn() -> W,
    down: Duration,
    random: &mut fastrand::Rng,
) -> Course {
    let mut devices: Vec<W> = (0..DEVICES).map(|_| device()).collect();
    let mut due = BinaryHeap::new();
    for (number, device) in devices.iter_mut().enumerate() {
        let delay = device.next_delay(at(0), random.f64());
        due.push(Reverse((millis(delay), number)));
    }
    let mut course = Course {
        attempts: Vec::new(),
        accepted: Vec::new(),
    };
    while let Some(Reverse((now_ms, number))) = due.pop() {
        let second = usize::try_from(now_ms / 1000).unwrap();
        let seconds = course.attempts.len().max(second + 1);
        course.attempts.resize(seconds, 0);
        course.accepted.resize(seconds, 0);
        course.attempts[second] += 1;
        if now_ms >= millis(down) && course.accepted[second] < ACCEPTS_PER_SECOND {
            course.accepted[second] += 1;
        } else {
            let delay = devices[number].next_delay(at(now_ms), random.f64());
            due.push(Reverse((now_ms + millis(delay), number)));
        }
    }
    course
}

#[test]
fn ten_thousand_devices_whose_hub_restarts_come_back_spread_out() {
    let seed = spotflow_fuzz::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let course = restart_hub(in_use, DOWN, &mut random);
    let plain = || Backoff::new(FIRST, CAP);
    let plain = restart_hub(plain, DOWN, &mut random).attempts;
    let down = usize::try_from(DOWN.as_secs()).unwrap();
    let total: usize = course.attempts.iter().sum();
    // After two minutes all devices are at the cap.
    let late = &course.attempts[120..down];
    let (least, most) = (*late.iter().min().unwrap(), *late.iter().max().unwrap());
    let mean = late.iter().sum::<usize>() / late.len();
    let peak_after = *course.attempts[down..].iter().max().unwrap();
    let back = |percent: usize| {
        let accepted = |second: usize| course.accepted[..second].iter().sum::<usize>();
        let mut seconds = down..=course.accepted.len();
        seconds
            .find(|second| accepted(*second) * 100 >= DEVICES * percent)
            .unwrap()
            - down
    };
    let (half, nearly_all, all) = (back(50), back(99), back(100));
    println!(
        "seed {seed}: {DEVICES} devices, hub down for {down} s, then takes {ACCEPTS_PER_SECOND}/s"
    );
    println!(
        "attempts: {total}, {:.1} a device",
        total as f64 / DEVICES as f64
    );
    let windows = [0, 1, 2, 4, 8, 16, 32, 64, 120];
    for window in windows.windows(2) {
        let (from, to) = (window[0], window[1]);
        let peak = |attempts: &[usize]| *attempts[from..to].iter().max().unwrap();
        let (peak, plain) = (peak(&course.attempts), peak(&plain));
        println!(
            "  from second {from} to {to}: at most {peak} a second ({plain} if the waits only doubled)"
        );
    }
    println!("  from second 120 to {down}: {least} to {most} a second, {mean} on average");
    println!("  when the hub is back: at most {peak_after} a second");
    println!("back: half after {half} s, 99 % after {nearly_all} s, all after {all} s");

    // 22.5 s between two attempts on average, evenly.
    assert!((DEVICES / 25..DEVICES / 20).contains(&mean), "{mean}");
    assert!(
        most * 10 < mean * 13 && least * 10 > mean * 7,
        "{least} to {most}"
    );
    assert!(peak_after * 10 < mean * 14, "{peak_after}");
    // To be back after half of the outage takes more attempts. But no second is twice as busy as the busiest with
    // waits that only double, nor is it when all wait as long as they may.
    let peak = |attempts: &[usize]| *attempts.iter().max().unwrap();
    assert!(peak(&course.attempts) < 2 * peak(&plain));
    assert!(peak(late) < 2 * peak(&plain[120..down]));
    assert!(peak_after < 2 * peak(&plain[down..]));
    // In five minutes and a bit.
    assert!(total < DEVICES * 28, "{total}");
    // The hub's own limit makes it 50 s; the last come with the cap's delay.
    assert!(nearly_all < 120, "{nearly_all}");
    assert!(all < 240, "{all}");
}

#[test]
fn ten_thousand_devices_whose_hub_is_silent_try_no_more_often() {
    let seed = spotflow_fuzz::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let in_silence = || InSilence {
        reconnect: in_use(),
        has_tried: false,
    };
    let silent = restart_hub(in_silence, DOWN, &mut random).attempts;
    let refused = restart_hub(in_use, DOWN, &mut random).attempts;
    let plain = || Backoff::new(FIRST, CAP);
    let plain = restart_hub(plain, DOWN, &mut random).attempts;
    let peak = |attempts: &[usize]| *attempts.iter().max().unwrap();
    let down = usize::try_from(DOWN.as_secs()).unwrap();
    let peaks = |of: &[usize]| (peak(of), peak(&of[120..down]), peak(&of[down..]));
    let (in_silence, in_refusal, if_doubled) = (peaks(&silent), peaks(&refused), peaks(&plain));
    println!("seed {seed}: at most {in_silence:?} a second at all, after two minutes, and back");
    println!("where it refuses: {in_refusal:?}; if the waits only doubled: {if_doubled:?}");
    assert!(in_silence.0 < 2 * if_doubled.0);
    assert!(in_silence.1 < 2 * if_doubled.1);
    assert!(in_silence.2 < 2 * if_doubled.2);
}

#[test]
fn within_the_first_second_they_come_evenly() {
    let seed = spotflow_fuzz::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tenths = [0; 10];
    for _ in 0..DEVICES {
        let delay = in_use().next_delay(at(0), random.f64());
        tenths[usize::try_from(millis(delay) / 100).unwrap().min(9)] += 1;
    }
    println!("seed {seed}: attempts in each tenth of the first second: {tenths:?}");
    assert!(
        tenths.iter().all(|count| (800..1200).contains(count)),
        "{tenths:?}"
    );
}

/// How often a device connects in this time to a hub that ends each connection so soon.
fn connections(within: Duration, lasting: Duration, random: &mut fastrand::Rng) -> u32 {
    let mut reconnect = Reconnect::new(at(0));
    let (mut now, mut count) = (at(0), 0);
    while now.since(at(0)) < within {
        count += 1;
        now = now + lasting;
        let ended = Ended {
            lasted: lasting,
            ..SHORT
        };
        reconnect.ended(ended, now);
        now = now + reconnect.next_delay(now, random.f64());
    }
    count
}

const HOURS: u32 = 10;
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_hub_that_closes_after_the_first_acknowledgement_is_not_asked_once_a_second() {
    let seed = spotflow_fuzz::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let flapping = connections(HOUR * HOURS, Duration::ZERO, &mut random);
    let a_minute = f64::from(flapping) / (f64::from(HOURS) * 60.0);
    println!("seed {seed}: {a_minute:.1} connections a minute");
    assert!(a_minute < 15.0, "{a_minute}");
}

#[test]
fn a_link_that_drops_every_twenty_seconds_is_used_nearly_all_the_time() {
    let seed = spotflow_fuzz::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let lasting = Duration::from_secs(20);
    let connected = lasting * connections(HOUR * HOURS, lasting, &mut random);
    let share = connected.as_secs_f64() / (HOUR * HOURS).as_secs_f64();
    println!("seed {seed}: connected {:.0} % of the time", share * 100.0);
    assert!(share > 0.9, "{share}");
}
