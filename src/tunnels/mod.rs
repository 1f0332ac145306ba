//! Remote access: a technician reaches a port of this device through the Platform.
//!
//! ```text
//! 1 ask       the Platform calls the method `!remote-access`: tunnel, port, and the relay's address
//! 2 check     is the port allowed, is there a place, does the application agree?
//! 3 connect   to 127.0.0.1:port, then to the relay's WebSocket; then the call is answered
//! 4 forward   both ways, until both ends are over (pump)
//! ```
//!
//! Each tunnel has one thread, from step 2 on. It is independent of the link: a tunnel outlives the hub's connection.

mod budget;
mod life;
mod opening;
mod options;
mod pump;
mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

pub use options::{RemoteAccess, TunnelRequest};
use pump::Tunnel;
use request::OpenTunnel;

use crate::methods::{Answers, Call, PlatformMethod};
use crate::net::cancel::Cancellation;
use crate::net::dial::Dialer;
use crate::net::trust::Trust;
use crate::status::TunnelStatus;
use crate::sync::{Condvar, Mutex};

/// What the Platform calls.
const METHOD: &str = "!remote-access";

const BAD_REQUEST: u16 = 400;
const CONFLICT: u16 = 409;
const FAILED: u16 = 500;

/// The tunnels of a client.
pub(crate) struct Tunnels {
    options: RemoteAccess,
    way: WayOut,
    answers: Arc<dyn Answers>,
    cancellation: Arc<Cancellation>,
    state: Mutex<State>,
    changed: Condvar,
}

/// How a tunnel gets to its relay.
#[derive(Clone)]
pub(crate) struct WayOut {
    pub dialer: Arc<Dialer>,
    pub trust: Trust,
}

#[derive(Default)]
struct State {
    /// Threads that run. One that is not counted any more is over, but for its last instructions.
    threads: usize,
    /// Those of them that ask the application, which can do anything then.
    asking: Vec<ThreadId>,
    open: Vec<Arc<Entry>>,
    is_closed: bool,
}

/// A tunnel in the list.
struct Entry {
    tunnel_id: String,
    port: u16,
    since: Instant,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

impl Tunnels {
    /// Starts no thread.
    pub fn new(options: RemoteAccess, way: WayOut, answers: Arc<dyn Answers>) -> Arc<Tunnels> {
        Arc::new(Tunnels {
            options,
            way,
            answers,
            cancellation: Arc::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Those that are open, or being opened.
    pub fn status(&self) -> Vec<TunnelStatus> {
        let of = |entry: &Arc<Entry>| TunnelStatus {
            tunnel_id: entry.tunnel_id.clone(),
            port: entry.port,
            age: entry.since.elapsed(),
            received_bytes: entry.received_bytes.load(Ordering::Relaxed),
            sent_bytes: entry.sent_bytes.load(Ordering::Relaxed),
        };
        self.state.lock().open.iter().map(of).collect()
    }

    /// Ends all tunnels, and waits until the deadline for their threads, but not for one that closes the client itself.
    pub fn close(&self, deadline: Instant) {
        self.state.lock().is_closed = true;
        self.cancellation.cancel();
        let own = usize::from(self.is_own_thread());
        let runs = |state: &mut State| state.threads > own;
        let state = self.state.lock();
        let state = self.changed.wait_while_until(state, deadline, runs);
        if state.threads > own {
            log::warn!("a tunnel has not ended in time; its thread is left behind");
        }
    }

    /// Whether the application is asking, in its callback.
    pub fn is_own_thread(&self) -> bool {
        let own = std::thread::current().id();
        self.state.lock().asking.contains(&own)
    }

    /// A place for a thread, unless all are taken.
    fn take_place(&self) -> Result<(), &'static str> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err("the device's program ends");
        }
        if state.threads >= self.options.tunnels_max {
            return Err("too many tunnels are open");
        }
        state.threads += 1;
        Ok(())
    }

    fn leave_place(&self) {
        self.state.lock().threads -= 1;
        self.changed.notify_all();
    }

    /// Steps 2 to 4, on a thread of the tunnel's own.
    fn serve(&self, call: &Call) {
        let asked = match OpenTunnel::parse(&call.body) {
            Ok(asked) => asked,
            Err(rule) => {
                log::warn!("remote access was asked for wrongly: {rule}");
                return self.answers.answer(call.refusal(BAD_REQUEST, &rule));
            }
        };
        let name = asked.name();
        let Some(entry) = self.enter(&asked) else {
            log::warn!("{name}: it is open already");
            return self
                .answers
                .answer(call.refusal(CONFLICT, "the tunnel is already active"));
        };
        let ended = match self.open(call, &asked, &name) {
            Ok(open) => {
                self.answers.answer(call.answer(200, Vec::new()));
                log::info!("{name}: opened");
                Some(open.forward(&self.options, &entry))
            }
            Err(detail) => {
                log::warn!("{name}: not opened: {detail}");
                self.answers.answer(call.refusal(FAILED, &detail));
                None
            }
        };
        self.state
            .lock()
            .open
            .retain(|other| !Arc::ptr_eq(other, &entry));
        if let Some(reason) = ended {
            log::info!(
                "{name}: ended after {}: {reason}; {} bytes received, {} bytes sent",
                humantime::format_duration(Duration::from_secs(entry.since.elapsed().as_secs())),
                entry.received_bytes.load(Ordering::Relaxed),
                entry.sent_bytes.load(Ordering::Relaxed),
            );
        }
    }

    /// Puts it on the list, unless it is there.
    fn enter(&self, asked: &OpenTunnel) -> Option<Arc<Entry>> {
        let mut state = self.state.lock();
        if state
            .open
            .iter()
            .any(|entry| entry.tunnel_id == asked.tunnel_id)
        {
            return None;
        }
        let entry = Arc::new(Entry {
            tunnel_id: asked.tunnel_id.clone(),
            port: asked.port,
            since: Instant::now(),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        });
        state.open.push(Arc::clone(&entry));
        Some(entry)
    }

    /// What the application says; user code runs here.
    fn agrees(&self, asked: &OpenTunnel, name: &str) -> bool {
        let own = std::thread::current().id();
        self.state.lock().asking.push(own);
        let agrees = self.options.agrees(&asked.request(), name);
        self.state.lock().asking.retain(|thread| *thread != own);
        agrees
    }

    fn open(&self, call: &Call, asked: &OpenTunnel, name: &str) -> Result<Tunnel, String> {
        if !self.options.allows(asked.port) {
            return Err(format!(
                "this device does not allow remote access to port {}",
                asked.port
            ));
        }
        if !self.agrees(asked, name) {
            return Err("this device refused".to_owned());
        }
        let open = opening::open(asked, &self.way, &self.cancellation)?;
        if call.is_cancelled() {
            log::debug!(
                "{name}: the connection that asked for it has ended; it is opened all the same"
            );
        }
        Ok(open)
    }
}

impl PlatformMethod for Arc<Tunnels> {
    fn name(&self) -> &'static str {
        METHOD
    }

    fn call(&self, call: Call) {
        let busy = match self.take_place() {
            Ok(()) => {
                let tunnels = Arc::clone(self);
                let refusal = call.refusal(FAILED, "the device has no thread to give");
                let thread = crate::threads::spawn("spotflow-tunnel", move || {
                    tunnels.serve(&call);
                    tunnels.leave_place();
                });
                match thread {
                    Ok(_detached) => return,
                    Err(error) => {
                        self.leave_place();
                        log::error!("cannot start a thread for a tunnel: {error}");
                        refusal
                    }
                }
            }
            Err(reason) => {
                log::warn!("remote access is refused: {reason}");
                call.refusal(FAILED, reason)
            }
        };
        self.answers.answer(busy);
    }
}
