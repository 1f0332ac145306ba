//! A poller for a thread that blocks on sockets, and what ends its wait from another thread.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Registry, Token, Waker};

use crate::sync::Mutex;

const WAKE: Token = Token(usize::MAX);
const EVENTS_MAX: usize = 16;

/// Why a wait ended without an event.
#[derive(Debug)]
pub(crate) enum WaitError {
    Cancelled,
    TimedOut,
    System(io::Error),
}

/// Ends the waits of all [`SocketPoll`]s that were made with it.
#[derive(Debug, Default)]
pub(crate) struct Cancellation {
    cancelled: AtomicBool,
    wakers: Mutex<Vec<Weak<Waker>>>,
}

impl Cancellation {
    /// Ends those that are under way, and all that are to come.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        for waker in self.wakers.lock().iter().filter_map(Weak::upgrade) {
            if let Err(error) = waker.wake() {
                log::warn!("cannot interrupt a connection: {error}");
            }
        }
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), WaitError> {
        if self.is_cancelled() {
            return Err(WaitError::Cancelled);
        }
        Ok(())
    }

    fn register(&self, waker: &Arc<Waker>) {
        let mut wakers = self.wakers.lock();
        wakers.retain(|waker| waker.strong_count() > 0);
        wakers.push(Arc::downgrade(waker));
    }
}

/// A poller of one thread's sockets.
#[derive(Debug)]
pub(crate) struct SocketPoll {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    cancellation: Arc<Cancellation>,
}

impl SocketPoll {
    pub fn new(cancellation: &Arc<Cancellation>) -> Result<SocketPoll, WaitError> {
        let poll = Poll::new().map_err(WaitError::System)?;
        let waker = Waker::new(poll.registry(), WAKE).map_err(WaitError::System)?;
        let waker = Arc::new(waker);
        cancellation.register(&waker);
        cancellation.check()?;
        Ok(SocketPoll {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            waker,
            cancellation: Arc::clone(cancellation),
        })
    }

    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Ends a wait as an event would.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Waits until something happens, and hands the sockets' events out. It can also end for no
    /// reason.
    pub fn wait(
        &mut self,
        deadline: Option<Instant>,
        on_socket: impl FnMut(&Event),
    ) -> Result<(), WaitError> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(WaitError::TimedOut);
        }
        self.look_for(left, on_socket)
    }

    /// The same without waiting.
    pub fn look(&mut self, on_socket: impl FnMut(&Event)) -> Result<(), WaitError> {
        self.look_for(Some(Duration::ZERO), on_socket)
    }

    fn look_for(
        &mut self,
        limit: Option<Duration>,
        on_socket: impl FnMut(&Event),
    ) -> Result<(), WaitError> {
        match self.poll.poll(&mut self.events, limit) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(WaitError::System(error)),
            Ok(()) => {}
        }
        self.cancellation.check()?;
        let sockets = self.events.iter().filter(|event| event.token() != WAKE);
        sockets.for_each(on_socket);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_ends_the_wait_under_way_and_those_to_come() {
        let cancellation = Arc::<Cancellation>::default();
        let mut poll = SocketPoll::new(&cancellation).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| poll.wait(None, |_| {}));
            cancellation.cancel();
            assert!(matches!(waiting.join().unwrap(), Err(WaitError::Cancelled)));
        });
        let later = SocketPoll::new(&cancellation);
        assert!(matches!(later, Err(WaitError::Cancelled)));
    }

    #[test]
    fn a_wait_ends_at_its_deadline_or_by_the_waker() {
        let mut poll = SocketPoll::new(&Arc::default()).unwrap();
        poll.waker().wake().unwrap();
        poll.wait(None, |_| panic!("there is no socket")).unwrap();
        let deadline = Instant::now() + Duration::from_millis(10);
        while poll.wait(Some(deadline), |_| {}).is_ok() {}
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn a_look_does_not_wait_and_sees_a_cancellation() {
        let cancellation = Arc::<Cancellation>::default();
        let mut poll = SocketPoll::new(&cancellation).unwrap();
        poll.look(|_| panic!("there is no socket")).unwrap();
        cancellation.cancel();
        assert!(matches!(poll.look(|_| {}), Err(WaitError::Cancelled)));
    }
}
