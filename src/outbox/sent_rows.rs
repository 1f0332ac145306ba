//! Sent Messages whose rows are still in the database. To mark one writes one page, to delete it up to six; to
//! delete many that lie together writes hardly more than to delete one. Pure, as the state.

use crate::store::outbox_rows::Totals;

/// So many rows, or bytes of content, are deleted together: enough to make deleting cheap, and little beside
/// what the file takes anyway. Few enough for the ids of those that are marked to fit into the one page of
/// their table, which must not grow on a full disk.
const ROWS_KEPT: u64 = 64;
const BYTES_KEPT: u64 = 64 << 10;

/// The rows that are marked, and not deleted yet.
#[derive(Debug, Default)]
pub(super) struct SentRows {
    marked: Totals,
    /// Their room is wanted.
    room_is_wanted: bool,
}

impl SentRows {
    /// What an earlier run left.
    pub fn new(marked: Totals) -> SentRows {
        SentRows {
            marked,
            room_is_wanted: false,
        }
    }

    /// The disk is full: what there is is deleted with the next record.
    pub fn want_room(&mut self) {
        self.room_is_wanted = self.marked.count > 0;
    }

    /// Whether there is something to delete, whatever else there is to record.
    pub fn is_room_wanted(&self) -> bool {
        self.room_is_wanted
    }

    /// Whether all that is sent is to be deleted with so many acknowledgements, instead of marking those.
    pub fn delete_with(&mut self, acknowledged: Totals) -> bool {
        let all = self.marked.and(acknowledged);
        let is_wanted = std::mem::take(&mut self.room_is_wanted);
        is_wanted || all.count >= ROWS_KEPT || all.bytes >= BYTES_KEPT
    }

    /// A record of so many acknowledgements was written.
    pub fn recorded(&mut self, acknowledged: Totals, deleted: bool) {
        self.marked = match deleted {
            true => Totals::default(),
            false => self.marked.and(acknowledged),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: u64, bytes: u64) -> Totals {
        Totals { count, bytes }
    }

    #[test]
    fn small_messages_are_marked_and_the_last_of_many_deletes_all() {
        let mut rows = SentRows::default();
        for _ in 1..ROWS_KEPT {
            assert!(!rows.delete_with(sent(1, 200)));
            rows.recorded(sent(1, 200), false);
        }
        assert!(rows.delete_with(sent(1, 200)));
        rows.recorded(sent(1, 200), true);
        assert!(!rows.delete_with(sent(1, 200)));
    }

    #[test]
    fn many_at_once_and_large_ones_are_deleted_at_once() {
        let mut rows = SentRows::default();
        assert!(rows.delete_with(sent(ROWS_KEPT, 0)));
        assert!(rows.delete_with(sent(1, 200_000)));
    }

    #[test]
    fn what_an_earlier_run_left_is_deleted_too_and_at_once_where_room_is_wanted() {
        assert!(SentRows::new(sent(ROWS_KEPT - 1, 0)).delete_with(sent(1, 1)));

        let mut rows = SentRows::new(sent(3, 0));
        assert!(!rows.is_room_wanted());
        rows.want_room();
        assert!(rows.is_room_wanted());
        assert!(rows.delete_with(sent(0, 0)));
        rows.recorded(sent(0, 0), true);
        rows.want_room();
        assert!(!rows.is_room_wanted(), "there is none to be had");
    }
}
