//! The client's status: a snapshot for the application, and the board it is read from.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, Moment, SystemClock};
use crate::error::Error;

/// How the client is doing, at one moment. Made by [`DeviceClient::status`](crate::DeviceClient::status).
///
/// ```no_run
/// # fn show(client: &spotflow_device::DeviceClient) {
/// let status = client.status();
/// println!("connected: {}, pending: {}", status.is_connected, status.pending_messages);
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Whether the hub has accepted the current connection.
    pub is_connected: bool,
    /// How long `is_connected` has been as it is; since the start at first.
    pub connection_age: Duration,
    /// How often the connection was made again after the first time.
    pub reconnects: u64,
    /// The last failure of the connection, the registration or an upload, since the start.
    pub last_error: Option<Error>,
    /// How long ago that was.
    pub last_error_age: Option<Duration>,
    /// Messages stored and not yet acknowledged by the Platform.
    pub pending_messages: u64,
    /// The bytes of their stored payloads (compressed, where compression is used).
    pub pending_bytes: u64,
    /// How long ago the oldest of them was stored, by the wall clock; zero if the clock was set back.
    pub oldest_pending_age: Option<Duration>,
    /// Messages that will not be sent as things stand; see
    /// [`set_aside_messages`](crate::DeviceClient::set_aside_messages).
    pub set_aside_messages: u64,
}

/// The connection to the hub came or went, for the
/// [connection callback](crate::DeviceClientBuilder::on_connection_change).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionChange {
    /// Whether the client is connected now.
    pub is_connected: bool,
    /// Why the connection ended or could not be made.
    pub error: Option<Error>,
}

/// Where the link and the workers write what the status shows.
pub(crate) struct StatusBoard(Mutex<Board>);

struct Board {
    is_connected: bool,
    changed_at: Moment,
    connects: u64,
    last_error: Option<(Error, Moment)>,
    set_aside: u64,
}

/// What the board knows of a [`Status`].
pub(crate) struct BoardReading {
    pub is_connected: bool,
    pub connection_age: Duration,
    pub reconnects: u64,
    pub last_error: Option<Error>,
    pub last_error_age: Option<Duration>,
    pub set_aside: u64,
}

impl StatusBoard {
    pub fn new(set_aside: u64) -> StatusBoard {
        StatusBoard(Mutex::new(Board {
            is_connected: false,
            changed_at: SystemClock.now(),
            connects: 0,
            last_error: None,
            set_aside,
        }))
    }

    pub fn connected(&self) {
        let mut board = self.0.lock();
        board.is_connected = true;
        board.connects += 1;
        board.changed_at = SystemClock.now();
    }

    pub fn disconnected(&self) {
        let mut board = self.0.lock();
        board.is_connected = false;
        board.changed_at = SystemClock.now();
    }

    pub fn failed(&self, error: &Error) {
        self.0.lock().last_error = Some((error.clone(), SystemClock.now()));
    }

    pub fn set_aside_is(&self, count: u64) {
        self.0.lock().set_aside = count;
    }

    pub fn read(&self) -> BoardReading {
        let board = self.0.lock();
        let now = SystemClock.now();
        let (last_error, failed_at) = board.last_error.clone().unzip();
        BoardReading {
            is_connected: board.is_connected,
            connection_age: now.since(board.changed_at),
            reconnects: board.connects.saturating_sub(1),
            last_error,
            last_error_age: failed_at.map(|at| now.since(at)),
            set_aside: board.set_aside,
        }
    }
}
