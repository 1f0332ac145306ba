//! The client's status: a snapshot for the application, and the board it is read from.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::store::Recovery;
use crate::sync::Mutex;
use crate::transport::Transport;

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
    /// What the connection uses, or the last one used: [`Transport::Mqtt`] or [`Transport::WebSocket`]; `None` before
    /// the first.
    pub transport: Option<Transport>,
    /// How often the connection was made again after the first time.
    pub reconnects: u64,
    /// The last failure of the connection, the registration, an upload or the disk, since the start.
    pub last_error: Option<Error>,
    /// How long ago that was.
    pub last_error_age: Option<Duration>,
    /// Why no Messages are sent, although there may be a connection; `None` when they are. The hub has closed the
    /// connection on the same Message several times: until it takes that one, or another shows that it is to blame,
    /// it is tried alone, each time after a minute at most; see
    /// [`set_aside_messages`](crate::DeviceClient::set_aside_messages).
    pub held_back: Option<String>,
    /// For how long that has been so.
    pub held_back_age: Option<Duration>,
    /// Messages stored and not yet acknowledged by the Platform.
    pub pending_messages: u64,
    /// The bytes of their stored payloads (compressed, where compression is used).
    pub pending_bytes: u64,
    /// How long ago the oldest of them was stored, or put back, by the wall clock; within what is known
    /// for sure: one of this run is not older than the run, one of an earlier run not younger.
    pub oldest_pending_age: Option<Duration>,
    /// Messages dropped since the start, as the [outbox](crate::OutboxLimits) was full.
    pub dropped_messages: u64,
    /// The bytes of their stored payloads.
    pub dropped_bytes: u64,
    /// Messages that were not sent, since the start, as they were older than their
    /// [time to live](crate::SenderOptions::time_to_live).
    pub expired_messages: u64,
    /// Messages that were not sent, since the start, as a newer one took their place; see
    /// [`keep_latest`](crate::SenderOptions::keep_latest).
    pub replaced_messages: u64,
    /// Messages that will not be sent as things stand; see
    /// [`set_aside_messages`](crate::DeviceClient::set_aside_messages).
    pub set_aside_messages: u64,
    /// The large content that is being uploaded, or was last and waits for its next attempt.
    pub upload: Option<UploadStatus>,
    /// How fast Messages and uploads may go.
    pub pacing: PacingStatus,
    /// The [remote access](crate::DeviceClientBuilder::remote_access) that is open, or being opened.
    pub tunnels: Vec<TunnelStatus>,
    /// What was saved of a damaged database file, the last time that it was damaged since, or at, the
    /// start.
    pub recovery: Option<Recovery>,
}

/// The limits of all Messages and uploads together, each a second; those of a [priority](crate::Priority) come on top.
/// Part of a [`Status`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct PacingStatus {
    /// Messages, as the program has [set](crate::Pacing) it; `None` without a limit.
    pub messages_per_second: Option<f64>,
    /// Bytes, as the program has set it; `None` without a limit.
    pub bytes_per_second: Option<u64>,
    /// Messages, while the client goes slowly by itself, as [the hub throttles](crate::Pacing#when-the-hub-throttles).
    pub throttled_messages_per_second: Option<f64>,
}

/// How far the upload of large content is. Part of a [`Status`], and told to the
/// [progress callback](crate::DeviceClientBuilder::on_upload_progress).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadStatus {
    /// The bytes that the Platform's storage has, and that are not sent again: counted by blocks of 1 MiB. Content
    /// of one block, or that the storage takes only as a whole, is there when all of it is.
    pub uploaded_bytes: u64,
    /// The bytes of the stored content.
    pub total_bytes: u64,
}

/// A technician's tunnel to a port of this device, open or being opened. Part of a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunnelStatus {
    /// The Platform's name for it.
    pub tunnel_id: String,
    /// The port of this device that it leads to.
    pub port: u16,
    /// How long ago the Platform asked for it.
    pub age: Duration,
    /// Payload that came through it to the device.
    pub received_bytes: u64,
    /// Payload that the device sent through it.
    pub sent_bytes: u64,
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
pub(crate) struct StatusBoard {
    clock: Arc<dyn Clock>,
    board: Mutex<Board>,
}

struct Board {
    is_connected: bool,
    changed_at: Moment,
    transport: Option<Transport>,
    connects: u64,
    last_error: Option<(Error, Moment)>,
    held_back: Option<(&'static str, Moment)>,
    throttled_messages_per_second: Option<f64>,
}

/// What the board knows of a [`Status`].
pub(crate) struct BoardReading {
    pub is_connected: bool,
    pub connection_age: Duration,
    pub transport: Option<Transport>,
    pub reconnects: u64,
    pub last_error: Option<Error>,
    pub last_error_age: Option<Duration>,
    pub held_back: Option<&'static str>,
    pub held_back_age: Option<Duration>,
    pub throttled_messages_per_second: Option<f64>,
}

impl StatusBoard {
    pub fn new(clock: Arc<dyn Clock>) -> StatusBoard {
        let board = Board {
            is_connected: false,
            changed_at: clock.now(),
            transport: None,
            connects: 0,
            last_error: None,
            held_back: None,
            throttled_messages_per_second: None,
        };
        StatusBoard {
            clock,
            board: Mutex::new(board),
        }
    }

    pub fn connected(&self, transport: Transport) {
        let mut board = self.board.lock();
        board.is_connected = true;
        board.transport = Some(transport);
        board.connects += 1;
        board.changed_at = self.clock.now();
    }

    /// With the reason, if it was not us: who sees the one sees the other.
    pub fn disconnected(&self, error: Option<&Error>) {
        let now = self.clock.now();
        let mut board = self.board.lock();
        board.is_connected = false;
        board.changed_at = now;
        if let Some(error) = error {
            board.last_error = Some((error.clone(), now));
        }
    }

    pub fn failed(&self, error: &Error) {
        self.board.lock().last_error = Some((error.clone(), self.clock.now()));
    }

    /// No Messages are sent from now on, for this reason; or, without one, they are again.
    pub fn held_back(&self, reason: Option<&'static str>) {
        self.board.lock().held_back = reason.map(|reason| (reason, self.clock.now()));
    }

    /// At most so many Messages go now, as the hub throttles; or, without a number, it does not.
    pub fn throttled(&self, messages_per_second: Option<f64>) {
        self.board.lock().throttled_messages_per_second = messages_per_second;
    }

    pub fn read(&self) -> BoardReading {
        let board = self.board.lock();
        let now = self.clock.now();
        let (last_error, failed_at) = board.last_error.clone().unzip();
        let (held_back, held_since) = board.held_back.unzip();
        BoardReading {
            is_connected: board.is_connected,
            connection_age: now.since(board.changed_at),
            transport: board.transport,
            reconnects: board.connects.saturating_sub(1),
            last_error,
            last_error_age: failed_at.map(|at| now.since(at)),
            held_back,
            held_back_age: held_since.map(|since| now.since(since)),
            throttled_messages_per_second: board.throttled_messages_per_second,
        }
    }
}
