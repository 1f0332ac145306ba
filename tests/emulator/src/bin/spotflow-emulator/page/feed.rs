//! What is new on the Platform, for all browsers: followed once, rendered once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use spotflow_emulator::{Message, Platform};
use tokio::sync::broadcast;

use super::numbers::Numbers;
use super::view;

/// Long enough to cost nothing; news end the wait at once.
const PATIENCE: Duration = Duration::from_secs(3600);
/// News come together at this pace at most, which a person does not notice and a browser bears.
const PAUSE: Duration = Duration::from_millis(100);
pub(super) const ROWS_MAX: usize = 200;
/// A browser that is further behind is told anew.
const UPDATES_KEPT_MAX: usize = 64;

#[derive(Clone, Copy)]
pub(super) enum Update {
    /// Operations, devices, properties, methods or tunnels.
    State,
    Messages,
}

/// A Message, rendered.
pub(super) struct Row {
    pub sequence: u64,
    pub stream: String,
    pub html: String,
}

#[derive(Default)]
pub(super) struct Recent {
    /// The oldest first.
    pub rows: VecDeque<Arc<Row>>,
    pub streams: BTreeSet<String>,
    pub numbers: Numbers,
}

pub(super) struct Feed {
    pub updates: broadcast::Sender<Update>,
    recent: Mutex<Recent>,
}

impl Feed {
    pub fn start(platform: &Arc<Platform>) -> Arc<Self> {
        let feed = Arc::new(Self {
            updates: broadcast::Sender::new(UPDATES_KEPT_MAX),
            recent: Mutex::default(),
        });
        let (follower, source) = (feed.clone(), platform.clone());
        thread::spawn(move || follower.follow_state(&source));
        let (follower, source) = (feed.clone(), platform.clone());
        thread::spawn(move || follower.follow_messages(&source));
        feed
    }

    pub fn look<T>(&self, look: impl FnOnce(&Recent) -> T) -> T {
        look(&self.recent.lock())
    }

    fn follow_state(&self, platform: &Platform) {
        let mut seen = 0;
        loop {
            (_, seen) = platform.wait_for_events(seen, PATIENCE);
            self.tell(Update::State);
            thread::sleep(PAUSE);
        }
    }

    fn follow_messages(&self, platform: &Platform) {
        let mut seen = 0;
        loop {
            let messages = platform.wait_for_messages_after(seen, PATIENCE);
            if let Some(last) = messages.last() {
                seen = last.sequence;
                self.recent.lock().add(&messages);
                self.tell(Update::Messages);
                thread::sleep(PAUSE);
            }
        }
    }

    /// Something changed that is no event of the Platform's.
    pub fn changed(&self) {
        self.tell(Update::State);
    }

    fn tell(&self, update: Update) {
        // Fails if nobody looks, and then nobody misses it.
        let _ = self.updates.send(update);
    }
}

impl Recent {
    fn add(&mut self, messages: &[Message]) {
        for message in messages {
            let stream = stream_of(message);
            if !self.streams.contains(&stream) {
                self.streams.insert(stream.clone());
            }
            self.numbers
                .add(&stream, message, received_unix_ms(message));
        }
        for message in &messages[messages.len().saturating_sub(ROWS_MAX)..] {
            if self.rows.len() == ROWS_MAX {
                self.rows.pop_front();
            }
            let stream = stream_of(message);
            let html = view::message_row(message, &stream).into_string();
            self.rows.push_back(Arc::new(Row {
                sequence: message.sequence,
                stream,
                html,
            }));
        }
    }

    /// The rows after that Message, of that stream if it is named, the newest first.
    pub fn rows_after(&self, sequence: u64, stream: &str) -> Vec<Arc<Row>> {
        let rows = self.rows.iter().rev();
        rows.take_while(|row| row.sequence > sequence)
            .filter(|row| stream.is_empty() || row.stream == stream)
            .cloned()
            .collect()
    }

    pub fn last_sequence(&self) -> u64 {
        self.rows.back().map_or(0, |row| row.sequence)
    }
}

/// Group and stream, as a person names them.
fn stream_of(message: &Message) -> String {
    let stream = message.stream.as_deref().unwrap_or("(default)");
    match &message.stream_group {
        Some(group) => format!("{group} / {stream}"),
        None => stream.to_owned(),
    }
}

pub(super) fn received_unix_ms(message: &Message) -> u64 {
    let received = SystemTime::now().checked_sub(message.received_at.elapsed());
    let since = received.and_then(|received| received.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
