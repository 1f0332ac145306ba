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
    /// The last failure of the connection, the registration or an upload, since the start.
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
    /// Messages that will not be sent as things stand; see
    /// [`set_aside_messages`](crate::DeviceClient::set_aside_messages).
    pub set_aside_messages: u64,
    /// The large content that is being uploaded, or whose upload waits for its next attempt.
    pub upload: Option<UploadStatus>,
    /// The [remote access](crate::DeviceClientBuilder::remote_access) that is open, or being opened.
    pub tunnels: Vec<TunnelStatus>,
    /// What was saved of a damaged database file, the last time that it was damaged since, or at, the
    /// start.
    pub recovery: Option<Recovery>,
}

/// How far the upload of large content is. Part of a [`Status`].
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

/// Before this library, 2026, no Message was stored: such a label is of a clock that was not set.
const FIRST_LABEL_MS: i64 = 1_767_225_600_000;

/// When this run began.
pub(crate) struct RunStart {
    pub at: Moment,
    /// The newest Message stored before it.
    pub newest_message: i64,
}

impl RunStart {
    /// The age of the Message with this id, labelled with the wall clock when it was stored. A wall
    /// clock that jumps must not make it older than this run, or younger, than is known for sure.
    pub fn age_of(&self, (id, stored_at_ms): (i64, i64), now: Moment, wall_ms: i64) -> Duration {
        let in_run = now.since(self.at);
        let by_label = wall_ms.saturating_sub(stored_at_ms);
        let by_label = Duration::from_millis(u64::try_from(by_label).unwrap_or(0));
        if id > self.newest_message {
            return by_label.min(in_run);
        }
        if stored_at_ms < FIRST_LABEL_MS {
            in_run
        } else {
            by_label.max(in_run)
        }
    }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS_50_MS: i64 = 50 * 365 * 86_400_000;
    const NOW_MS: i64 = 1_800_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    /// A minute after the start.
    fn age(message: (i64, i64), wall_ms: i64) -> Duration {
        let start = RunStart {
            at: Moment::START,
            newest_message: 10,
        };
        start.age_of(message, Moment::START + MINUTE, wall_ms)
    }

    #[test]
    fn a_message_of_this_run_is_never_older_than_the_run() {
        let after = NOW_MS + 60_000;
        assert_eq!(age((11, NOW_MS + 50_000), after), MINUTE / 6);
        for start_ms in [0, NOW_MS - YEARS_50_MS, NOW_MS + YEARS_50_MS] {
            for wall_ms in [after, after + YEARS_50_MS, after - YEARS_50_MS] {
                let age = age((11, start_ms + 50_000), wall_ms);
                assert!(age <= MINUTE, "{age:?} from {start_ms} to {wall_ms}");
            }
        }
    }

    #[test]
    fn a_message_of_an_earlier_run_is_at_least_as_old_as_this_one() {
        let (hour_ms, after) = (3_600_000, NOW_MS + 60_000);
        assert_eq!(age((10, NOW_MS - hour_ms), after), 61 * MINUTE);
        assert_eq!(age((10, NOW_MS), 60_000), MINUTE, "not set now");
        assert_eq!(age((10, 5_000), after), MINUTE, "not set then");
        assert_eq!(age((10, NOW_MS + YEARS_50_MS), after), MINUTE, "ahead then");
    }
}
