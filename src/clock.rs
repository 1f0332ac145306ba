//! Time: a monotonic clock that runs through suspend, and the wall clock, behind one seam.
//!
//! Durations are measured on [`Clock::now`]. The wall clock of a gateway without a real-time clock
//! proves nothing, so it only labels things (how old a Message is), and decides on nothing but what
//! has no other clock: whether a server's certificate is valid.

use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment on the monotonic clock, counted from an arbitrary start (on Linux: from boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    #[cfg(test)]
    pub const START: Moment = Moment(Duration::ZERO);

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(time))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, time: Duration) -> Moment {
        Moment(self.0.saturating_sub(time))
    }
}

/// Where a client reads the time. Certificates are judged by its wall clock, too.
pub(crate) trait Clock: Send + Sync + 'static {
    /// The monotonic clock, which also counts the time that the machine is suspended.
    fn now(&self) -> Moment;
    /// Milliseconds since 1970 by the wall clock; may jump, and be decades off.
    fn wall_ms(&self) -> i64;
}

/// The machine's own clocks.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Moment(Duration::new(
            time.tv_sec.try_into().unwrap_or(0),
            time.tv_nsec.try_into().unwrap_or(0),
        ))
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> Moment {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        Moment(START.get_or_init(Instant::now).elapsed())
    }

    fn wall_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// The machine's clocks, set apart by a test while they run.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct ShiftedClock {
    slept_ms: std::sync::atomic::AtomicU64,
    wall_offset_ms: std::sync::atomic::AtomicI64,
}

#[cfg(test)]
impl ShiftedClock {
    /// Sets the wall clock so far ahead of the right time, or behind it.
    pub fn set_wall_offset(&self, offset_ms: i64) {
        let order = std::sync::atomic::Ordering::SeqCst;
        self.wall_offset_ms.store(offset_ms, order);
    }

    /// Sets the wall clock to this time.
    pub fn set_wall(&self, wall_ms: i64) {
        self.set_wall_offset(wall_ms - SystemClock.wall_ms());
    }

    /// The machine was suspended for so long.
    pub fn sleep(&self, time: Duration) {
        let order = std::sync::atomic::Ordering::SeqCst;
        self.slept_ms.fetch_add(time.as_millis() as u64, order);
        self.wall_offset_ms
            .fetch_add(time.as_millis() as i64, order);
    }
}

#[cfg(test)]
impl Clock for ShiftedClock {
    fn now(&self) -> Moment {
        let slept_ms = self.slept_ms.load(std::sync::atomic::Ordering::SeqCst);
        SystemClock.now() + Duration::from_millis(slept_ms)
    }

    fn wall_ms(&self) -> i64 {
        let offset_ms = self
            .wall_offset_ms
            .load(std::sync::atomic::Ordering::SeqCst);
        SystemClock.wall_ms() + offset_ms
    }
}
