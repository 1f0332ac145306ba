//! Sent Messages whose rows are still in the database. To mark a row writes one page, to delete it up to
//! six; to delete many that lie together writes hardly more than to delete one. Pure, as the state.

use crate::store::outbox_rows::Totals;

/// So many rows, or bytes of content, are deleted together: enough to make deleting cheap, and little beside
/// what the file takes anyway.
const ROWS_KEPT: u64 = 64;
const BYTES_KEPT: u64 = 64 << 10;

/// The rows that are marked, and not deleted yet.
#[derive(Debug, Default)]
pub(super) struct SentRows {
    marked: Totals,
    /// The last of them.
    through: i64,
    /// Their room is wanted.
    room_is_wanted: bool,
}

impl SentRows {
    /// What an earlier run left.
    pub fn new(marked: Totals, through: i64) -> SentRows {
        SentRows {
            marked,
            through,
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

    /// Through which row all that is sent is to be deleted with these acknowledgements; `None` if they are to
    /// be marked.
    pub fn delete_through(&mut self, acknowledged: &[i64], sent: Totals) -> Option<i64> {
        let all = self.marked.and(sent);
        let is_due = self.room_is_wanted || all.count >= ROWS_KEPT || all.bytes >= BYTES_KEPT;
        self.room_is_wanted = false;
        let newest = acknowledged.iter().copied().max();
        is_due.then(|| newest.map_or(self.through, |newest| newest.max(self.through)))
    }

    /// A record of these acknowledgements was written.
    pub fn recorded(&mut self, acknowledged: &[i64], sent: Totals, deleted_through: Option<i64>) {
        match deleted_through {
            Some(_) => self.marked = Totals::default(),
            None => {
                self.marked = self.marked.and(sent);
                self.through = acknowledged.iter().copied().fold(self.through, i64::max);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: u64, bytes: u64) -> Totals {
        Totals { count, bytes }
    }

    #[test]
    fn small_messages_are_marked_and_the_64th_deletes_all() {
        let mut rows = SentRows::default();
        for id in 1..64 {
            assert_eq!(rows.delete_through(&[id], sent(1, 200)), None, "{id}");
            rows.recorded(&[id], sent(1, 200), None);
        }
        assert_eq!(rows.delete_through(&[64], sent(1, 200)), Some(64));
        rows.recorded(&[64], sent(1, 200), Some(64));
        assert_eq!(rows.delete_through(&[65], sent(1, 200)), None);
    }

    #[test]
    fn many_at_once_and_large_ones_are_deleted_at_once() {
        let mut rows = SentRows::default();
        let many: Vec<i64> = (1..=64).rev().collect();
        assert_eq!(rows.delete_through(&many, sent(64, 0)), Some(64));
        assert_eq!(rows.delete_through(&[1], sent(1, 200_000)), Some(1));
    }

    #[test]
    fn what_an_earlier_run_left_is_deleted_too_and_at_once_where_room_is_wanted() {
        let mut rows = SentRows::new(sent(63, 0), 90);
        assert_eq!(rows.delete_through(&[95], sent(1, 1)), Some(95));

        let mut rows = SentRows::new(sent(3, 0), 90);
        assert!(!rows.is_room_wanted());
        rows.want_room();
        assert!(rows.is_room_wanted());
        assert_eq!(rows.delete_through(&[], sent(0, 0)), Some(90));
        rows.recorded(&[], sent(0, 0), Some(90));
        rows.want_room();
        assert!(!rows.is_room_wanted(), "there is none to be had");
    }
}
