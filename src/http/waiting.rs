//! Where an exchange waits: for its name lookup, its sockets, or the end of its patience.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use mio::event::Event;
use mio::{Events, Poll, Registry, Token, Waker};

use super::exchange::Failure;
use crate::net::resolve::{Resolved, resolve};
use crate::sync::Mutex;

const WAKE: Token = Token(0);
pub(super) const SOCKET: Token = Token(1);
const EVENTS_MAX: usize = 8;

/// Ends all exchanges, from another thread.
#[derive(Default)]
pub(super) struct Cancellation {
    cancelled: AtomicBool,
    wakers: Mutex<Vec<Weak<Waker>>>,
}

impl Cancellation {
    /// Ends those that are under way, and all that are to come.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        for waker in self.wakers.lock().iter().filter_map(Weak::upgrade) {
            if let Err(error) = waker.wake() {
                log::warn!("cannot interrupt a request: {error}");
            }
        }
    }

    pub fn check(&self) -> Result<(), Failure> {
        match self.cancelled.load(Ordering::SeqCst) {
            true => Err(Failure::Cancelled),
            false => Ok(()),
        }
    }

    fn register(&self, waker: &Arc<Waker>) {
        let mut wakers = self.wakers.lock();
        wakers.retain(|waker| waker.strong_count() > 0);
        wakers.push(Arc::downgrade(waker));
    }
}

/// One exchange's poller, which its cancellation wakes.
pub(super) struct Waiting<'a> {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    cancellation: &'a Cancellation,
}

impl Waiting<'_> {
    pub fn new(cancellation: &Cancellation) -> Result<Waiting<'_>, Failure> {
        let poll = Poll::new().map_err(Failure::System)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(Failure::System)?);
        cancellation.register(&waker);
        cancellation.check()?;
        Ok(Waiting {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            waker,
            cancellation,
        })
    }

    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits until something happens, and hands the socket's events out; an error when the deadline
    /// passes or the exchange is cancelled.
    pub fn wait(
        &mut self,
        deadline: Instant,
        mut on_socket: impl FnMut(&Event),
    ) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::TimedOut);
        }
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(Failure::System(error));
            }
            _ => self.cancellation.check()?,
        }
        self.events
            .iter()
            .filter(|event| event.token() == SOCKET)
            .for_each(&mut on_socket);
        Ok(())
    }

    /// The addresses of a name. The system's resolver may be left behind on a thread of its own.
    pub fn look_up(
        &mut self,
        name: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let found: Arc<Mutex<Option<Resolved>>> = Arc::default();
        let (place, waker) = (Arc::clone(&found), Arc::clone(&self.waker));
        let done = move |resolved| {
            *place.lock() = Some(resolved);
            // Nobody may be there any more.
            drop(waker.wake());
        };
        resolve(name, port, done).map_err(Failure::System)?;
        loop {
            if let Some(resolved) = found.lock().take() {
                return resolved.map_err(Failure::Io);
            }
            self.wait(deadline, |_| {})?;
        }
    }
}
