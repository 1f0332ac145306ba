//! Name lookups: each on a thread of its own, one at a time for a name, shared by all who ask for it.
//!
//! The system's resolver cannot be interrupted, so nobody waits for its thread: if the resolver hangs,
//! the thread stays behind with it, and whoever asks for the same name meanwhile waits for that one.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use mio::Waker;

use super::DialError;
use crate::net::cancel::{SocketPoll, WaitError};
use crate::net::host::Host;
use crate::sync::Mutex;

/// The addresses of a name, without ports, or why there are none; never `Ok` and empty.
type Resolved = io::Result<Vec<SocketAddr>>;

/// The lookups under way.
pub(super) struct Names {
    resolve: Box<dyn Fn(&str) -> Resolved + Send + Sync>,
    lookups: Mutex<Vec<Lookup>>,
}

/// What somebody has asked for: the answer is kept for him, also if he looks for it again later.
pub(super) struct Asked {
    answer: Arc<OnceLock<Resolved>>,
    port: u16,
}

impl Asked {
    /// Waits for the addresses, with the host's port.
    pub fn wait(
        &self,
        poll: &mut SocketPoll,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, DialError> {
        loop {
            match self.answer.get() {
                Some(Ok(addresses)) => {
                    let with_port = |address: &SocketAddr| {
                        let mut address = *address;
                        // Only what a test pretends has one already.
                        if address.port() == 0 {
                            address.set_port(self.port);
                        }
                        address
                    };
                    return Ok(addresses.iter().map(with_port).collect());
                }
                Some(Err(error)) => {
                    let copy = io::Error::new(error.kind(), error.to_string());
                    return Err(DialError::Name(copy));
                }
                None => poll.wait(Some(deadline), |_| {}).map_err(|why| match why {
                    WaitError::TimedOut => DialError::NameTimedOut,
                    why => why.into(),
                })?,
            }
        }
    }
}

struct Lookup {
    name: String,
    answer: Arc<OnceLock<Resolved>>,
    /// Of those who wait for it, or did.
    wakers: Vec<Weak<Waker>>,
}

impl Names {
    pub fn new() -> Arc<Names> {
        Names::resolved_by(resolve)
    }

    fn resolved_by(resolve: impl Fn(&str) -> Resolved + Send + Sync + 'static) -> Arc<Names> {
        Arc::new(Names {
            resolve: Box::new(resolve),
            lookups: Mutex::default(),
        })
    }

    /// Asks for the addresses of the host's name. An IP address needs no lookup.
    pub fn ask(self: &Arc<Self>, host: &Host, poll: &SocketPoll) -> Result<Asked, DialError> {
        let answer = if let Ok(address) = host.name.parse::<IpAddr>() {
            Arc::new(OnceLock::from(Ok(vec![SocketAddr::new(address, 0)])))
        } else {
            #[cfg(test)]
            let pretended = pretended::names(host.port);
            #[cfg(test)]
            let names = pretended.as_ref().unwrap_or(self);
            #[cfg(not(test))]
            let names = self;
            let lookup = names.join(&host.name, poll.waker());
            lookup.map_err(DialError::System)?
        };
        Ok(Asked {
            answer,
            port: host.port,
        })
    }

    /// The lookup of the name that is under way, or a new one.
    fn join(
        self: &Arc<Self>,
        name: &str,
        waker: &Arc<Waker>,
    ) -> io::Result<Arc<OnceLock<Resolved>>> {
        let waker = Arc::downgrade(waker);
        let mut lookups = self.lookups.lock();
        if let Some(lookup) = lookups.iter_mut().find(|lookup| lookup.name == name) {
            lookup.wakers.retain(|waker| waker.strong_count() > 0);
            lookup.wakers.push(waker);
            return Ok(Arc::clone(&lookup.answer));
        }
        let (names, of) = (Arc::clone(self), name.to_owned());
        let _detached = crate::threads::spawn("spotflow-resolve", move || {
            names.answered(&of, (names.resolve)(&of));
        })?;
        let answer = Arc::<OnceLock<Resolved>>::default();
        lookups.push(Lookup {
            name: name.to_owned(),
            answer: Arc::clone(&answer),
            wakers: vec![waker],
        });
        Ok(answer)
    }

    fn answered(&self, name: &str, resolved: Resolved) {
        let mut lookups = self.lookups.lock();
        let Some(at) = lookups.iter().position(|lookup| lookup.name == name) else {
            return;
        };
        let lookup = lookups.swap_remove(at);
        drop(lookups);
        lookup.answer.get_or_init(|| resolved);
        for waker in lookup.wakers.iter().filter_map(Weak::upgrade) {
            // Fails only if nobody waits any more.
            drop(waker.wake());
        }
    }
}

fn resolve(name: &str) -> Resolved {
    let addresses: Vec<SocketAddr> = (name, 0).to_socket_addrs()?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

/// What names resolve to in a test, where the system's resolver says nothing of interest.
#[cfg(test)]
pub(crate) mod pretended {
    use super::*;

    static PRETENDED: Mutex<Vec<(u16, Arc<Names>)>> = Mutex::new(Vec::new());

    /// From now on all names that are looked up with this port, which is the test's own, resolve so.
    pub fn set(port: u16, answer: impl Fn() -> Resolved + Send + Sync + 'static) {
        let names = Names::resolved_by(move |_| answer());
        PRETENDED.lock().push((port, names));
    }

    pub(super) fn names(port: u16) -> Option<Arc<Names>> {
        let pretended = PRETENDED.lock();
        let mut pretended = pretended.iter().filter(|(of, _)| *of == port);
        pretended.next_back().map(|(_, names)| Arc::clone(names))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::net::cancel::Cancellation;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn look_up(names: &Arc<Names>, name: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let mut poll = SocketPoll::new(&Arc::default()).unwrap();
        let host = Host {
            name: name.into(),
            port,
        };
        let asked = names.ask(&host, &poll)?;
        asked.wait(&mut poll, Instant::now() + PATIENCE)
    }

    #[test]
    fn an_address_needs_no_lookup() {
        let names = Names::resolved_by(|name| panic!("{name} is looked up"));
        for name in ["127.0.0.1", "::1"] {
            let expected = SocketAddr::new(name.parse().unwrap(), 8883);
            assert_eq!(look_up(&names, name, 8883).unwrap(), [expected]);
        }
    }

    #[test]
    fn a_name_is_looked_up_and_an_unknown_one_is_an_error() {
        let addresses = look_up(&Names::new(), "localhost", 8883).unwrap();
        let is_right = |address: &SocketAddr| address.ip().is_loopback() && address.port() == 8883;
        assert!(addresses.iter().all(is_right), "{addresses:?}");
        let unknown = look_up(&Names::new(), "no-such-host.invalid", 8883);
        assert!(matches!(unknown, Err(DialError::Name(_))), "{unknown:?}");
    }

    #[test]
    fn all_who_ask_for_a_name_share_one_lookup() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        static ANSWER: Mutex<()> = Mutex::new(());
        let names = Names::resolved_by(|name| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            drop(ANSWER.lock());
            Err(io::Error::other(format!("{name} is unknown")))
        });
        let silent = ANSWER.lock();
        thread::scope(|scope| {
            let ports = 1..=5;
            let asking: Vec<_> = ports
                .map(|port| {
                    let names = &names;
                    scope.spawn(move || look_up(names, "a.example", port))
                })
                .collect();
            let deadline = Instant::now() + PATIENCE;
            let waiting = || names.lookups.lock().first().map_or(0, |it| it.wakers.len());
            while waiting() < 5 {
                assert!(Instant::now() < deadline, "all five wait for it");
                thread::yield_now();
            }
            // One who gives up leaves the lookup to the others, and takes no thread with it.
            let mut poll = SocketPoll::new(&Arc::default()).unwrap();
            let host = Host::parse("a.example", 6).unwrap();
            let asked = names.ask(&host, &poll).unwrap();
            let late = asked.wait(&mut poll, Instant::now());
            assert!(matches!(late, Err(DialError::NameTimedOut)), "{late:?}");
            drop(silent);
            // Unless he comes back for it.
            let late = asked.wait(&mut poll, Instant::now() + PATIENCE);
            assert!(matches!(late, Err(DialError::Name(_))), "{late:?}");
            for answer in asking {
                let answer = answer.join().unwrap();
                let Err(DialError::Name(error)) = answer else {
                    panic!("{answer:?}");
                };
                assert_eq!(error.to_string(), "a.example is unknown");
            }
        });
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        look_up(&names, "a.example", 1).unwrap_err();
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 2, "nothing is kept");
    }

    #[test]
    fn a_lookup_that_hangs_is_left_when_the_dial_is_cancelled() {
        let names = Names::resolved_by(|_| {
            loop {
                thread::park();
            }
        });
        let cancellation = Arc::<Cancellation>::default();
        let mut poll = SocketPoll::new(&cancellation).unwrap();
        let host = Host::parse("a.example", 1).unwrap();
        thread::scope(|scope| {
            let asked = names.ask(&host, &poll).unwrap();
            let lookup = scope.spawn(move || asked.wait(&mut poll, Instant::now() + PATIENCE));
            cancellation.cancel();
            assert!(matches!(lookup.join().unwrap(), Err(DialError::Cancelled)));
        });
    }
}
