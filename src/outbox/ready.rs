//! The ready queue of a lane: the oldest rows that are not taken, in memory, so that the link never waits for a read.
//! Pure, as the state.

use std::collections::{HashSet, VecDeque};
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::message::outgoing::{Body, Outgoing};
use crate::message::priority::Priority;
use crate::store::rows::lane;

/// What the ready queue may hold; a single Message may exceed the bytes.
pub(super) const READY_BYTES: usize = 256 << 10;
pub(super) const READY_COUNT: usize = 256;

/// The oldest rows of a lane that are not taken, in their order.
pub(super) struct Ready {
    priority: Priority,
    messages: VecDeque<Outgoing>,
    memory_bytes: usize,
    /// There may be an upload in `messages`.
    may_have_upload: bool,
    /// Rows up to this id are in `messages`, or were.
    loaded_through: i64,
    /// There are rows behind `loaded_through`.
    more_in_store: bool,
}

/// What a lane has to be sent next.
pub(super) enum Front {
    /// Nothing.
    Empty,
    /// Rows that have yet to be loaded.
    InStore,
    /// Content that has yet to be uploaded: until then the lane waits, and no other.
    Upload,
    Message,
}

impl Ready {
    /// Of a lane without Messages.
    pub fn new(priority: Priority) -> Ready {
        Ready {
            priority,
            messages: VecDeque::new(),
            memory_bytes: 0,
            may_have_upload: false,
            loaded_through: lane::id(priority, 0),
            more_in_store: false,
        }
    }

    /// Whether a row that was committed behind all others may come in.
    pub fn has_room(&self) -> bool {
        let is_full = self.memory_bytes >= READY_BYTES || self.messages.len() >= READY_COUNT;
        !self.more_in_store && !is_full
    }

    /// There are rows to be loaded.
    pub fn more_in_store(&mut self) {
        self.more_in_store = true;
    }

    pub fn push(&mut self, message: Outgoing) {
        self.loaded_through = message.id;
        self.memory_bytes += message.memory_bytes();
        self.may_have_upload |= matches!(message.body, Body::Upload(_));
        self.messages.push_back(message);
    }

    pub fn oldest(&self) -> Option<&Outgoing> {
        self.messages.front()
    }

    pub fn front(&self) -> Front {
        match self.messages.front() {
            None if self.more_in_store => Front::InStore,
            None => Front::Empty,
            Some(message) if matches!(message.body, Body::Upload(_)) => Front::Upload,
            Some(_) => Front::Message,
        }
    }

    pub fn take_oldest(&mut self) -> Option<Outgoing> {
        let message = self.messages.pop_front()?;
        self.memory_bytes = self.memory_bytes.saturating_sub(message.memory_bytes());
        Some(message)
    }

    /// Takes out the oldest, as long as they are too old.
    pub fn take_expired(&mut self, is_expired: impl Fn(&Outgoing) -> bool) -> Vec<Outgoing> {
        let mut expired = Vec::new();
        while self.oldest().is_some_and(&is_expired) {
            expired.extend(self.take_oldest());
        }
        expired
    }

    /// The last of the oldest `count`.
    pub fn last_of(&self, count: usize) -> Option<i64> {
        let oldest = self.messages.iter().take(count);
        oldest.last().map(|message| message.id)
    }

    pub fn remove(&mut self, id: i64) -> Option<Outgoing> {
        let place = self.messages.iter().position(|message| message.id == id)?;
        let message = self.messages.remove(place)?;
        self.memory_bytes = self.memory_bytes.saturating_sub(message.memory_bytes());
        Some(message)
    }

    /// These rows were dropped, also those that are not loaded.
    pub fn dropped(&mut self, ids: RangeInclusive<i64>) {
        self.retain(|message| !ids.contains(&message.id));
        self.loaded_through = self.loaded_through.max(*ids.end());
    }

    fn retain(&mut self, stays: impl Fn(&Outgoing) -> bool) {
        self.messages.retain(stays);
        self.memory_bytes = self.messages.iter().map(Outgoing::memory_bytes).sum();
    }

    /// Whether rows should be loaded now.
    pub fn wants_load(&self) -> bool {
        let is_low = self.messages.len() <= READY_COUNT / 4 && self.memory_bytes <= READY_BYTES / 4;
        self.more_in_store && is_low
    }

    /// The ids of the lane up to the newest row that is, or was, in memory.
    pub fn ids_loaded(&self) -> RangeInclusive<i64> {
        *lane::ids(self.priority).start()..=self.loaded_through
    }

    /// Those that are not, and never were.
    pub fn ids_to_load(&self) -> RangeInclusive<i64> {
        self.loaded_through.saturating_add(1)..=*lane::ids(self.priority).end()
    }

    /// These rows follow; `more` if there are others behind them.
    pub fn loaded(&mut self, rows: Vec<Outgoing>, more: bool) {
        for row in rows {
            // One that was stored when all before it had been set aside is here already.
            if row.id > self.loaded_through {
                self.push(row);
            }
        }
        self.more_in_store = more;
    }

    /// The oldest Message whose content has to be uploaded before its turn.
    pub fn next_upload(&mut self) -> Option<i64> {
        if !self.may_have_upload {
            return None;
        }
        let is_upload = |message: &&Outgoing| matches!(message.body, Body::Upload(_));
        let next = self.messages.iter().find(is_upload);
        let next = next.map(|message| message.id);
        self.may_have_upload = next.is_some();
        next
    }

    /// From now on the Message is this link; returns how many bytes its content had.
    pub fn uploaded(&mut self, id: i64, link: Bytes) -> Option<usize> {
        let message = self.messages.iter_mut().find(|message| message.id == id)?;
        let content_bytes = message.body_bytes();
        self.memory_bytes += link.len();
        message.body = Body::Inline(link);
        Some(content_bytes)
    }

    /// The oldest row that is not taken, or a lower bound for its id.
    pub fn oldest_id(&self) -> Option<i64> {
        let loaded = self.messages.front().map(|message| message.id);
        loaded.or_else(|| self.more_in_store.then_some(self.loaded_through + 1))
    }

    /// Everything was set aside, up to this number.
    pub fn all_set_aside(&mut self, stored_through: i64) {
        *self = Ready {
            loaded_through: lane::id(self.priority, stored_through),
            ..Ready::new(self.priority)
        };
    }

    /// The Messages that are not among these rows, and can be stored again.
    pub fn missing(&self, rows: &HashSet<i64>) -> Vec<(Outgoing, Bytes)> {
        let missing = self
            .messages
            .iter()
            .filter(|message| !rows.contains(&message.id));
        let with_body = missing.filter_map(|message| match &message.body {
            Body::Inline(body) => Some((message.clone(), body.clone())),
            Body::Upload(_) => None,
        });
        with_body.collect()
    }

    /// The database lost some rows, and of content that is to be uploaded there is no other copy.
    pub fn forget_lost_uploads(&mut self, rows: &HashSet<i64>) {
        self.retain(|message| {
            matches!(message.body, Body::Inline(_)) || rows.contains(&message.id)
        });
    }
}
