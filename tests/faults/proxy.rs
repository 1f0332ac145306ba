//! A network between a device and its hub: forwards bytes over real sockets, TLS untouched, as badly
//! as it is told to.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use socket2::SockRef;

use crate::support::PATIENCE;

/// How often a direction that waits looks whether its connection is over, should nothing wake it.
const LOOK: Duration = Duration::from_millis(500);
/// What each socket of a slow link holds: little, so that the sender feels the link.
const SLOW_BUFFER_BYTES: usize = 8 << 10;
const CHUNK_BYTES: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToHub,
    ToDevice,
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In order: an end of file on both sides.
    Fin,
    /// A reset on both sides.
    Reset,
}

/// Where a connection is cut: exactly so many bytes of this direction are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub direction: Direction,
    pub after_bytes: usize,
    pub ending: Ending,
}

/// What the proxy saw of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    pub to_hub_bytes: usize,
    pub to_device_bytes: usize,
}

#[derive(Default)]
struct State {
    /// For the connections to come, one each.
    cuts: VecDeque<Cut>,
    bytes_per_second: Option<usize>,
    delay: Duration,
    stalled: [bool; 2],
    /// Stalls a connection to come once so many bytes went to the device.
    stall_to_device_after: Option<usize>,
    connections: Vec<(Weak<Connection>, Traffic)>,
    target: Option<SocketAddr>,
    is_over: bool,
}

struct Connection {
    device: TcpStream,
    hub: TcpStream,
    over: AtomicBool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Ends with all its connections when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A good network to `target`.
    pub fn to(target: &str) -> Proxy {
        Proxy::with(target, None)
    }

    /// A network to `target` that carries so many bytes a second each way.
    pub fn slow(target: &str, bytes_per_second: usize) -> Proxy {
        Proxy::with(target, Some(bytes_per_second))
    }

    fn with(target: &str, bytes_per_second: Option<usize>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        if bytes_per_second.is_some() {
            // Before a connection comes: it inherits the window.
            let socket = SockRef::from(&listener);
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES).unwrap();
        }
        let state = State {
            bytes_per_second,
            target: Some(first_address(target)),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let address = listener.local_addr().unwrap();
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Proxy { address, shared }
    }

    /// What the device is told as its hub.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Cuts the connections to come, one each.
    pub fn cut_next(&self, cuts: impl IntoIterator<Item = Cut>) {
        self.shared.state.lock().cuts.extend(cuts);
    }

    /// How many cuts are not yet given to a connection.
    pub fn cuts_left(&self) -> usize {
        self.shared.state.lock().cuts.len()
    }

    /// Cuts the connections that stand.
    pub fn cut_now(&self, ending: Ending) {
        let state = self.shared.state.lock();
        let connections = state.connections.iter();
        connections
            .filter_map(|it| it.0.upgrade())
            .for_each(|it| it.end(ending));
    }

    /// Keeps the sockets open and forwards nothing in this direction, or goes on.
    pub fn stall(&self, direction: Direction, stall: bool) {
        self.shared.state.lock().stalled[direction as usize] = stall;
        self.shared.changed.notify_all();
    }

    /// Forwards so many bytes to the device on each connection to come, and then nothing.
    pub fn stall_to_device_after(&self, bytes: Option<usize>) {
        self.shared.state.lock().stall_to_device_after = bytes;
        self.shared.changed.notify_all();
    }

    /// Everything takes so much longer, each way.
    pub fn delay(&self, delay: Duration) {
        self.shared.state.lock().delay = delay;
    }

    /// All connections that came so far, oldest first.
    pub fn traffic(&self) -> Vec<Traffic> {
        let state = self.shared.state.lock();
        state.connections.iter().map(|it| it.1).collect()
    }

    /// Waits until more than `count` connections came; returns how many did.
    pub fn wait_for_more_than(&self, count: usize) -> usize {
        self.wait("another connection", |state| {
            Some(state.connections.len()).filter(|came| *came > count)
        })
    }

    fn wait<T>(&self, what: &str, found: impl Fn(&State) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock();
        loop {
            if let Some(found) = found(&state) {
                return found;
            }
            let timed_out = self.shared.changed.wait_until(&mut state, deadline);
            assert!(!timed_out.timed_out(), "not within {PATIENCE:?}: {what}");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state.lock().is_over = true;
        self.shared.changed.notify_all();
        self.cut_now(Ending::Fin);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

impl Connection {
    /// Once; what is forwarded already may still arrive, unless it is reset.
    fn end(&self, ending: Ending) {
        if self.over.swap(true, Ordering::SeqCst) {
            return;
        }
        for socket in [&self.device, &self.hub] {
            // A peer that is gone already is as good.
            drop(match ending {
                Ending::Fin => socket.shutdown(Shutdown::Both),
                // Closing it, once both directions have let go of it, sends a reset.
                Ending::Reset => SockRef::from(socket)
                    .set_linger(Some(Duration::ZERO))
                    .and_then(|()| socket.shutdown(Shutdown::Read)),
            });
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

fn first_address(target: &str) -> SocketAddr {
    let mut addresses = target.to_socket_addrs().expect("an address");
    addresses.find(SocketAddr::is_ipv4).expect("an address")
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for device in listener.incoming() {
        let (target, is_slow) = {
            let state = shared.state.lock();
            if state.is_over {
                return;
            }
            (state.target.unwrap(), state.bytes_per_second.is_some())
        };
        // As in any network: who cannot be served is dropped.
        if let Ok(device) = device
            && let Ok(hub) = TcpStream::connect(target)
        {
            serve(device, hub, is_slow, shared).expect("sockets take their settings");
        }
    }
}

fn serve(device: TcpStream, hub: TcpStream, slow: bool, shared: &Arc<Shared>) -> io::Result<()> {
    for socket in [&device, &hub] {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LOOK))?;
        socket.set_write_timeout(Some(LOOK))?;
        if slow {
            let socket = SockRef::from(socket);
            socket.set_send_buffer_size(SLOW_BUFFER_BYTES)?;
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
    }
    let over = AtomicBool::new(false);
    let connection = Arc::new(Connection { device, hub, over });
    let (number, cut) = {
        let mut state = shared.state.lock();
        state
            .connections
            .push((Arc::downgrade(&connection), Traffic::default()));
        (state.connections.len() - 1, state.cuts.pop_front())
    };
    shared.changed.notify_all();
    for direction in [Direction::ToHub, Direction::ToDevice] {
        let pump = Pump {
            shared: Arc::clone(shared),
            connection: Arc::clone(&connection),
            number,
            direction,
            cut: cut.filter(|cut| cut.direction == direction),
            forwarded: 0,
        };
        thread::spawn(move || pump.run());
    }
    Ok(())
}

/// One direction of a connection.
struct Pump {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    number: usize,
    direction: Direction,
    cut: Option<Cut>,
    forwarded: usize,
}

impl Pump {
    fn run(mut self) {
        // Whoever ends the conversation ends it for both.
        if self.forward().is_err() {
            self.connection.end(Ending::Fin);
        }
    }

    fn forward(&mut self) -> io::Result<()> {
        let connection = Arc::clone(&self.connection);
        let (mut from, mut to) = match self.direction {
            Direction::ToHub => (&connection.device, &connection.hub),
            Direction::ToDevice => (&connection.hub, &connection.device),
        };
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let most = self.next_chunk()?;
            if let Some(cut) = self.cut
                && self.forwarded == cut.after_bytes
            {
                connection.end(cut.ending);
                return Ok(());
            }
            let count = match from.read(&mut buffer[..most]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if is_timeout(&error) => continue,
                Err(error) => return Err(error),
            };
            self.take_time(count);
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                match to.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if is_timeout(&error) && !connection.is_over() => {}
                    Err(error) => return Err(error),
                }
            }
            self.forwarded += count;
            self.note();
        }
    }

    /// How much may be forwarded at once; waits while nothing may.
    fn next_chunk(&self) -> io::Result<usize> {
        let mut state = self.shared.state.lock();
        loop {
            if self.connection.is_over() || state.is_over {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let stall_at = state.stall_to_device_after;
            let stall_at = stall_at.filter(|_| self.direction == Direction::ToDevice);
            let until_stall = stall_at.map_or(CHUNK_BYTES, |at| at.saturating_sub(self.forwarded));
            if !state.stalled[self.direction as usize] && until_stall > 0 {
                let until_cut = self.cut.map_or(CHUNK_BYTES, |cut| {
                    // At the cut itself it does not matter.
                    (cut.after_bytes - self.forwarded).max(1)
                });
                let rate = state.bytes_per_second.map_or(CHUNK_BYTES, |rate| rate / 8);
                return Ok(until_cut.min(until_stall).min(rate).min(CHUNK_BYTES));
            }
            self.shared.changed.wait_for(&mut state, LOOK);
        }
    }

    /// The time that so many bytes need on this network.
    fn take_time(&self, bytes: usize) {
        let (rate, delay) = {
            let state = self.shared.state.lock();
            (state.bytes_per_second, state.delay)
        };
        let seconds = rate.map_or(0.0, |rate| bytes as f64 / rate as f64);
        let time = delay + Duration::from_secs_f64(seconds);
        if !time.is_zero() {
            thread::sleep(time);
        }
    }

    fn note(&self) {
        let mut state = self.shared.state.lock();
        let traffic = &mut state.connections[self.number].1;
        match self.direction {
            Direction::ToHub => traffic.to_hub_bytes = self.forwarded,
            Direction::ToDevice => traffic.to_device_bytes = self.forwarded,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
