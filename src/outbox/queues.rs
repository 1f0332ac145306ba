//! The ready queues of all lanes, and the load that fills them. Pure, as the state.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::ready::{Front, Ready};
use crate::message::lanes::Lanes;
use crate::message::outgoing::Outgoing;
use crate::message::priority::Priority;
use crate::pacing::pacer::Turn;
use crate::store::rows::lane;

/// Rows that were read for a lane, and whether there are more behind them.
pub(crate) struct Loaded {
    pub priority: Priority,
    pub rows: Vec<Outgoing>,
    pub more: bool,
}

/// The ready queues.
pub(super) struct Queues {
    lanes: Lanes<Ready>,
    is_loading: bool,
    load_failed: bool,
}

impl Default for Queues {
    fn default() -> Queues {
        Queues {
            lanes: Lanes::each(Ready::new),
            is_loading: false,
            load_failed: false,
        }
    }
}

impl Queues {
    pub fn lane(&self, priority: Priority) -> &Ready {
        &self.lanes[priority]
    }

    pub fn lane_mut(&mut self, priority: Priority) -> &mut Ready {
        &mut self.lanes[priority]
    }

    /// The lane of this Message.
    pub fn of(&mut self, id: i64) -> &mut Ready {
        self.lane_mut(lane::priority(id))
    }

    /// The highest lane that has a Message to be sent, of those whose pace lets it; none while rows of a higher one
    /// have yet to be loaded.
    pub fn highest(&self, turn: &mut Turn) -> Option<Priority> {
        for (priority, ready) in self.lanes.iter() {
            match ready.front() {
                Front::Empty | Front::Upload => {}
                Front::InStore | Front::Message if !turn.may_send(priority) => {}
                Front::InStore => return None,
                Front::Message => return Some(priority),
            }
        }
        None
    }

    /// Takes out, from the highest lane down to the one whose turn it is, what is too old.
    pub fn take_expired(
        &mut self,
        turn: &mut Turn,
        is_expired: impl Fn(&Outgoing) -> bool,
    ) -> Vec<Outgoing> {
        let mut expired = Vec::new();
        for (priority, ready) in self.lanes.iter_mut() {
            expired.extend(ready.take_expired(&is_expired));
            match ready.front() {
                Front::Empty | Front::Upload => {}
                Front::InStore | Front::Message if !turn.may_send(priority) => {}
                Front::InStore | Front::Message => break,
            }
        }
        expired
    }

    /// There are rows to be loaded, in whatever lane.
    pub fn more_in_store(&mut self) {
        self.lanes.iter_mut().for_each(|(_, it)| it.more_in_store());
    }

    /// Whether rows should be loaded now; if so, the answer must come: [`loaded`](Self::loaded) or
    /// [`load_failed`](Self::load_failed).
    #[must_use]
    pub fn begin_load(&mut self) -> bool {
        let is_idle = !self.is_loading && !self.load_failed;
        let begins = is_idle && self.lanes.iter().any(|(_, ready)| ready.wants_load());
        self.is_loading |= begins;
        begins
    }

    /// What is to be loaded, when that is carried out.
    pub fn to_load(&self) -> Vec<(Priority, RangeInclusive<i64>)> {
        let low = self.lanes.iter().filter(|(_, ready)| ready.wants_load());
        low.map(|(priority, ready)| (priority, ready.ids_to_load()))
            .collect()
    }

    /// The load is done.
    pub fn loaded(&mut self, loaded: Vec<Loaded>) {
        self.is_loading = false;
        for Loaded {
            priority,
            rows,
            more,
        } in loaded
        {
            self.lanes[priority].loaded(rows, more);
        }
    }

    /// The rows could not be read: not again before [`unstall`](Self::unstall).
    pub fn load_failed(&mut self) {
        self.is_loading = false;
        self.load_failed = true;
    }

    pub fn is_stalled(&self) -> bool {
        self.load_failed
    }

    pub fn unstall(&mut self) {
        self.load_failed = false;
    }

    /// The ids of all rows that are, or were, in memory.
    pub fn ids_loaded(&self) -> Vec<RangeInclusive<i64>> {
        self.lanes.iter().map(|(_, it)| it.ids_loaded()).collect()
    }

    /// The Message whose content has to be uploaded first: the oldest of the highest lane whose oldest `may_go`.
    pub fn next_upload(&mut self, may_go: impl Fn(i64) -> bool) -> Option<i64> {
        let mut oldest = self.lanes.iter_mut().filter_map(|(_, it)| it.next_upload());
        oldest.find(|id| may_go(*id))
    }

    /// The oldest row of each lane that is not taken, or a lower bound for its id.
    pub fn oldest_ids(&self) -> impl Iterator<Item = i64> {
        self.lanes.iter().filter_map(|(_, ready)| ready.oldest_id())
    }

    /// The oldest Message in memory.
    pub fn oldest(&self) -> Option<&Outgoing> {
        let oldest = self.lanes.iter().filter_map(|(_, ready)| ready.oldest());
        oldest.min_by_key(|message| lane::number(message.id))
    }

    /// Everything was set aside; a load can still be under way.
    pub fn all_set_aside(&mut self, stored_through: i64) {
        let each = |(_, ready): (Priority, &mut Ready)| ready.all_set_aside(stored_through);
        self.lanes.iter_mut().for_each(each);
        self.load_failed = false;
    }

    /// The Messages that are not among these rows, and can be stored again.
    pub fn missing(&self, rows: &HashSet<i64>) -> Vec<(Outgoing, Bytes)> {
        let missing = |(_, ready): (Priority, &Ready)| ready.missing(rows);
        self.lanes.iter().flat_map(missing).collect()
    }

    /// The database lost some rows, and of content that is to be uploaded there is no other copy.
    pub fn forget_lost_uploads(&mut self, rows: &HashSet<i64>) {
        let each = |(_, ready): (Priority, &mut Ready)| ready.forget_lost_uploads(rows);
        self.lanes.iter_mut().for_each(each);
    }
}
