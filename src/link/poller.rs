//! Step 4 of the link: waits for sockets, for the waker, and for a moment on the clock that runs
//! through suspend.
//!
//! The poller's own timeouts stand still while the machine is suspended: a token whose refresh is due
//! in six hours would be refreshed six hours after a night in which nothing ran. On Linux a timer of
//! the boot-time clock is set as well, a little behind the timeout: it comes first only after a
//! suspend. It costs nothing while the machine is idle, as a shorter timeout would. Where a sandbox forbids
//! such timers, there is none.

use std::io;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Registry};

use crate::clock::{Clock, Moment};

/// What the link waits with.
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    timer: boottime::Timer,
}

impl Poller {
    pub fn new() -> io::Result<Poller> {
        let poll = Poll::new()?;
        let timer = boottime::Timer::new(poll.registry());
        Ok(Poller {
            poll,
            events: Events::with_capacity(16),
            timer,
        })
    }

    /// Waits for nothing: fails where a sandbox forbids to wait at all.
    pub fn try_out(&mut self) -> io::Result<()> {
        self.poll(Some(Duration::ZERO))
    }

    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits until something happens, `due`, or, rarely, for no reason: while the link is `busy`, a timer that
    /// would come too early is left as it is, which is cheaper than to set it for every Message.
    pub fn wait(&mut self, due: Option<Moment>, busy: bool, clock: &dyn Clock) -> io::Result<()> {
        let now = clock.now();
        let timeout = due.map(|due| due.since(now));
        if !(busy && self.timer.comes_between(now, due)) {
            self.timer.set(due, timeout);
        }
        self.poll(timeout)
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// What happened.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}

/// How far behind the timeout the timer is set. Within that, the timer need not follow every
/// change of what is due.
const BEHIND: Duration = Duration::from_secs(1);

#[cfg(target_os = "linux")]
mod boottime {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use super::BEHIND;
    use crate::clock::Moment;

    /// Not one that the link waits for: it wakes, and what is due is seen then.
    const TIMER: Token = Token(usize::MAX);

    pub(super) struct Timer {
        fd: Option<OwnedFd>,
        /// Until when the poller is woken at the latest.
        set_for: Option<Moment>,
    }

    impl Timer {
        pub fn new(registry: &Registry) -> Timer {
            let mut timer = Timer {
                fd: None,
                set_for: None,
            };
            match create(registry) {
                Ok(fd) => timer.fd = Some(fd),
                Err(error) => timer.give_up("timerfd_create", &error),
            }
            timer
        }

        fn give_up(&mut self, call: &str, error: &io::Error) {
            log::warn!(
                "{call}: {error}: after a suspend, what was due meanwhile is done as much later as that took"
            );
            self.fd = None;
            self.set_for = None;
        }

        /// Whether it is set, and wakes the poller before `due`.
        pub fn comes_between(&self, now: Moment, due: Option<Moment>) -> bool {
            self.set_for
                .is_some_and(|set| now < set && due.is_none_or(|due| set <= due))
        }

        /// Wakes the poller soon after `due`, which is `timeout` from now.
        pub fn set(&mut self, due: Option<Moment>, timeout: Option<Duration>) {
            let (Some(due), Some(timeout)) = (due, timeout) else {
                if self.set_for.take().is_some() {
                    self.set_time(Duration::ZERO);
                }
                return;
            };
            if self
                .set_for
                .is_some_and(|set| due <= set && set <= due + 2 * BEHIND)
            {
                return;
            }
            self.set_for = Some(due + BEHIND);
            self.set_time(timeout.saturating_add(BEHIND));
        }

        /// Zero stops it.
        fn set_time(&mut self, time: Duration) {
            let Some(fd) = &self.fd else { return };
            let nothing = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let time = Itimerspec {
                it_interval: nothing,
                it_value: Timespec {
                    tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: time.subsec_nanos().into(),
                },
            };
            if let Err(error) = timerfd_settime(fd, TimerfdTimerFlags::empty(), &time) {
                self.give_up("timerfd_settime", &error.into());
            }
        }

        #[cfg(test)]
        pub fn set_for(&self) -> Option<Moment> {
            self.set_for
        }

        #[cfg(test)]
        pub fn fd(&self) -> &OwnedFd {
            self.fd.as_ref().expect("a timer")
        }
    }

    fn create(registry: &Registry) -> io::Result<OwnedFd> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Boottime, flags)?;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(fd)
    }
}

#[cfg(not(target_os = "linux"))]
mod boottime {
    use std::time::Duration;

    use mio::Registry;

    use crate::clock::Moment;

    /// There is none.
    pub(super) struct Timer;

    impl Timer {
        pub fn new(_: &Registry) -> Timer {
            Timer
        }

        pub fn comes_between(&self, _: Moment, _: Option<Moment>) -> bool {
            false
        }

        pub fn set(&mut self, _: Option<Moment>, _: Option<Duration>) {
            let _ = super::BEHIND;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsRawFd;
    use std::time::Instant;

    use rustix::time::timerfd_gettime;

    use super::*;
    use crate::clock::SystemClock;

    fn left(poller: &Poller) -> Duration {
        let left = timerfd_gettime(poller.timer.fd()).unwrap().it_value;
        Duration::new(left.tv_sec as u64, left.tv_nsec as u32)
    }

    /// Sets the timer as a wait does, without waiting.
    fn set(poller: &mut Poller, ahead: Option<Duration>) {
        let due = ahead.map(|ahead| SystemClock.now() + ahead);
        poller.timer.set(due, ahead);
    }

    #[test]
    fn the_timer_is_one_that_runs_through_suspend() {
        let mut poller = Poller::new().unwrap();
        set(&mut poller, Some(Duration::from_secs(3600)));
        let fd = poller.timer.fd().as_raw_fd();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        // CLOCK_BOOTTIME is 7 (linux/time.h).
        assert!(info.contains("clockid: 7\n"), "{info}");
        let left = left(&poller).as_secs();
        assert!((3590..=3601).contains(&left), "{left} s");
    }

    #[test]
    fn the_timer_wakes_the_poller_by_itself() {
        let mut poller = Poller::new().unwrap();
        set(&mut poller, Some(Duration::from_millis(10)));
        // As after a suspend: the timeout is far away still.
        let began = Instant::now();
        poller
            .poll
            .poll(&mut poller.events, Some(Duration::from_secs(60)))
            .unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
        assert_eq!(poller.events().count(), 1);
    }

    #[test]
    fn the_timer_follows_what_is_due_and_is_never_before_it() {
        let mut poller = Poller::new().unwrap();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for ahead in [hours(2), hours(1), hours(24 * 365), Duration::MAX] {
            set(&mut poller, Some(ahead));
            let left = left(&poller);
            assert!(
                left + Duration::from_secs(10) > ahead.min(hours(24 * 365)),
                "{left:?}"
            );
        }
        set(&mut poller, Some(hours(1)));
        assert!(left(&poller) < hours(2));
        set(&mut poller, None);
        assert_eq!(left(&poller), Duration::ZERO);
    }

    #[test]
    fn while_busy_a_timer_is_only_ever_set_to_an_earlier_time() {
        let mut poller = Poller::new().unwrap();
        // Ends each wait at once.
        let waker = mio::Waker::new(poller.registry(), mio::Token(1)).unwrap();
        let set_for = |poller: &mut Poller, seconds: u64, busy: bool| {
            waker.wake().unwrap();
            let due = SystemClock.now() + Duration::from_secs(seconds);
            poller.wait(Some(due), busy, &SystemClock).unwrap();
            left(poller).as_secs().div_ceil(100) * 100
        };
        assert_eq!(set_for(&mut poller, 599, true), 600);
        assert_eq!(set_for(&mut poller, 1199, true), 600, "left as it is");
        assert_eq!(set_for(&mut poller, 299, true), 300);
        assert_eq!(set_for(&mut poller, 1199, false), 1200, "exact when idle");
    }

    #[test]
    fn a_wait_ends_when_it_is_due() {
        let mut poller = Poller::new().unwrap();
        let due = SystemClock.now() + Duration::from_millis(20);
        poller.wait(Some(due), false, &SystemClock).unwrap();
        assert!(SystemClock.now() >= due);
        assert!(
            poller.timer.set_for() > Some(due),
            "the timeout comes first"
        );
    }
}
