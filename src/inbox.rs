//! Cloud-to-device messages: stored before they are acknowledged, handed out in order, forgotten
//! when the application has processed them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;

use crate::error::{Chain, Error, Result};
use crate::message::property_bag;
use crate::store::rows;
use crate::store::rows::inbox::InboxRow;
use crate::store::rows::totals::Totals;
use crate::store::{Durability, Store};
use crate::sync::{Condvar, Mutex};
use crate::wait::{InterruptCheck, wait_for};

/// Unprocessed messages are stored up to this count and these bytes; more wait unacknowledged.
const STORED_COUNT: u64 = 1000;
const STORED_BYTES: u64 = 16 << 20;
/// IoT Hub keeps at most 50 messages for a device; one that comes beyond what waits here is left to it.
const WAITING_COUNT: usize = 50;

/// A message that the cloud sent to this device.
///
/// It stays in the database, and is handed out again after a restart, until
/// [`complete`](CloudMessage::complete) says that it was processed. The hub delivers at least once: a
/// lost acknowledgement repeats a message.
pub struct CloudMessage {
    /// The application may keep the message for longer than the client.
    inbox: Weak<Inbox>,
    row: InboxRow,
}

impl CloudMessage {
    /// The content.
    pub fn payload(&self) -> &[u8] {
        &self.row.body
    }

    /// The properties, decoded, in the order in which they came; IoT Hub's own start with `$.`.
    pub fn properties(&self) -> Vec<(String, String)> {
        property_bag::parse(&self.row.properties)
    }

    /// The value of the property `name`.
    pub fn property(&self, name: &str) -> Option<String> {
        let named = |(key, value): (String, String)| (key == name).then_some(value);
        self.properties().into_iter().find_map(named)
    }

    /// Says that the message is processed: it is deleted, and not handed out again. A second call does
    /// nothing.
    ///
    /// Blocks for a commit that is not synced: after a power cut the message may come once more.
    ///
    /// # Errors
    /// [`Error::Closed`] after the client was closed, and the database's errors; then the message
    /// stays.
    pub fn complete(&self) -> Result<()> {
        let inbox = self.inbox.upgrade().ok_or(Error::Closed)?;
        inbox.complete(self.row.id)
    }
}

impl fmt::Debug for CloudMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudMessage")
            .field("properties", &self.properties())
            .field("payload_bytes", &self.row.body.len())
            .finish_non_exhaustive()
    }
}

/// Called when a message is stored and may be acknowledged; must not block.
pub(crate) type Acknowledge = Box<dyn FnOnce() + Send>;

/// The unprocessed messages.
pub(crate) struct Inbox {
    store: Arc<Store>,
    /// Shared with the store, which has it counted again when it was damaged.
    state: Arc<Mutex<State>>,
    arrived: Condvar,
}

struct State {
    stored: Totals,
    /// Messages up to this id were handed out in this run.
    handed_through: i64,
    stored_through: i64,
    /// The inbox is full: these wait for room, unacknowledged.
    waiting: VecDeque<(String, Bytes, Acknowledge)>,
    closed: bool,
}

impl Inbox {
    /// Counts what an earlier run left.
    pub fn open(store: Arc<Store>) -> Result<Arc<Inbox>> {
        let (stored, newest) = store.read(|transaction| {
            let newest = "SELECT coalesce(max(id), 0) FROM inbox";
            let newest = transaction
                .connection()
                .query_row(newest, (), |row| row.get(0))?;
            Ok((rows::inbox::totals(transaction)?, newest))
        })?;
        let state = Arc::new(Mutex::new(State {
            stored,
            handed_through: i64::MIN,
            stored_through: newest,
            waiting: VecDeque::new(),
            closed: false,
        }));
        let counted = Arc::clone(&state);
        store.on_recovery(move |transaction, _| {
            counted.lock().stored = rows::inbox::totals(transaction)?;
            Ok(())
        });
        Ok(Arc::new(Inbox {
            store,
            state,
            arrived: Condvar::new(),
        }))
    }

    /// For the link: a message came. It is stored, then `acknowledge` is called.
    pub fn accept(self: &Arc<Self>, properties: String, payload: Bytes, acknowledge: Acknowledge) {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && state.has_room() {
            self.store(&mut state, properties, payload, acknowledge);
            return;
        }
        let is_first = state.waiting.is_empty();
        if state.waiting.len() < WAITING_COUNT {
            state.waiting.push_back((properties, payload, acknowledge));
        }
        drop(state);
        if is_first {
            log::warn!("too many cloud-to-device messages are unprocessed: more wait in the hub");
        }
    }

    /// For the link: the connection ended; the hub delivers what it was not acknowledged again.
    pub fn connection_lost(&self) {
        self.state.lock().waiting.clear();
    }

    fn store(
        self: &Arc<Self>,
        state: &mut State,
        properties: String,
        payload: Bytes,
        acknowledge: Acknowledge,
    ) {
        // Counted before it is stored, so that what comes meanwhile sees the room that is left.
        let bytes = payload.len() as u64;
        state.stored.count += 1;
        state.stored.bytes += bytes;
        let inbox = Arc::clone(self);
        self.store.post(
            Durability::PowerSafe,
            move |transaction| rows::inbox::insert(transaction, &properties, &payload),
            move |stored| match stored {
                Ok(id) => {
                    inbox.state.lock().stored_through = id;
                    inbox.arrived.notify_all();
                    acknowledge();
                }
                // Not acknowledged: the hub delivers it again.
                Err(error) => {
                    log::warn!("cannot store a cloud-to-device message: {}", Chain(&error));
                    inbox.state.lock().removed(bytes);
                }
            },
        );
    }

    /// The oldest message that was not handed out in this run; waits for one.
    pub fn receive(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<CloudMessage> {
        loop {
            // What is stored behind this while the row is read is for the next look.
            let (after, through) = {
                let state = self.state.lock();
                let arrived = |state: &mut State| {
                    if state.closed {
                        Some(Err(Error::Closed))
                    } else {
                        (state.stored_through > state.handed_through)
                            .then_some(Ok((state.handed_through, state.stored_through)))
                    }
                };
                wait_for(&self.state, state, &self.arrived, deadline, check, arrived).1?
            };
            let row = self
                .store
                .read(move |transaction| rows::inbox::next(transaction, after))?;
            let mut state = self.state.lock();
            // Another thread may have been faster: then the next one is tried.
            if state.handed_through != after {
                continue;
            }
            match row {
                Some(row) => {
                    state.handed_through = row.id;
                    let inbox = Arc::downgrade(self);
                    return Ok(CloudMessage { inbox, row });
                }
                None => state.handed_through = through,
            }
        }
    }

    fn complete(self: &Arc<Self>, id: i64) -> Result<()> {
        let inbox = Arc::clone(self);
        self.store.execute(
            Durability::KillSafe,
            move |transaction| rows::inbox::delete(transaction, id),
            move |deleted| {
                if let Some(bytes) = *deleted {
                    let mut state = inbox.state.lock();
                    state.removed(bytes);
                    inbox.store_waiting(&mut state);
                }
            },
        )?;
        Ok(())
    }

    fn store_waiting(self: &Arc<Self>, state: &mut State) {
        while state.has_room()
            && let Some((properties, payload, acknowledge)) = state.waiting.pop_front()
        {
            self.store(state, properties, payload, acknowledge);
        }
    }

    /// Ends all waits.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.stored.count < STORED_COUNT && self.stored.bytes < STORED_BYTES
    }

    fn removed(&mut self, bytes: u64) {
        self.stored.count = self.stored.count.saturating_sub(1);
        self.stored.bytes = self.stored.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_message_that_comes_while_an_empty_inbox_is_looked_at_is_handed_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&directory.path().join("device.db")).unwrap());
        let inbox = Inbox::open(Arc::clone(&store)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        // The look and the message share a commit, the look first.
        let hold = store.hold();
        let receiver = std::thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || inbox.receive(Some(deadline), None)
        });
        while store.waiting_jobs() == 0 {
            assert!(Instant::now() < deadline, "nobody looks");
            std::thread::yield_now();
        }
        inbox.accept(String::new(), Bytes::from_static(b"x"), Box::new(|| {}));
        drop(hold);
        let received = receiver.join().unwrap().unwrap();
        assert_eq!(received.payload(), b"x");
    }
}
